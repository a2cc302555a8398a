/**
 * Pages that operators' ports serve. Each request gets one made for it, as long as few are under way. When many are, they share: of clients that ask and do not
 * read, each would otherwise keep a page of its own in memory (the runtime holds what a socket does not take), and each would cost the making of one.
 */

/** Requests under way at once that get a page of their own. */
export const OWN_PAGES = 16;
/** Others share one for so many milliseconds. With the time after which a server gives up clients that do not read, that bounds what they hold. */
export const SHARED_PAGE_MS = 1_000;

/** What a `Response` takes. */
export type Page = string | Uint8Array<ArrayBuffer> | Blob;

interface SharedPage {
  readonly madeAt: number;
  readonly body: Promise<Blob>;
}

export class SharedPages {
  readonly #now: () => number;
  readonly #shared = new Map<string, SharedPage>();

  /** `now` in milliseconds. */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** The page called `name`; `underWay` requests, this one among them, have no complete answer yet (`pendingRequests` of the server). */
  async get(name: string, underWay: number, make: () => Page | Promise<Page>): Promise<Page> {
    if (underWay <= OWN_PAGES) {
      this.#shared.clear();
      return make();
    }
    const now = this.#now();
    const known = this.#shared.get(name);
    if (known !== undefined && now - known.madeAt < SHARED_PAGE_MS) return known.body;
    // Octets of a Blob are not copied for each client.
    const body = Promise.resolve(make()).then((part) => new Blob([part]));
    this.#shared.set(name, { madeAt: now, body });
    return body;
  }
}
