import { Server, ServerCredentials, type ServiceDefinition, type UntypedHandleCall } from '@grpc/grpc-js';

/** How long calls in flight may take to end after SIGTERM before the stage cuts them. */
const DRAIN_LIMIT_MS = 5_000;
/** Text of a request is bounded by the stages; this bounds a message before it is decoded. */
const MAX_MESSAGE_BYTES = 256 * 1024;

/** A connection without calls for this long is closed: its owner may be gone without having said so. */
const IDLE_LIMIT_MS = 5_000;

export interface StageOptions {
  readonly name: string;
  readonly port: number;
  readonly healthPort: number;
  readonly method: ServiceDefinition[string];
  readonly handler: UntypedHandleCall;
  /** Time between the request to end and refusing calls, so that Services have forgotten this pod before. */
  readonly drainDelayMs: number;
  /** Called when the stage has stopped taking calls. */
  readonly onClose?: () => void;
}

/** The health endpoint of a pod: 200 while it takes work, 503 otherwise. */
export const serveHealth = (port: number, isReady: () => boolean) =>
  Bun.serve({
    port,
    hostname: '0.0.0.0',
    fetch: (request) => {
      const path = new URL(request.url).pathname;
      if (path === '/livez') return new Response('ok\n');
      if (path === '/healthz' || path === '/readyz') return isReady() ? new Response('ok\n') : new Response('draining\n', { status: 503 });
      return new Response('not found: this port serves /healthz, /readyz and /livez\n', { status: 404 });
    },
  });

/** Resolves at the first SIGTERM or SIGINT. */
export const untilAsked = (): Promise<void> =>
  new Promise((resolve) => {
    process.once('SIGTERM', () => resolve());
    process.once('SIGINT', () => resolve());
  });

export interface RunningStage {
  readonly port: number;
  readonly healthPort: number;
  /** Refuses new calls, lets those in flight end, then closes the ports. */
  close(): Promise<void>;
}

/** Serves one gRPC method with keepalive, so that a peer that vanished without a word is noticed. */
export const startStage = async (options: StageOptions): Promise<RunningStage> => {
  const server = new Server({
    'grpc.keepalive_time_ms': 20_000,
    'grpc.keepalive_timeout_ms': 5_000,
    'grpc.max_connection_idle_ms': IDLE_LIMIT_MS,
    'grpc.max_receive_message_length': MAX_MESSAGE_BYTES,
  });
  server.addService({ [options.name]: options.method }, { [options.name]: options.handler });
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync(`0.0.0.0:${options.port}`, ServerCredentials.createInsecure(), (error, bound) =>
      error ? reject(error) : resolve(bound),
    );
  });
  let ready = true;
  const health = serveHealth(options.healthPort, () => ready);
  console.log(`${options.name} serves gRPC on port ${port} and health on port ${health.port}`);
  return {
    port,
    healthPort: health.port ?? options.healthPort,
    close: async () => {
      ready = false;
      await Bun.sleep(options.drainDelayMs);
      await new Promise<void>((resolve) => {
        const limit = setTimeout(() => {
          server.forceShutdown();
          resolve();
        }, DRAIN_LIMIT_MS);
        server.tryShutdown(() => {
          clearTimeout(limit);
          resolve();
        });
      });
      options.onClose?.();
      await health.stop(true);
    },
  };
};

/** Runs a stage until the platform asks it to end. */
export const runStage = async (options: StageOptions): Promise<number> => {
  const asked = untilAsked();
  const stage = await startStage(options);
  await asked;
  console.log(`${options.name} drains`);
  await stage.close();
  return 0;
};
