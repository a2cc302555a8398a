/** The copies of one request: which mirrors of its route and of its backend get one, and what the client sends after its head. */
import { isMirrored, type Mirror } from '../../mesh/http/index.ts';
import type { HeaderList } from '../../protocol/index.ts';
import type { RequestContext } from './context.ts';
import type { ExchangeRecord } from './exchange-record.ts';
import type { RequestSink } from './messages.ts';
import { MirrorCopy } from './mirror-copy.ts';
import type { ReplayBuffer } from './replay-buffer.ts';
import type { OutgoingRequest } from './upstream.ts';

export class Mirrors implements RequestSink {
  /** Those that have not got all of the request yet. */
  readonly #copies: MirrorCopy[] = [];

  /** Undefined when nobody gets a copy, or every copy is complete. */
  static start(context: RequestContext, record: ExchangeRecord, request: OutgoingRequest, body: ReplayBuffer): Mirrors | undefined {
    const ofRoute = record.action?.mirrors;
    const ofBackend = record.backend?.mirrors;
    if (ofRoute === undefined && ofBackend === undefined) return undefined;
    const mirrors = new Mirrors();
    if (ofRoute !== undefined) mirrors.#add(ofRoute, context, record, request, body);
    if (ofBackend !== undefined) mirrors.#add(ofBackend, context, record, request, body);
    return mirrors.#copies.length === 0 ? undefined : mirrors;
  }

  #add(mirrors: readonly Mirror[], context: RequestContext, record: ExchangeRecord, request: OutgoingRequest, body: ReplayBuffer): void {
    for (const mirror of mirrors) {
      if (!isMirrored(mirror, context.random)) continue;
      const copy = MirrorCopy.start(context, record, mirror.backend, request);
      if (copy === undefined) continue;
      // What came while a filter took its time.
      body.replay(copy);
      if (!body.isEnded) this.#copies.push(copy);
    }
  }

  sendRequestBody(chunk: Uint8Array): void {
    for (const copy of this.#copies) copy.sendRequestBody(chunk);
  }

  finishRequest(trailers: HeaderList): void {
    for (const copy of this.#copies) copy.finishRequest(trailers);
  }

  /** The rest of the request will not come. */
  cancel(): void {
    for (const copy of this.#copies) copy.cancel();
  }
}
