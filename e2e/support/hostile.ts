/**
 * Bytes nobody should send, sent to one port: `hostile.ts HOST PORT [tls]`, run where the port can be reached. With `tls` the bytes come after a
 * handshake without a client certificate. Prints one JSON line: how each attack ended. With `idle` instead, connections that send nothing or half a
 * greeting are held until the other side ends them: prints how many it did not end within the limit.
 */
import net from 'node:net';
import tls from 'node:tls';

/** `refused`: no connection. `ended`: the other side closed or reset it. `answered`: it said something and left it open. `open`: it still waits. */
export interface Attack {
  readonly name: string;
  readonly outcome: 'refused' | 'ended' | 'answered' | 'open';
  readonly received: number;
}

const WAIT_MS = 3_000;
const IDLE_CONNECTIONS = 100;
const IDLE_LIMIT_MS = 30_000;
const MEBIBYTE = 1024 * 1024;
/** The beginning of a ClientHello that promises more. */
const HALF_HELLO = Buffer.from('1603010200010001fc0303', 'hex');
const FRAME_HEADER = (length: number, type: number, flags: number, stream: number): Buffer => {
  const header = Buffer.alloc(9);
  header.writeUIntBE(length, 0, 3);
  header[3] = type;
  header[4] = flags;
  header.writeUInt32BE(stream, 5);
  return header;
};
const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
const SETTINGS = FRAME_HEADER(0, 4, 0, 0);

const noise = (length: number): Buffer => {
  const bytes = Buffer.alloc(length);
  let state = 12_345;
  for (let at = 0; at < length; at++) {
    state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fff_ffff;
    bytes[at] = state >>> 16;
  }
  return bytes;
};

/** Chunks are sent one after another with `pauseMs` between them; `end` closes our side afterwards, `reset` cuts the connection. */
interface Plan {
  readonly name: string;
  readonly chunks: readonly Buffer[];
  readonly pauseMs?: number;
  readonly after?: 'end' | 'reset';
}
const bytes = (text: string): Buffer => Buffer.from(text, 'latin1');
const plans: readonly Plan[] = [
  { name: 'nothing, then half closed', chunks: [], after: 'end' },
  { name: 'nothing, held open', chunks: [] },
  { name: 'noise', chunks: [noise(4_096)] },
  { name: 'a mebibyte of zeros', chunks: [Buffer.alloc(MEBIBYTE)] },
  { name: 'noise, then reset', chunks: [noise(4_096)], after: 'reset' },
  { name: 'a ClientHello cut short', chunks: [HALF_HELLO], after: 'end' },
  { name: 'a ClientHello that never goes on', chunks: [HALF_HELLO] },
  { name: 'a TLS record longer than records may be', chunks: [Buffer.concat([bytes('\x16\x03\x01\xff\xff'), noise(65_535)])] },
  { name: 'an HTTP/1 request that is none', chunks: [bytes('\0\0 / HTTP/9.9\r\n\r\n')] },
  { name: 'an HTTP/1 head of a mebibyte', chunks: [bytes(`GET / HTTP/1.1\r\nHost: x\r\nX: ${'a'.repeat(MEBIBYTE)}`)] },
  { name: 'a hundred thousand HTTP/1 headers', chunks: [bytes(`GET / HTTP/1.1\r\nHost: x\r\n${'a: b\r\n'.repeat(100_000)}`)] },
  {
    name: 'lengths that contradict',
    chunks: [bytes('POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 50\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n')],
  },
  { name: 'a slow HTTP/1 head', chunks: [...'GET / HTTP'].map(bytes), pauseMs: 100 },
  { name: 'an HTTP/2 preface with a fault', chunks: [bytes('PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n'), noise(64)] },
  {
    name: 'an HTTP/2 frame of 16 MiB',
    chunks: [Buffer.concat([PREFACE, SETTINGS, FRAME_HEADER(0xff_ffff, 0, 0, 1), Buffer.alloc(65_536)])],
  },
  { name: 'an HTTP/2 frame before SETTINGS', chunks: [Buffer.concat([PREFACE, FRAME_HEADER(4, 3, 0, 1), Buffer.alloc(4)])] },
  {
    name: 'HTTP/2 headers that do not decode',
    chunks: [Buffer.concat([PREFACE, SETTINGS, FRAME_HEADER(64, 1, 5, 1), Buffer.alloc(64, 0xff)])],
  },
  {
    name: 'ten thousand HTTP/2 pings',
    chunks: [
      Buffer.concat([
        PREFACE,
        SETTINGS,
        ...Array.from({ length: 10_000 }, () => Buffer.concat([FRAME_HEADER(8, 6, 0, 0), Buffer.alloc(8)])),
      ]),
    ],
  },
];

async function attack(plan: Plan, host: string, port: number, overTls: boolean): Promise<Attack> {
  const socket = overTls
    ? tls.connect({ host, port, rejectUnauthorized: false, ALPNProtocols: ['h2', 'http/1.1'] })
    : net.connect({ host, port, allowHalfOpen: true });
  let received = 0;
  let connected = false;
  const ended = new Promise<'ended'>((resolve) => {
    socket.on('close', () => resolve('ended'));
    socket.on('end', () => resolve('ended'));
  });
  socket.on('error', () => {}); // the end is what counts, not how
  socket.on('data', (chunk) => {
    received += chunk.length;
  });
  const open = new Promise<void>((resolve) => socket.once(overTls ? 'secureConnect' : 'connect', () => resolve()));
  await Promise.race([
    open.then(() => {
      connected = true;
    }),
    ended,
    Bun.sleep(WAIT_MS),
  ]);
  if (!connected) {
    socket.destroy();
    return { name: plan.name, outcome: 'refused', received };
  }
  const sending = (async () => {
    for (const chunk of plan.chunks) {
      if (socket.destroyed) return;
      socket.write(chunk);
      if (plan.pauseMs !== undefined) await Bun.sleep(plan.pauseMs);
    }
    if (plan.after === 'end') socket.end();
    if (plan.after === 'reset') (socket as net.Socket).resetAndDestroy();
  })();
  const outcome = await Promise.race([
    ended,
    sending.then(() => Bun.sleep(WAIT_MS)).then(() => (received > 0 ? ('answered' as const) : ('open' as const))),
  ]);
  socket.destroy();
  return { name: plan.name, outcome, received };
}

async function idle(host: string, port: number): Promise<number> {
  const starts = [undefined, HALF_HELLO, bytes('GET / HT')];
  const ends = starts.map(async (start) => {
    const socket = net.connect({ host, port });
    if (start !== undefined) socket.write(start);
    socket.on('error', () => {}); // the end is what counts, not how
    socket.resume();
    const ended = new Promise<boolean>((resolve) => socket.on('close', () => resolve(true)));
    return await Promise.race([ended, Bun.sleep(IDLE_LIMIT_MS).then(() => false)]);
  });
  return (await Promise.all(ends)).filter((ended) => !ended).length;
}

if (import.meta.main) {
  const [host = '', port = '', mode] = process.argv.slice(2);
  if (mode === 'idle') {
    console.log(await idle(host, Number(port)));
    process.exit(0);
  }
  const crowd = Array.from({ length: IDLE_CONNECTIONS }, () => net.connect({ host, port: Number(port) }).on('error', () => {})); // refused is fine
  const all = await Promise.all(plans.map((plan) => attack(plan, host, Number(port), mode === 'tls')));
  for (const socket of crowd) socket.destroy();
  console.log(JSON.stringify(all));
  process.exit(0);
}
