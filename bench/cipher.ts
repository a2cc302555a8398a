/** Which cipher two proxies agree on, read off the wire: a server's hello is not encrypted (RFC 8446 section 4.1.3). */
import fs from 'node:fs';
import { PacketSocket, parseFrame } from '../src/platform/capture/index.ts';
import { inNetworkNamespace } from '../src/platform/linux/index.ts';
import { NODE_1 } from './topology.ts';

const HANDSHAKE = 22;
const SERVER_HELLO = 2;
/** Record head, handshake head, version, random. */
const SESSION_AT = 5 + 4 + 2 + 32;

const NAMES: Readonly<Record<number, string>> = {
  4865: 'AES-128-GCM',
  4866: 'AES-256-GCM',
  4867: 'ChaCha20-Poly1305',
};

/** The suite a server's first bytes choose; undefined when they are no hello. */
export function suiteOf(bytes: Uint8Array): string | undefined {
  if (bytes[0] !== HANDSHAKE || bytes[5] !== SERVER_HELLO) return undefined;
  const at = SESSION_AT + 1 + (bytes[SESSION_AT] ?? 0);
  if (bytes.length < at + 2) return undefined;
  const suite = bytes[at]! * 256 + bytes[at + 1]!;
  return NAMES[suite] ?? `0x${suite.toString(16)}`;
}

/** Listens on the link between the nodes from its making on. */
export class CipherWatch {
  readonly #socket: PacketSocket;
  readonly #seen = new Map<string, string>();

  constructor() {
    const namespace = fs.openSync(`/run/netns/${NODE_1}`, 'r');
    this.#socket = inNetworkNamespace(namespace, () => new PacketSocket('wire'));
    fs.closeSync(namespace);
  }

  /** By the server's address; call it from time to time, what waits is limited. */
  take(): ReadonlyMap<string, string> {
    for (let frame = this.#socket.take(); frame !== undefined; frame = this.#socket.take()) {
      const segment = parseFrame(frame);
      const suite = segment && suiteOf(segment.payload);
      if (segment !== undefined && suite !== undefined) this.#seen.set(segment.source, suite);
    }
    return this.#seen;
  }

  close(): void {
    this.#socket.close();
  }
}
