import type { KubeClient, TokenReviewStatus } from '../../platform/kubernetes/index.ts';
import { fail, ok, type Result } from '../wire.ts';

/** Who is calling, according to the API server. */
export interface Caller {
  readonly namespace: string;
  readonly serviceAccount: string;
  /** Present when the token is bound to a pod. */
  readonly pod?: { readonly name: string; readonly uid: string };
}

export interface TokenReviewer {
  reviewToken(token: string, audiences: readonly string[]): Promise<TokenReviewStatus>;
}

export const AUDIENCE = 'istio-ca';
/** A deleted pod's token keeps working here for at most this long. */
const ACCEPTED_MS = 10_000;
/** Keeps a client that retries with a bad token from being a load on the API server. */
const REFUSED_MS = 1_000;
const CACHE_LIMIT = 4096;
const TOKEN_LIMIT = 16 * 1024;

interface Cached {
  readonly result: Result<Caller, string>;
  readonly until: number;
}

/** Checks bearer tokens by TokenReview. A failure is one sentence for the log; callers see only "request authenticate failure". */
export class Authenticator {
  readonly #reviewer: TokenReviewer;
  readonly #now: () => number;
  readonly #cache = new Map<string, Cached>();
  readonly #running = new Map<string, Promise<Result<Caller, string>>>();

  constructor(reviewer: KubeClient | TokenReviewer, now: () => number = Date.now) {
    this.#reviewer = reviewer;
    this.#now = now;
  }

  /** `header` is the value of the `authorization` metadata. */
  async authenticate(header: string | undefined): Promise<Result<Caller, string>> {
    const token = /^Bearer (\S+)$/i.exec(header ?? '')?.[1];
    if (token === undefined) return fail('no bearer token in the authorization metadata');
    if (token.length > TOKEN_LIMIT) return fail(`the bearer token is longer than ${TOKEN_LIMIT} characters`);
    const key = new Bun.CryptoHasher('sha256').update(token).digest('base64');
    const cached = this.#cache.get(key);
    if (cached !== undefined && this.#now() < cached.until) return cached.result;
    let running = this.#running.get(key);
    if (running === undefined) {
      running = this.#review(token, key).finally(() => this.#running.delete(key));
      this.#running.set(key, running);
    }
    return running;
  }

  async #review(token: string, key: string): Promise<Result<Caller, string>> {
    let status: TokenReviewStatus;
    try {
      status = await this.#reviewer.reviewToken(token, [AUDIENCE]);
    } catch (error) {
      return fail(`the token could not be reviewed: ${(error as Error).message}`); // not the token's fault: nothing is kept
    }
    const result = callerOf(status);
    const now = this.#now();
    const until = result.ok ? Math.min(now + ACCEPTED_MS, expiryOf(token)) : now + REFUSED_MS;
    if (this.#cache.size >= CACHE_LIMIT) this.#cache.delete(this.#cache.keys().next().value!);
    this.#cache.delete(key); // to the end: the oldest go first
    this.#cache.set(key, { result, until });
    return result;
  }
}

function callerOf(status: TokenReviewStatus): Result<Caller, string> {
  if (status.authenticated !== true) return fail(`the API server refused the token: ${status.error ?? 'not authenticated'}`);
  // An API server that does not know audiences answers without them; then the token was not checked for ours.
  if (!(status.audiences ?? []).includes(AUDIENCE)) return fail(`the token is not for the audience ${AUDIENCE}`);
  const parts = (status.user?.username ?? '').split(':');
  if (parts.length !== 4 || parts[0] !== 'system' || parts[1] !== 'serviceaccount' || !parts[2] || !parts[3]) {
    return fail(`the token belongs to ${status.user?.username ?? 'nobody'}, not to a service account`);
  }
  const name = status.user?.extra?.['authentication.kubernetes.io/pod-name']?.[0];
  const uid = status.user?.extra?.['authentication.kubernetes.io/pod-uid']?.[0];
  return ok({ namespace: parts[2], serviceAccount: parts[3], ...(name && uid ? { pod: { name, uid } } : {}) });
}

/** `exp` of a token the API server has accepted; a token without one is good until the cache forgets it. */
function expiryOf(token: string): number {
  try {
    const claims = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString('utf8')) as { exp?: unknown };
    return typeof claims.exp === 'number' ? claims.exp * 1000 : Number.POSITIVE_INFINITY;
  } catch {
    return Number.POSITIVE_INFINITY; // an opaque token
  }
}
