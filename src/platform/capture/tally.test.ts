import { expect, test } from 'bun:test';
import fc from 'fast-check';
import { parseFrame } from './packet.ts';
import { Tally } from './tally.ts';
import { TlsStream } from './tls-stream.ts';

interface Shape {
  readonly from: string;
  readonly to: string;
  readonly ports: readonly [number, number];
  readonly sequence: number;
  readonly flags: number;
  readonly payload?: Uint8Array;
}
const SYN = 2;
const ACK = 16;

/** An Ethernet frame with an IPv4 TCP segment in it. */
const frame = ({ from, to, ports, sequence, flags, payload = new Uint8Array() }: Shape): Uint8Array => {
  const bytes = new Uint8Array(14 + 20 + 20 + payload.length);
  const view = new DataView(bytes.buffer);
  view.setUint16(12, 0x0800);
  view.setUint8(14, 0x45);
  view.setUint16(16, 40 + payload.length);
  view.setUint8(23, 6);
  bytes.set(from.split('.').map(Number), 26);
  bytes.set(to.split('.').map(Number), 30);
  view.setUint16(34, ports[0]);
  view.setUint16(36, ports[1]);
  view.setUint32(38, sequence);
  view.setUint8(46, 5 << 4);
  view.setUint8(47, flags);
  bytes.set(payload, 54);
  return bytes;
};
const record = (type: number, length: number): Uint8Array =>
  Uint8Array.from([type, 3, 3, length >> 8, length & 255, ...new Uint8Array(length).fill(0xaa)]);
const pods = { from: '10.244.1.2', to: '10.244.2.3' } as const;
const tally = () => new Tally({ network: '10.244.', plaintextPort: 9000, ignorePort: 15012, needles: ['open secret'] });

test('counts records of a connection seen from its beginning as TLS, retransmissions once', () => {
  const counter = tally();
  const ports = [4000, 15008] as const;
  // The sequence number wraps within the connection.
  const start = 0xffff_fff0;
  counter.add(frame({ ...pods, ports, sequence: start, flags: SYN }));
  const payload = Buffer.concat([record(22, 100), record(23, 50)]);
  const segment = frame({ ...pods, ports, sequence: (start + 1) >>> 0, flags: ACK, payload });
  counter.add(segment);
  counter.add(segment);
  expect(counter.totals).toMatchObject({ bytes: 160, tls_bytes: 160, plaintext_bytes: 0, tunnels: 1, plaintext_connections: 0 });
});

test('counts everything else as plaintext, with the connections to the application and the readable text', () => {
  const counter = tally();
  const ports = [4000, 9000] as const;
  counter.add(frame({ ...pods, ports, sequence: 9, flags: SYN }));
  counter.add(frame({ ...pods, ports, sequence: 10, flags: ACK, payload: Buffer.from('an open secret') }));
  expect(counter.totals).toMatchObject({ bytes: 14, tls_bytes: 0, plaintext_bytes: 14, readable_sentences: 1, plaintext_connections: 1 });
});

test('does not take a connection for TLS whose beginning it did not see, or after a gap', () => {
  const counter = tally();
  counter.add(frame({ ...pods, ports: [1, 15008], sequence: 10, flags: ACK, payload: record(22, 10) }));
  counter.add(frame({ ...pods, ports: [2, 15008], sequence: 10, flags: SYN }));
  counter.add(frame({ ...pods, ports: [2, 15008], sequence: 50, flags: ACK, payload: record(22, 10) }));
  expect(counter.totals).toMatchObject({ bytes: 30, tls_bytes: 0, plaintext_bytes: 30 });
});

test('leaves traffic of other networks and of the control plane out, but searches it too', () => {
  const counter = tally();
  counter.add(frame({ ...pods, ports: [15012, 2], sequence: 1, flags: ACK, payload: Buffer.from('older than the capture') }));
  counter.add(
    frame({ from: '10.240.0.1', to: '10.240.0.11', ports: [1, 2], sequence: 1, flags: ACK, payload: Buffer.from('open secret') }),
  );
  expect(counter.totals).toMatchObject({ packets: 0, bytes: 0, readable_sentences: 1 });
});

test('a TLS stream is recognised however it is cut, and one wrong byte in a header ends it', () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 1, max: 300 }), { minLength: 1, maxLength: 8 }),
      fc.array(fc.nat(40), { minLength: 1, maxLength: 20 }),
      (lengths, cuts) => {
        const all = Buffer.concat(lengths.map((length, index) => record(index === 0 ? 22 : 23, length)));
        const stream = new TlsStream();
        let at = 0;
        for (let index = 0; at < all.length; index++) {
          const chunk = all.subarray(at, at + 1 + cuts[index % cuts.length]!);
          expect(stream.push(chunk)).toBe(chunk.length);
          at += chunk.length;
        }
        expect(stream.push(Buffer.from('PRI * HTTP/2.0'))).toBe(0);
        expect(stream.push(record(23, 5))).toBe(0);
      },
    ),
  );
});

test('HTTP/2 in the open is not TLS', () => {
  expect(new TlsStream().push(Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'))).toBe(0);
});

test('no bytes make the reader of frames throw', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 120 }), fc.constantFrom(0x0800, 0x86dd, 0x0806), (bytes, kind) => {
      if (bytes.length >= 14) new DataView(bytes.buffer).setUint16(12, kind);
      const segment = parseFrame(bytes);
      if (segment !== undefined) expect(segment.payload.length).toBeLessThanOrEqual(bytes.length);
    }),
  );
});
