/** A client with a certificate of the mesh that speaks HTTP/2 frame by frame, in any order and number: what no library would send. */
import fs from 'node:fs';
import type { WorkloadCertificate } from '../../src/dataplane/core/certificate.ts';
import { Dial } from '../../src/platform/net/index.ts';
import { HpackEncoder } from '../../src/protocol/hpack/encoder.ts';
import { Flag, FrameType, PREFACE } from '../../src/protocol/http2/frames.ts';
import type { HeaderList } from '../../src/protocol/index.ts';
import { Peer } from './apps.ts';
import type { Node, Pod } from './network.ts';

export { Flag, FrameType, PREFACE };

export function frame(type: number, flags: number, stream: number, payload: Uint8Array = new Uint8Array(0)): Buffer {
  const bytes = Buffer.alloc(9 + payload.length);
  bytes.writeUIntBE(payload.length, 0, 3);
  bytes[3] = type;
  bytes[4] = flags;
  bytes.writeUInt32BE(stream, 5);
  bytes.set(payload, 9);
  return bytes;
}

export const uint32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
};

export const reset = (stream: number, code = 8): Buffer => frame(FrameType.RST_STREAM, 0, stream, uint32(code));

/** Only the handshake is done for it; everything else is the caller's. Frames that come are kept by type. */
export class RawTunnel {
  readonly peer = new Peer();
  readonly encoder = new HpackEncoder();
  /** Frames received, by type. */
  readonly received = new Map<number, number>();
  /** Error code and text of the last GOAWAY. */
  goaway: { readonly code: number; readonly text: string } | undefined;
  /** Acknowledges SETTINGS, so that the peer does not end the connection for the lack of it. */
  isPolite = true;
  #rest = Buffer.alloc(0);

  constructor(from: Pod | Node, ip: string, certificate: WorkloadCertificate) {
    this.peer.connected.promise.catch(() => {}); // whoever waits for it hears
    this.peer.handle = (chunk) => this.#frames(chunk);
    const networkNamespace = fs.openSync(`/run/netns/${from.namespace}`, 'r');
    new Dial({ address: ip, port: 15_008, networkNamespace, timeout: 10_000, tls: certificate.clientTls }, this.peer);
    fs.closeSync(networkNamespace);
  }

  /** TLS is up; with `greet` the preface and SETTINGS are sent too. */
  async ready(greet = true): Promise<this> {
    this.isPolite = greet;
    await this.peer.connected.promise;
    if (greet) this.send(PREFACE, frame(FrameType.SETTINGS, 0, 0));
    return this;
  }

  send(...frames: readonly Uint8Array[]): void {
    if (!this.peer.isClosed) this.peer.send(frames.length === 1 ? frames[0]! : Buffer.concat(frames));
  }

  headers(stream: number, fields: HeaderList, flags: number = Flag.END_HEADERS): Buffer {
    return frame(FrameType.HEADERS, flags, stream, this.encoder.encode(fields));
  }

  connect(stream: number, authority: string, ...more: HeaderList): Buffer {
    return this.headers(stream, [[':method', 'CONNECT'], [':authority', authority], ...more]);
  }

  count(type: number): number {
    return this.received.get(type) ?? 0;
  }

  #frames(chunk: Buffer): void {
    this.#rest = Buffer.concat([this.#rest, chunk]);
    while (this.#rest.length >= 9) {
      const end = 9 + this.#rest.readUIntBE(0, 3);
      if (this.#rest.length < end) return;
      const type = this.#rest[3]!;
      const payload = this.#rest.subarray(9, end);
      this.received.set(type, this.count(type) + 1);
      if (type === FrameType.GOAWAY) this.goaway = { code: payload.readUInt32BE(4), text: payload.subarray(8).toString() };
      if (type === FrameType.SETTINGS && this.#rest[4] === 0 && this.isPolite) this.send(frame(FrameType.SETTINGS, Flag.ACK, 0));
      this.#rest = this.#rest.subarray(end);
    }
  }
}
