/** `bun bench/bulk.ts IP PORT MEBIBYTES UPLOAD`: moves that much over one connection by the C client and prints one JSON line, in MiB and MiB/s. */
import { cc, ptr } from 'bun:ffi';

const [ip = '', port = '0', mebibytes = '1', upload = '0'] = process.argv.slice(2);
const { symbols } = cc({
  source: new URL('./native/bulk.c', import.meta.url).pathname,
  symbols: { transfer: { args: ['ptr', 'i32', 'i64', 'i32'], returns: 'i64' } },
});
const address = Buffer.from(`${ip}\0`);
const nanoseconds = Number(symbols.transfer(ptr(address), Number(port), BigInt(mebibytes) * 1_048_576n, Number(upload)));
const failed = nanoseconds <= 0;
console.log(
  JSON.stringify({
    requests: failed ? 0 : Number(mebibytes),
    errors: failed ? 1 : 0,
    rps: failed ? 0 : Number(mebibytes) / (nanoseconds / 1e9),
    p50: 0,
    p90: 0,
    p99: 0,
    p999: 0,
  }),
);
