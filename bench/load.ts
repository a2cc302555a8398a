/** `bun bench/load.ts IP PORT CONNECTIONS RATE SECONDS FRESH`: runs the C client, prints one JSON line. A process of its own, so that it can be pinned and put into a namespace. */
import { cc, ptr } from 'bun:ffi';

const [ip = '', port = '0', connections = '1', rate = '0', seconds = '1', fresh = '0'] = process.argv.slice(2);
const { symbols } = cc({
  source: new URL('./native/load.c', import.meta.url).pathname,
  symbols: { run: { args: ['ptr', 'i32', 'i32', 'f64', 'f64', 'i32', 'ptr', 'ptr', 'i64', 'ptr'], returns: 'i64' } },
});
const limit = 4_000_000;
const latency = new Uint32Array(limit);
const stats = new BigInt64Array(4);
const text = (value: string) => Buffer.from(`${value}\0`);
const address = text(ip);
const head = text(`GET / HTTP/1.1\r\nhost: ${ip}\r\nuser-agent: lateen-bench\r\n\r\n`);
const count = Number(symbols.run(ptr(address), +port, +connections, +rate, +seconds, +fresh, ptr(head), ptr(latency), limit, ptr(stats)));
if (count < 0) throw new Error(`the client could not start with ${connections} connections (at most 4096)`);
const sorted = latency.subarray(0, count).sort();
const quantile = (q: number) => (sorted[Math.min(count - 1, Math.floor(q * count))] ?? 0) / 10;
const elapsed = Number(stats[2]) / 1e9;
console.log(
  JSON.stringify({
    requests: count,
    errors: Number(stats[0]),
    unanswered: Number(stats[3]),
    seconds: elapsed,
    rps: count / elapsed,
    p50: quantile(0.5),
    p90: quantile(0.9),
    p99: quantile(0.99),
    p999: quantile(0.999),
  }),
);
