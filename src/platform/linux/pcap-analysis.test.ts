import { afterAll, expect, test } from 'bun:test';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import fc from 'fast-check';
import { fileChunks, pcapHeader, recordHeader } from './capture.ts';
import { inNetworkNamespace } from './netns.ts';
import { analyzePcap, PcapError } from './pcap-analysis.ts';
import { isRecordHeader, TlsFraming } from './tls-framing.ts';

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'na-pcap-'));
afterAll(() => fs.rmSync(folder, { recursive: true }));

const record = (length: number, type = 0x17) =>
  Buffer.concat([Buffer.from([type, 3, 3, length >> 8, length & 255]), Buffer.alloc(length, 0x2a)]);

/** An Ethernet frame with IPv4 and TCP; `forward` is from 10.0.0.1:4000 to 10.0.0.2:15008. */
function frame(sequence: number, payload: Uint8Array = new Uint8Array(), options: { syn?: boolean; back?: boolean; server?: number } = {}) {
  const tcp = Buffer.alloc(20);
  const ports = [4000, options.server ?? 15008];
  if (options.back) ports.reverse();
  tcp.writeUInt16BE(ports[0]!, 0);
  tcp.writeUInt16BE(ports[1]!, 2);
  tcp.writeUInt32BE(sequence >>> 0, 4);
  tcp[12] = 5 << 4;
  tcp[13] = options.syn ? 2 : 0x10;
  const ip = Buffer.alloc(20);
  ip[0] = 0x45;
  ip.writeUInt16BE(40 + payload.length, 2);
  ip[9] = 6;
  ip.set([10, 0, 0, options.back ? 2 : 1], 12);
  ip.set([10, 0, 0, options.back ? 1 : 2], 16);
  return Buffer.concat([Buffer.alloc(12), Buffer.from([8, 0]), ip, tcp, payload]);
}

const pcap = (...frames: Buffer[]) =>
  Buffer.concat([pcapHeader(), ...frames.flatMap((one) => [recordHeader(0, one.length, one.length), one])]);
const flowOf = (file: Buffer, needles: string[] = []) => analyzePcap([file], needles).flows[0]!;

test('accepts a flow whose bytes are all inside TLS records', () => {
  const file = pcap(
    frame(99, undefined, { syn: true }),
    frame(100, record(300, 0x16)),
    frame(499, undefined, { syn: true, back: true }),
    frame(500, record(40), { back: true }),
  );
  expect(flowOf(file, ['secret'])).toEqual({
    protocol: 'tcp',
    client: { address: '10.0.0.1', port: 4000 },
    server: { address: '10.0.0.2', port: 15008 },
    packets: 4,
    payloadBytes: 350,
    isAllTls: true,
    missingBytes: 0,
    needles: [],
  });
});

test.each([
  ['at the begin', [frame(99, undefined, { syn: true }), frame(100, Buffer.from('GET / HTTP/1.1\r\n'))]],
  ['after a record', [frame(99, undefined, { syn: true }), frame(100, Buffer.concat([record(10), Buffer.from('plain text')]))]],
  [
    'in the answer',
    [
      frame(99, undefined, { syn: true }),
      frame(1, undefined, { syn: true, back: true }),
      frame(2, Buffer.from('HTTP/1.1 200 OK'), { back: true }),
    ],
  ],
] as const)('finds plain text %s', (_, frames) => {
  const flow = flowOf(pcap(...frames));
  expect(flow.isAllTls).toBe(false);
  expect(flow.firstPlainBytes).toBeString();
});

test('puts segments into order, ignores retransmissions and wraps the sequence', () => {
  const bytes = Buffer.concat([record(1000), record(2000)]);
  const start = 0xffffff00;
  const part = (from: number, to: number) => frame(start + from, bytes.subarray(from, to));
  const flow = flowOf(
    pcap(frame(start - 1, undefined, { syn: true }), part(900, 1500), part(0, 1000), part(0, 1000), part(1500, bytes.length)),
  );
  expect([flow.isAllTls, flow.payloadBytes, flow.missingBytes]).toEqual([true, bytes.length, 0]);
});

test('begins in the middle of a record when the flow was open before the capture, but not in plain text', () => {
  const open = pcap(frame(1, Buffer.alloc(700, 7)), frame(701, record(50)), frame(756, record(60)));
  expect(flowOf(open).isAllTls).toBe(true);
  const plain = Array.from({ length: 20 }, (_, i) => frame(1 + i * 1000, Buffer.alloc(1000, 0x61)));
  expect(flowOf(pcap(...plain)).isAllTls).toBe(false);
});

test('counts bytes the capture does not have and goes on behind them', () => {
  const flow = flowOf(
    pcap(
      frame(99, undefined, { syn: true }),
      frame(100, record(1000).subarray(0, 200)),
      frame(500, record(1000).subarray(400)),
      frame(1105, record(10)),
    ),
  );
  expect([flow.missingBytes, flow.isAllTls]).toEqual([200, true]);
});

