/**
 * `bun bench/load.ts ROUTES PORT CONNECTIONS RATE SECONDS FRESH [CALLS]`: runs the C client, prints one JSON line. A process of its own, so that it can be pinned and put into a namespace.
 * ROUTES is an address, or several with commas between, which the connections take in turn; `NAMESPACE@ADDRESS` connects from inside that network namespace.
 * With CALLS, what counts as a request is a chain of that many calls one after the other (one connection, closed loop).
 */
import { cc, ptr } from 'bun:ffi';
import fs from 'node:fs';
import { chains, quantiles } from './stats.ts';

const [where = '', port = '0', connections = '1', rate = '0', seconds = '1', fresh = '0', calls = '1'] = process.argv.slice(2);
const { symbols } = cc({
  source: new URL('./native/load.c', import.meta.url).pathname,
  symbols: { run: { args: ['ptr', 'i32', 'i32', 'f64', 'f64', 'i32', 'ptr', 'ptr', 'i64', 'ptr'], returns: 'i64' } },
});
const limit = 4_000_000;
const latency = new Uint32Array(limit);
const stats = new BigInt64Array(5);
const text = (value: string) => Buffer.from(`${value}\0`);
const routes = where.split(',').map((route) => {
  const [ip = '', namespace] = route.split('@').reverse();
  return { ip, namespace: namespace === undefined ? -1 : fs.openSync(`/run/netns/${namespace}`, 'r') };
});
const table = Buffer.alloc(routes.length * 12);
for (const [index, { ip, namespace }] of routes.entries()) {
  table.set(ip.split('.').map(Number), index * 12);
  table.writeInt32LE(+port, index * 12 + 4);
  table.writeInt32LE(namespace, index * 12 + 8);
}
const head = text(`GET / HTTP/1.1\r\nhost: ${routes[0]!.ip}\r\nuser-agent: lateen-bench\r\n\r\n`);
const count = Number(
  symbols.run(ptr(table), routes.length, +connections, +rate, +seconds, +fresh, ptr(head), ptr(latency), limit, ptr(stats)),
);
if (count < 0) throw new Error(`the client could not start with ${connections} connections (at most 4096)`);
const taken = chains(latency.subarray(0, count), +calls);
const elapsed = Number(stats[2]) / 1e9;
console.log(
  JSON.stringify({
    requests: taken.length,
    errors: Number(stats[0]),
    unanswered: Number(stats[3]),
    seconds: elapsed,
    rps: taken.length / elapsed,
    ...(+rate > 0 ? { offered: Number(stats[4]) / +seconds } : {}),
    ...quantiles(taken),
  }),
);
