/** What a capture shows: its flows, and of each whether every byte of payload was inside TLS records and whether known plain text occurs. Pure. */
import { TlsFraming } from './tls-framing.ts';

/** Directions followed at once; further ones are counted in `ignoredPackets`. */
export const MAX_DIRECTIONS = 200_000;
/** Segments kept of one direction while an earlier one is missing. */
const MAX_OUT_OF_ORDER = 256;

export interface FlowReport {
  readonly protocol: 'tcp' | 'udp';
  /** The side that sent first in the capture: with a SYN, the client. */
  readonly client: { readonly address: string; readonly port: number };
  readonly server: { readonly address: string; readonly port: number };
  readonly packets: number;
  /** Payload in both directions, without retransmissions. */
  readonly payloadBytes: number;
  /** Every byte of TCP payload was in a TLS record (true when there was none). A flow that was open before the capture may begin inside a record. */
  readonly isAllTls: boolean;
  /** The first bytes that are no TLS record, as hexadecimal text. */
  readonly firstPlainBytes?: string;
  /** Bytes the capture does not have although later ones were acknowledged by sequence. */
  readonly missingBytes: number;
  /** The needles that occur in the payload. */
  readonly needles: readonly string[];
}

export interface PcapReport {
  readonly packets: number;
  /** Neither TCP nor UDP over IP (ARP, ICMP, fragments), or too many flows. */
  readonly ignoredPackets: number;
  readonly flows: readonly FlowReport[];
}

export class PcapError extends Error {
  override readonly name = 'PcapError';
}

/** Reads a pcap file given in pieces. `needles` are texts that must not be readable on the wire. */
export function analyzePcap(chunks: Iterable<Uint8Array>, needles: readonly string[] = []): PcapReport {
  const analysis = new Analysis(needles);
  let rest: Buffer = Buffer.alloc(0);
  let isHeaderRead = false;
  for (const chunk of chunks) {
    rest = rest.length === 0 ? Buffer.from(chunk) : Buffer.concat([rest, chunk]);
    let at = 0;
    if (!isHeaderRead) {
      if (rest.length < 24) continue;
      if (rest.readUInt32LE(0) !== 0xa1b2c3d4 || rest.readUInt32LE(20) !== 1)
        throw new PcapError('not a little-endian pcap file of Ethernet packets');
      at = 24;
      isHeaderRead = true;
    }
    while (rest.length - at >= 16) {
      const length = rest.readUInt32LE(at + 8);
      if (rest.length - at - 16 < length) break;
      analysis.packet(rest.subarray(at + 16, at + 16 + length));
      at += 16 + length;
    }
    rest = rest.subarray(at);
  }
  if (!isHeaderRead) throw new PcapError('the capture is shorter than the header of a pcap file');
  return analysis.report();
}

interface Segment {
  readonly sequence: number;
  readonly payload: Buffer;
}

/** One direction of a flow. */
class Direction {
  next: number | undefined;
  bytes = 0;
  missing = 0;
  readonly framing = new TlsFraming();
  readonly found = new Set<string>();
  readonly #waiting: Segment[] = [];
  #tail = Buffer.alloc(0);
  readonly #needles: readonly Buffer[];

  constructor(needles: readonly Buffer[]) {
    this.#needles = needles;
  }

