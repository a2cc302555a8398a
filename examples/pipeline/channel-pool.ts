import { Client, connectivityState, credentials, Metadata, type MethodDefinition, type ServiceError, status } from '@grpc/grpc-js';

/** A new channel that is not connected by then is given up, and the old one stays. */
const REPLACEMENT_LIMIT_MS = 5_000;
/** A client that is to be closed may take this long to settle first. */
const CONNECT_LIMIT_MS = 30_000;

export interface ChannelPoolOptions {
  readonly target: string;
  /** Connections kept open side by side; calls go round them. */
  readonly size: number;
  /** Age at which a connection is replaced; 0 keeps it for ever. */
  readonly maxAgeMs: number;
}

interface Channel {
  readonly client: Client;
  bornAt: number;
  callsInFlight: number;
  retired: boolean;
}

/**
 * Several connections to one service, each replaced when it has reached its age: the new one is connected first, the old one is closed after its last call.
 * A service address chooses a pod per connection, so this is also what spreads load over new pods, and what moves traffic onto a path that appeared later.
 */
export class ChannelPool {
  readonly #options: ChannelPoolOptions;
  readonly #channels: Channel[] = [];
  readonly #timer: Timer | undefined;
  #next = 0;
  #replacing = false;
  #closed = false;
  /** Connections made so far, replacements included. */
  opened = 0;

  constructor(options: ChannelPoolOptions) {
    this.#options = options;
    const now = performance.now();
    for (let index = 0; index < options.size; index++) {
      const channel = this.#open();
      // Ages are staggered, so that replacements never come all at once.
      channel.bornAt = now - (index * options.maxAgeMs) / options.size;
      this.#channels.push(channel);
    }
    if (options.maxAgeMs > 0)
      this.#timer = setInterval(() => void this.#replaceOldest(), Math.max(10, options.maxAgeMs / options.size / 2));
  }

  call<I, O>(method: MethodDefinition<I, O>, request: I, deadline: Date | number, headers = new Metadata()): Promise<O> {
    const channel = this.#channels[this.#next++ % this.#channels.length]!;
    channel.callsInFlight++;
    return new Promise((resolve, reject) => {
      channel.client.makeUnaryRequest(
        method.path,
        method.requestSerialize,
        method.responseDeserialize,
        request,
        headers,
        { deadline },
        (error: ServiceError | null, answer?: O) => {
          channel.callsInFlight--;
          closeWhenDone(channel);
          if (error !== null && error.code === status.UNAVAILABLE) {
            // A broken connection can go on failing call after call: it is not waited for to come of age.
            channel.bornAt = Number.NEGATIVE_INFINITY;
            void this.#replaceOldest();
          }
          if (error !== null) reject(error);
          else resolve(answer as O); // grpc-js gives a value whenever there is no error
        },
      );
    });
  }

  close(): void {
    this.#closed = true;
    clearInterval(this.#timer);
    for (const channel of this.#channels) {
      channel.retired = true;
      closeWhenDone(channel);
    }
  }

  #open(): Channel {
    this.opened++;
    const client = new Client(this.#options.target, credentials.createInsecure(), {
      'grpc.use_local_subchannel_pool': 1,
      'grpc.keepalive_time_ms': 20_000,
      'grpc.keepalive_timeout_ms': 5_000,
      'grpc.initial_reconnect_backoff_ms': 100,
      'grpc.max_reconnect_backoff_ms': 1_000,
      'grpc.service_config_disable_resolution': 1,
    });
    return { client, bornAt: performance.now(), callsInFlight: 0, retired: false };
  }

  async #replaceOldest(): Promise<void> {
    if (this.#replacing || this.#closed) return;
    const oldest = this.#channels.reduce((a, b) => (a.bornAt <= b.bornAt ? a : b));
    if (performance.now() - oldest.bornAt < this.#options.maxAgeMs) return;
    this.#replacing = true;
    const fresh = this.#open();
    const connected = await new Promise<boolean>((resolve) => {
      fresh.client.waitForReady(Date.now() + REPLACEMENT_LIMIT_MS, (error) => resolve(error === undefined || error === null));
    });
    this.#replacing = false;
    const index = this.#channels.indexOf(oldest);
    if (!connected || this.#closed || index < 0) {
      closeSettled(fresh.client);
      return;
    }
    fresh.bornAt = performance.now();
    this.#channels[index] = fresh;
    oldest.retired = true;
    closeWhenDone(oldest);
  }
}

const closeWhenDone = (channel: Channel): void => {
  if (channel.retired && channel.callsInFlight === 0) closeSettled(channel.client);
};

/**
 * A client closed while it connects, or waits to try again, would make one more connection and leave it behind, open and owned by nobody.
 * So it is closed once it is connected or idle; one that cannot connect is given up after a while.
 */
const closeSettled = (client: Client, deadline = Date.now() + CONNECT_LIMIT_MS): void => {
  const channel = client.getChannel();
  const state = channel.getConnectivityState(false);
  if (state !== connectivityState.CONNECTING && state !== connectivityState.TRANSIENT_FAILURE) {
    client.close();
    return;
  }
  channel.watchConnectivityState(state, deadline, (error) => {
    if (error) client.close();
    else closeSettled(client, deadline);
  });
};
