/** What keeps a client with the endpoint it had: a route's session persistence (GEP-1619) and the hash of a DestinationRule's balancer. One per exchange. */
import {
  type EndpointState,
  type HttpAction,
  makeHashCookie,
  readSession,
  requestHash,
  type Session,
  type WeightedBackend,
  writeSession,
} from '../../mesh/http/index.ts';
import type { HeaderList } from '../../protocol/index.ts';
import type { ExchangeRecord } from './exchange-record.ts';
import type { Upstream } from './traffic.ts';

export class Affinity {
  readonly #record: ExchangeRecord;
  #session: Session | undefined;
  #setCookie: string | undefined;
  #tried: Set<EndpointState> | undefined;

  constructor(record: ExchangeRecord) {
    this.#record = record;
  }

  /** The backend the client's session began with, while the route still has it. */
  backend({ session, backends }: HttpAction): WeightedBackend | undefined {
    if (session === undefined) return undefined;
    const known = readSession(session, this.#record.head.headers, Date.now());
    this.#session = known;
    return (
      known &&
      backends.find(
        ({ service, port, subset, weight }) =>
          weight > 0 && service === known.backend.service && port === known.backend.port && subset === known.backend.subset,
      )
    );
  }

  /** Undefined: there is none that may take traffic. */
  endpoint({ cluster, policy }: Upstream, random: () => number, now: number): EndpointState | undefined {
    const exclude = this.#tried;
    if (this.#session !== undefined && exclude === undefined) {
      const kept = cluster.find(this.#session.endpoint, now);
      if (kept !== undefined) return kept;
    }
    const balancer = policy?.loadBalancer;
    const source = balancer !== undefined && 'hash' in balancer ? balancer.hash : undefined;
    if (source === undefined) return cluster.pick({ random, now, exclude });
    const record = this.#record;
    let hash = requestHash(source, record.head, record.client.ip);
    if (hash === undefined) {
      const made = makeHashCookie(source, record.requestId);
      hash = made?.hash;
      this.#setCookie = made?.setCookie;
    }
    return cluster.pick({ random, now, exclude, hash });
  }

  /** It failed: another is tried next, if there is one. */
  avoid(endpoint: EndpointState | undefined): void {
    this.#tried ??= new Set();
    if (endpoint !== undefined) this.#tried.add(endpoint);
  }

  /** The response's fields, with what the client must bring back to be kept where it is. */
  marked(headers: HeaderList): HeaderList {
    const { action, backend, endpoint } = this.#record;
    let marked = headers;
    if (action?.session !== undefined && endpoint !== undefined && backend !== undefined) {
      const field = writeSession(action.session, backend, endpoint.key, this.#session, Date.now());
      if (field !== undefined) marked = [...marked, field];
    }
    return this.#setCookie === undefined ? marked : [...marked, ['set-cookie', this.#setCookie]];
  }
}