test('finds a needle that is split over segments, and names each once', () => {
  const file = pcap(
    frame(99, undefined, { syn: true }),
    frame(100, Buffer.from('the inter')),
    frame(109, Buffer.from('national word, international')),
  );
  expect(flowOf(file, ['international', 'absent', '']).needles).toEqual(['international']);
});

test('keeps flows apart and counts what is no flow', () => {
  const arp = Buffer.alloc(42);
  arp.writeUInt16BE(0x0806, 12);
  const report = analyzePcap([pcap(frame(1, record(1)), frame(1, record(1), { server: 80 }), arp)]);
  expect(report.flows.map(({ server }) => server.port)).toEqual([15008, 80]);
  expect([report.packets, report.ignoredPackets]).toEqual([3, 1]);
});

test('refuses what is no capture', () => {
  expect(() => analyzePcap([Buffer.alloc(100)])).toThrow(PcapError);
  expect(() => analyzePcap([])).toThrow('shorter than the header');
});

test('gives the same report however the file is cut, and survives any bytes behind the header', () => {
  const file = pcap(frame(99, undefined, { syn: true }), frame(100, record(300)), frame(405, Buffer.from('plain')));
  const whole = analyzePcap([file], ['plain']);
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 120 }), { minLength: 1 }), (sizes) => {
      const pieces: Buffer[] = [];
      for (let at = 0, i = 0; at < file.length; i++) {
        const size = sizes[i % sizes.length]!;
        pieces.push(file.subarray(at, at + size));
        at += size;
      }
      expect(analyzePcap(pieces, ['plain'])).toEqual(whole);
    }),
  );
  fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => void analyzePcap([pcap(Buffer.from(bytes), frame(1, bytes))])));
});

test('follows records in any split', () => {
  const bytes = Buffer.concat([record(3), record(0), record(17), record(5, 0x15)]);
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: bytes.length })), (cuts) => {
      const framing = new TlsFraming();
      framing.atStart();
      let from = 0;
      for (const to of [...cuts.sort((a, b) => a - b), bytes.length]) {
        framing.push(bytes.subarray(from, to));
        from = to;
      }
      expect(framing.isAllTls).toBe(true);
    }),
  );
  expect(isRecordHeader(Buffer.from([0x17, 3, 3, 0xff, 0xff]))).toBe(false);
});

test('captures what a bridge forwards between two of its ports', async () => {
  const names = ['b', '1', '2'].map((suffix) => `na-${process.pid}c${suffix}`);
  const [bridge, one, two] = names as [string, string, string];
  const ip = (...argv: string[]) => expect(Bun.spawnSync(['ip', ...argv]).stderr.toString()).toBe('');
  for (const name of names) ip('netns', 'add', name);
  try {
    ip('-n', bridge, 'link', 'add', 'br0', 'type', 'bridge');
    for (const [i, name] of [one, two].entries()) {
      ip('-n', bridge, 'link', 'add', `p${i}`, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', name);
      ip('-n', bridge, 'link', 'set', `p${i}`, 'master', 'br0', 'up');
      ip('-n', name, 'addr', 'add', `10.203.0.${i + 1}/24`, 'dev', 'eth0');
      ip('-n', name, 'link', 'set', 'eth0', 'up');
    }
    ip('-n', bridge, 'link', 'set', 'br0', 'up');
    const file = path.join(folder, 'bridge.pcap');
    const program = `import { runCapture } from '${import.meta.dir}/capture.ts'; process.exit(await runCapture(['-i', 'br0', '-o', '${file}']));`;
    const child = Bun.spawn(['ip', 'netns', 'exec', bridge, process.execPath, '-e', program], { stdout: 'pipe', stderr: 'inherit' });
    while (!fs.existsSync(file)) await Bun.sleep(5);
    const fds = [one, two].map((name) => fs.openSync(`/run/netns/${name}`, 'r')) as [number, number];
    const listener = inNetworkNamespace(fds[1], () =>
      Bun.listen({ hostname: '10.203.0.2', port: 7000, socket: { data: (socket, data) => void socket.write(data) } }),
    );
    const client = Bun.spawnSync(['ip', 'netns', 'exec', one, 'true']);
    expect(client.exitCode).toBe(0);
    const answered = Bun.spawn(
      ['ip', 'netns', 'exec', one, 'bash', '-c', 'exec 3<>/dev/tcp/10.203.0.2/7000; echo readable words >&3; head -n 1 <&3'],
      { stdout: 'pipe' },
    );
    expect(await new Response(answered.stdout).text()).toBe('readable words\n');
    child.kill('SIGTERM');
    const result = JSON.parse(await new Response(child.stdout).text());
    listener.stop(true);
    for (const fd of fds) fs.closeSync(fd);
    expect(result.dropped).toBe(0);
    const report = analyzePcap(fileChunks(file), ['readable words']);
    const flow = report.flows.find(({ server }) => server.port === 7000)!;
    expect(flow).toMatchObject({ payloadBytes: 30, isAllTls: false, missingBytes: 0, needles: ['readable words'] });
  } finally {
    for (const name of names) ip('netns', 'del', name);
  }
}, 60_000);
