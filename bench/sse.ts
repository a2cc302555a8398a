/** `bun bench/sse.ts IP PORT CONNECTIONS SECONDS EVENTS BYTES EVERY`: runs the C client of event streams (see native/sse.c), prints one JSON line. EVERY is in microseconds. */
import { cc, ptr } from 'bun:ffi';
import { quantiles } from './stats.ts';

const [ip = '', port = '0', connections = '1', seconds = '1', events = '50', bytes = '200', every = '20000'] = process.argv.slice(2);
const { symbols } = cc({
  source: new URL('./native/sse.c', import.meta.url).pathname,
  symbols: {
    run: { args: ['ptr', 'i32', 'i32', 'f64', 'f64', 'i32', 'ptr', 'ptr', 'ptr', 'ptr', 'ptr', 'ptr'], returns: 'i64' },
  },
});
const limit = 1_000_000;
const first = new Uint32Array(limit);
const delay = new Uint32Array(limit);
const uneven = new Uint32Array(limit);
const counts = new BigInt64Array(3).fill(BigInt(limit));
const stats = new BigInt64Array(3);
const text = (value: string) => Buffer.from(`${value}\0`);
const address = text(ip);
const head = text(`GET /sse?events=${events}&bytes=${bytes}&every=${every} HTTP/1.1\r\nhost: ${ip}\r\naccept: text/event-stream\r\n\r\n`);
const length = (+events * +every) / 1e6;
const streams = Number(
  symbols.run(
    ptr(address),
    +port,
    +connections,
    +seconds,
    length,
    +events,
    ptr(head),
    ptr(first),
    ptr(delay),
    ptr(uneven),
    ptr(counts),
    ptr(stats),
  ),
);
if (streams < 0) throw new Error(`the client could not start with ${connections} connections (at most 1024, all of them at once)`);
const elapsed = Number(stats[1]) / 1e9;
const seen = (values: Uint32Array, index: number) => quantiles(values.subarray(0, Number(counts[index])));
console.log(
  JSON.stringify({
    requests: streams,
    errors: Number(stats[0]),
    events: Number(stats[2]),
    seconds: elapsed,
    rps: streams / elapsed,
    ...seen(first, 0),
    series: { delay: seen(delay, 1), uneven: seen(uneven, 2) },
  }),
);