  tcp(sequence: number, isSyn: boolean, payload: Buffer): void {
    if (isSyn) {
      this.next = (sequence + 1) >>> 0;
      this.framing.atStart();
      return;
    }
    if (payload.length === 0) return;
    this.next ??= sequence;
    this.#waiting.push({ sequence, payload });
    this.#advance();
    if (this.#waiting.length <= MAX_OUT_OF_ORDER) return;
    this.skipGap();
  }

  /** Gives up on what is missing before the earliest segment that waits. */
  skipGap(): void {
    if (this.#waiting.length === 0 || this.next === undefined) return;
    const first = this.#waiting.reduce((a, b) => (distance(a.sequence, b.sequence) > 0 ? a : b));
    const gap = distance(this.next, first.sequence);
    this.missing += gap;
    this.framing.skip(gap);
    this.#tail = Buffer.alloc(0);
    this.next = first.sequence;
    this.#advance();
  }

  get hasWaiting(): boolean {
    return this.#waiting.length > 0;
  }

  #advance(): void {
    for (let i = 0; i < this.#waiting.length; ) {
      const { sequence, payload } = this.#waiting[i]!;
      const ahead = distance(this.next!, sequence);
      if (ahead > 0) {
        i++;
        continue;
      }
      this.#waiting.splice(i, 1);
      const fresh = payload.subarray(Math.min(payload.length, -ahead));
      if (fresh.length === 0) continue;
      this.next = (this.next! + fresh.length) >>> 0;
      this.content(fresh);
      this.framing.push(fresh);
      i = 0;
    }
  }

  content(payload: Buffer): void {
    this.bytes += payload.length;
    if (this.#needles.length === 0) return;
    const text = this.#tail.length === 0 ? payload : Buffer.concat([this.#tail, payload]);
    for (const needle of this.#needles) if (text.includes(needle)) this.found.add(needle.toString());
    const keep = Math.max(0, ...this.#needles.map((needle) => needle.length - 1));
    this.#tail = Buffer.from(text.subarray(Math.max(0, text.length - keep)));
  }
}

/** How far `b` is ahead of `a` in sequence space. */
const distance = (a: number, b: number): number => (b - a) | 0;

interface Flow {
  readonly protocol: 'tcp' | 'udp';
  readonly client: { readonly address: string; readonly port: number };
  readonly server: { readonly address: string; readonly port: number };
  readonly forward: Direction;
  readonly backward: Direction;
  packets: number;
}

class Analysis {
  readonly #flows = new Map<string, Flow>();
  readonly #needles: readonly Buffer[];
  #packets = 0;
  #ignored = 0;

  constructor(needles: readonly string[]) {
    this.#needles = needles.filter((needle) => needle !== '').map((needle) => Buffer.from(needle));
  }

  packet(frame: Buffer): void {
    this.#packets++;
    const ip = network(frame);
    if (!ip || ip.body.length < 8 || (ip.protocol === 6 && ip.body.length < 20)) {
      this.#ignored++;
      return;
    }
    const { protocol, source, destination, body } = ip;
    const [sourcePort, destinationPort] = [body.readUInt16BE(0), body.readUInt16BE(2)];
    const flow = this.#flow(protocol, { address: source, port: sourcePort }, { address: destination, port: destinationPort });
    if (!flow) {
      this.#ignored++;
      return;
    }
    flow.packets++;
    const isForward = flow.client.address === source && flow.client.port === sourcePort;
    const direction = isForward ? flow.forward : flow.backward;
    if (protocol === 17) direction.content(body.subarray(8));
    else direction.tcp(body.readUInt32BE(4), (body[13]! & 0x02) !== 0, body.subarray((body[12]! >> 4) * 4));
  }

  #flow(protocol: 6 | 17, from: Flow['client'], to: Flow['client']): Flow | undefined {
    const one = `${protocol} ${from.address} ${from.port} ${to.address} ${to.port}`;
    const known = this.#flows.get(one) ?? this.#flows.get(`${protocol} ${to.address} ${to.port} ${from.address} ${from.port}`);
    if (known) return known;
    if (this.#flows.size * 2 >= MAX_DIRECTIONS) return undefined;
    const [forward, backward] = [new Direction(this.#needles), new Direction(this.#needles)];
    const made: Flow = { protocol: protocol === 6 ? 'tcp' : 'udp', client: from, server: to, forward, backward, packets: 0 };
    this.#flows.set(one, made);
    return made;
  }

  report(): PcapReport {
    const flows = [...this.#flows.values()].map(({ protocol, client, server, forward, backward, packets }): FlowReport => {
      for (const direction of [forward, backward]) while (direction.hasWaiting) direction.skipGap();
      const plain = forward.framing.firstPlainBytes ?? backward.framing.firstPlainBytes;
      const payloadBytes = forward.bytes + backward.bytes;
      return {
        protocol,
        client,
        server,
        packets,
        payloadBytes,
        isAllTls: protocol === 'tcp' ? forward.framing.isAllTls && backward.framing.isAllTls : payloadBytes === 0,
        ...(plain !== undefined && { firstPlainBytes: plain }),
        missingBytes: forward.missing + backward.missing,
        needles: [...new Set([...forward.found, ...backward.found])],
      };
    });
    return { packets: this.#packets, ignoredPackets: this.#ignored, flows };
  }
}

/** The TCP or UDP part of an Ethernet frame. */
function network(frame: Buffer): { protocol: 6 | 17; source: string; destination: string; body: Buffer } | undefined {
  if (frame.length < 14) return undefined;
  let type = frame.readUInt16BE(12);
  let at = 14;
  if (type === 0x8100 && frame.length >= 18) {
    type = frame.readUInt16BE(16);
    at = 18;
  }
  const ip = frame.subarray(at);
  if (type === 0x0800 && ip.length >= 20) {
    const protocol = ip[9]!;
    const isFragment = (ip.readUInt16BE(6) & 0x3fff) !== 0;
    if ((protocol !== 6 && protocol !== 17) || isFragment) return undefined;
    // A total length of 0 is an offloaded packet: then everything belongs to it.
    const total = ip.readUInt16BE(2) || ip.length;
    const text = (offset: number) => `${ip[offset]}.${ip[offset + 1]}.${ip[offset + 2]}.${ip[offset + 3]}`;
    return { protocol, source: text(12), destination: text(16), body: ip.subarray((ip[0]! & 15) * 4, total) };
  }
  if (type === 0x86dd && ip.length >= 40) {
    const protocol = ip[6]!;
    if (protocol !== 6 && protocol !== 17) return undefined;
    const text = (offset: number) =>
      new URL(
        `http://[${ip
          .toString('hex', offset, offset + 16)
          .match(/.{4}/g)!
          .join(':')}]`,
      ).hostname.slice(1, -1);
    const length = ip.readUInt16BE(4);
    return { protocol, source: text(8), destination: text(24), body: ip.subarray(40, length === 0 ? ip.length : 40 + length) };
  }
  return undefined;
}
