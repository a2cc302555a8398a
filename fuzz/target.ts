/** What is fuzzed: a decoder, its beginnings, and what it does with bytes as a list of events. */

export interface Target {
  readonly name: string;
  /** What it decodes, for the table in the documentation. */
  readonly about: string;
  /** Well-formed inputs to begin with. */
  readonly seeds: () => readonly Uint8Array[];
  /** Words of its language. */
  readonly words: readonly string[];
  /**
   * Feeds the input in pieces that end at `cuts` (ascending, within it) and tells what happened. It must not throw, and for `isStream` the events must be
   * the same whatever the cuts. Errors in the decoded content are events, too.
   */
  readonly run: (bytes: Uint8Array, cuts: readonly number[]) => readonly string[];
  readonly isStream: boolean;
}

export function* pieces(bytes: Uint8Array, cuts: readonly number[]): Generator<Uint8Array> {
  let from = 0;
  for (const cut of [...cuts, bytes.length]) {
    // A copy that is spoilt afterwards: chunks are only valid during the call.
    const chunk = Uint8Array.from(bytes.subarray(from, cut));
    yield chunk;
    chunk.fill(0xee);
    from = cut;
  }
}

/** Events without their particulars: kinds and the words of error texts, repetitions counted by powers of two. What is new in this is worth keeping. */
export function signature(events: readonly string[]): string {
  const shape: string[] = [];
  let last = '';
  let count = 0;
  const close = (): void => {
    if (count > 0) shape.push(count === 1 ? last : `${last}*${Math.min(5, Math.ceil(Math.log2(count)))}`);
  };
  for (const event of events) {
    const kind = event.slice(0, 60).replaceAll(/"[^"]*"|'[^']*'|\b[0-9a-f]*\d[0-9a-f]*\b|\b([0-9a-f]{2})+\b|[^\x20-\x7e]+/g, '#');
    if (kind === last) count++;
    else {
      close();
      last = kind;
      count = 1;
    }
  }
  close();
  return shape.length > 12 ? [...shape.slice(0, 11), `…${Math.ceil(Math.log2(shape.length))}`].join(' ') : shape.join(' ');
}
