/** `bun bench/origin.ts PORT BODY_BYTES`: the measured application, in C (see native/origin.c). */
import { cc } from 'bun:ffi';

const { symbols } = cc({
  source: new URL('./native/origin.c', import.meta.url).pathname,
  symbols: { serve: { args: ['i32', 'i32'], returns: 'i32' } },
});
const code = symbols.serve(Number(process.argv[2]), Number(process.argv[3] ?? 1024));
console.error(`origin: cannot listen on port ${process.argv[2]}: errno ${code}`);
process.exit(1);
