import { parseFrame, type Segment } from './packet.ts';
import { TlsStream } from './tls-stream.ts';

/** What was seen so far. Bytes are TCP payload between addresses of the watched network, retransmissions left out. */
export interface Totals {
  packets: number;
  bytes: number;
  /** In well-formed TLS records of connections seen from their beginning. */
  tls_bytes: number;
  /** Everything else. */
  plaintext_bytes: number;
  /** Needles found, in any packet of any connection. */
  readable_sentences: number;
  /** Connections opened to the plaintext port. */
  plaintext_connections: number;
  /** Connections opened to the tunnel port. */
  tunnels: number;
}

export interface TallyOptions {
  /** Text prefix of the addresses whose traffic is counted, for example `10.244.`. */
  readonly network: string;
  readonly plaintextPort: number;
  /** Connections to this port are left out: the control plane's, which are older than any capture and TLS of their own. */
  readonly ignorePort: number;
  readonly needles: readonly string[];
}

const TUNNEL_PORT = 15_008;
/** Directions of connections remembered; the oldest is forgotten, and its later bytes count as plaintext. */
const MAX_STREAMS = 8_192;

interface Direction {
  next: number;
  readonly tls: TlsStream;
  /** A segment was lost to the capture: framing cannot be followed any more. */
  lost: boolean;
}

/** Counts frames. */
export class Tally {
  readonly totals: Totals = {
    packets: 0,
    bytes: 0,
    tls_bytes: 0,
    plaintext_bytes: 0,
    readable_sentences: 0,
    plaintext_connections: 0,
    tunnels: 0,
  };
  readonly #options: TallyOptions;
  readonly #needles: readonly Buffer[];
  readonly #streams = new Map<string, Direction>();

  constructor(options: TallyOptions) {
    this.#options = options;
    this.#needles = options.needles.map((needle) => Buffer.from(needle));
  }

  add(frame: Uint8Array): void {
    const segment = parseFrame(frame);
    if (segment === undefined) return;
    this.#search(segment.payload);
    if (!segment.source.startsWith(this.#options.network) || !segment.destination.startsWith(this.#options.network)) return;
    if (segment.destinationPort === this.#options.ignorePort || segment.sourcePort === this.#options.ignorePort) return;
    this.totals.packets++;
    this.#follow(segment);
  }

  #search(payload: Uint8Array): void {
    if (payload.length === 0) return;
    const bytes = Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength);
    for (const needle of this.#needles) if (bytes.includes(needle)) this.totals.readable_sentences++;
  }

  #follow(segment: Segment): void {
    const key = `${segment.source}:${segment.sourcePort}>${segment.destination}:${segment.destinationPort}`;
    if (segment.syn) {
      if (!segment.ack) {
        if (segment.destinationPort === this.#options.plaintextPort) this.totals.plaintext_connections++;
        if (segment.destinationPort === TUNNEL_PORT) this.totals.tunnels++;
      }
      this.#remember(key, { next: (segment.sequence + 1) >>> 0, tls: new TlsStream(), lost: false });
      return;
    }
    const direction = this.#streams.get(key);
    this.#count(direction, segment);
    if (segment.fin || segment.rst) this.#streams.delete(key);
  }

  #count(direction: Direction | undefined, { payload, sequence }: Segment): void {
    if (payload.length === 0) return;
    if (direction === undefined) {
      this.totals.bytes += payload.length;
      this.totals.plaintext_bytes += payload.length;
      return;
    }
    // Signed distance on the circle of sequence numbers: negative is a retransmission, positive a gap.
    const distance = (sequence - direction.next) | 0;
    if (distance > 0) direction.lost = true;
    const fresh = distance < 0 ? payload.subarray(Math.min(payload.length, -distance)) : payload;
    if (fresh.length === 0) return;
    direction.next = (direction.next + Math.max(0, distance) + fresh.length) >>> 0;
    const inside = direction.lost ? 0 : direction.tls.push(fresh);
    this.totals.bytes += fresh.length;
    this.totals.tls_bytes += inside;
    this.totals.plaintext_bytes += fresh.length - inside;
  }

  #remember(key: string, direction: Direction): void {
    this.#streams.delete(key);
    this.#streams.set(key, direction);
    if (this.#streams.size > MAX_STREAMS) this.#streams.delete(this.#streams.keys().next().value!);
  }
}
