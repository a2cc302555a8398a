/** A copy of a request for another backend, whose answer nobody waits for. It never holds back the original: one that cannot keep up is given up. */
import type { Backend, EndpointState } from '../../mesh/http/index.ts';
import { type Deadline, deadlines } from '../../platform/net/index.ts';
import type { HeaderList } from '../../protocol/index.ts';
import type { RequestContext } from './context.ts';
import type { ExchangeRecord } from './exchange-record.ts';
import { LIMITS } from './limits.ts';
import type { RequestSink, ResponseHead, UpstreamEvents, UpstreamStream } from './messages.ts';
import { speaksHttp2 } from './routed-head.ts';
import type { OutgoingRequest } from './upstream.ts';

/** Octets a mirror may lag behind. */
const MAX_LAG = 1024 * 1024;

export class MirrorCopy implements RequestSink, UpstreamEvents, Deadline {
  /** Copies under way, of all requests. */
  static #count = 0;
  readonly #endpoint: EndpointState;
  #stream: UpstreamStream | undefined;
  #lag = 0;
  #isOver = false;
  dueAt = performance.now() + LIMITS.IDLE_MIRROR;

  private constructor(endpoint: EndpointState) {
    this.#endpoint = endpoint;
    endpoint.active++;
    MirrorCopy.#count++;
    deadlines.add(this);
  }

  /** Undefined when there is nobody to send it to, NetworkPolicies do not allow it, or too many are under way. */
  static start(context: RequestContext, record: ExchangeRecord, backend: Backend, request: OutgoingRequest): MirrorCopy | undefined {
    if (MirrorCopy.#count >= LIMITS.MIRRORS) return undefined;
    const now = performance.now();
    const upstream = context.traffic.upstream(backend, now);
    const endpoint = upstream?.cluster.pick({ random: context.random, now });
    if (upstream === undefined || endpoint === undefined || request.upgrade !== '') return undefined;
    const { client } = record;
    if (!context.network.decide(client, endpoint).allowed) return undefined;
    const mirror = new MirrorCopy(endpoint);
    // As Envoy marks them, so that the backend can tell them apart.
    const copy = { ...request, authority: shadowed(request.authority) };
    let started: ReturnType<typeof context.pool.start>;
    try {
      started = context.pool.start(upstream, endpoint, client, speaksHttp2(record, upstream), copy, mirror);
    } catch (error) {
      // The original meets the same fault and answers for it.
      context.log.debug('a mirrored request was not sent', { error: (error as Error).message });
      mirror.#over();
      return undefined;
    }
    if (started === undefined) {
      mirror.#over();
      return undefined;
    }
    mirror.#stream = started.stream;
    return mirror;
  }

  sendRequestBody(chunk: Uint8Array): void {
    const stream = this.#stream;
    if (stream === undefined || this.#isOver) return;
    this.#moves();
    stream.sendRequestBody(chunk);
    this.#lag = stream.isRequestBackedUp ? this.#lag + chunk.length : 0;
    if (this.#lag > MAX_LAG) this.cancel();
  }

  finishRequest(trailers: HeaderList): void {
    if (!this.#isOver) this.#stream?.finishRequest(trailers);
  }

  /** The rest of the request will not come, or the answer takes too long. */
  cancel(): void {
    if (this.#isOver) return;
    this.#over();
    this.#stream?.cancel();
  }

  onDeadline(): void {
    this.cancel();
  }

  onInterimResponse(): void {}
  onResponse(_head: ResponseHead): void {}
  onResponseBody(chunk: Uint8Array): void {
    this.#moves();
    this.#stream?.responseConsumed(chunk.length);
  }
  onResponseEnd(): void {
    this.#over();
  }
  onRequestDrained(): void {
    this.#lag = 0;
  }
  onUpstreamFailed(): void {
    this.#over();
  }

  #over(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#endpoint.active--;
    MirrorCopy.#count--;
    deadlines.delete(this);
  }

  #moves(): void {
    this.dueAt = performance.now() + LIMITS.IDLE_MIRROR;
  }
}

const shadowed = (authority: string): string => {
  const colon = authority.lastIndexOf(':');
  const hasPort = colon > 0 && /^\d+$/.test(authority.slice(colon + 1));
  return hasPort ? `${authority.slice(0, colon)}-shadow${authority.slice(colon)}` : `${authority}-shadow`;
};
