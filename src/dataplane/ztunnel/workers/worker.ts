/** A worker process: carries traffic, and has everything it needs from the process that supervises it. */
import { MeshRegistry } from '../../../mesh/index.ts';
import { inheritedSeqpacket, type SeqpacketConnection } from '../../../platform/linux/index.ts';
import { Logging, Registry, takeSnapshot } from '../../../platform/telemetry/index.ts';
import { LogBatch } from '../../core/log-batch.ts';
import { applyLocalXds, readLocalXds, xdsHandlers } from '../../core/mesh-state.ts';
import { describeProcess } from '../../core/process-metrics.ts';
import { Readiness } from '../../core/readiness.ts';
import type { XdsHandler } from '../../core/xds-client.ts';
import { Carrier } from '../carrier.ts';
import { type PodConnections, podConnections } from '../config-dump.ts';
import { OwnIdentities } from '../own-identities.ts';
import { CertificateMirror } from './certificate-mirror.ts';
import { type Answer, type FromWorker, type Question, type ToWorker, WORKER_VARIABLE, ZDS_FD } from './messages.ts';

type Setup = Extract<ToWorker, { kind: 'setup' }>;

class Worker {
  readonly #send: (message: FromWorker) => void;
  readonly #exit: (code: number) => void;
  readonly #logging: Logging;
  readonly #telemetry = new Registry();
  readonly #handlers: ReadonlyMap<string, XdsHandler>;
  readonly #certificates: CertificateMirror;
  readonly #carrier: Carrier;
  #local: Promise<void> = Promise.resolve();

  constructor({ config }: Setup, logging: Logging, send: (message: FromWorker) => void, exit: (code: number) => void) {
    this.#send = send;
    this.#exit = exit;
    this.#logging = logging;
    const log = logging.logger('ztunnel');
    const registry = new MeshRegistry();
    describeProcess(this.#telemetry);
    this.#handlers = new Map(xdsHandlers(registry, log).map((handler) => [handler.typeUrl, handler]));
    this.#certificates = new CertificateMirror(
      {
        want: (identity, urgent) => send({ kind: 'want', identity, urgent }),
        unwant: (identity) => send({ kind: 'unwant', identity }),
      },
      config.tls.mesh,
      logging.logger('identity'),
    );
    this.#carrier = new Carrier({
      config,
      registry,
      certificates: this.#certificates,
      telemetry: this.#telemetry,
      // Pods are counted once, by the supervisor.
      podTelemetry: new Registry(),
      podLevel: 'debug',
      logging,
      readiness: new Readiness(),
      connect: podSource(),
      fatal: (error) => this.#fatal(error),
    });
    new OwnIdentities(registry, this.#certificates, config.nodeName).start();
    if (config.localXds)
      // Read by the supervisor already, which would have ended at a problem.
      this.#local = readLocalXds(config.localXds).then((local) => applyLocalXds(registry, local));
  }

  receive(message: Exclude<ToWorker, Setup>): void {
    switch (message.kind) {
      case 'update':
        // What it cannot use its supervisor could not either, and has left out.
        this.#handlers.get(message.typeUrl)?.apply(message.resources, message.removed);
        this.#send({ kind: 'applied' });
        return;
      case 'certificate':
        this.#certificates.receive(message.identity, message.parts, message.error);
        return;
      case 'serve':
        void this.#local.then(() => this.#carrier.start()).catch((error: Error) => this.#fatal(error));
        return;
      case 'log-filter':
        this.#logging.setFilter(message.filter);
        return;
      case 'ask':
        this.#send({ kind: 'answer', id: message.id, value: this.#answer(message.about) });
        return;
      case 'drain':
        void this.#carrier.drain().then(() => this.#send({ kind: 'drained', metrics: takeSnapshot(this.#telemetry) }));
        return;
      case 'exit':
        this.#exit(0);
    }
  }

  #answer(about: Question): Answer {
    if (about === 'ping') return { about };
    if (about === 'metrics') return { about, metrics: takeSnapshot(this.#telemetry) };
    const connections: Record<string, PodConnections> = {};
    for (const { uid, proxy } of this.#carrier.pods()) if (proxy !== undefined) connections[uid] = podConnections(proxy);
    return { about, connections };
  }

  #fatal(error: Error): void {
    this.#logging.logger('ztunnel').error('the worker cannot go on', { error: error.message });
    this.#exit(1);
  }
}

/** There is one connection in the life of a worker; its end is the supervisor's will. */
function podSource(): () => SeqpacketConnection {
  let isTaken = false;
  return () => {
    if (isTaken) throw new Error('the supervising process closed the connection for pods');
    isTaken = true;
    return inheritedSeqpacket(ZDS_FD);
  };
}

/** Runs until the supervisor lets it exit, or is gone. */
export async function runWorker(): Promise<number> {
  if (process.send === undefined) {
    process.stderr.write(`ztunnel: environment variable ${WORKER_VARIABLE} is set, which only a supervising ztunnel does: unset it\n`);
    return 1;
  }
  const exit = Promise.withResolvers<number>();
  // The supervisor says when to end: a terminal sends its signals to all of a group.
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => {});
  process.on('disconnect', () => exit.resolve(1));
  const batch = new LogBatch({ isShared: true });
  let logging: Logging | undefined;
  let worker: Worker | undefined;
  const send = (message: FromWorker): void => void process.send?.(message);
  process.on('message', (message: ToWorker) => {
    if (message.kind !== 'setup') worker?.receive(message);
    else {
      logging = new Logging({ filter: message.filter, format: message.format, sink: batch.sink });
      worker = new Worker(message, logging, send, exit.resolve);
    }
  });
  send({ kind: 'hello' });
  const code = await exit.promise;
  logging?.flushAtExit();
  batch.close();
  return code;
}
