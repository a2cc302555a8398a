/** `bun bench/grpc-origin.ts PORT`: the measured gRPC application over HTTP/2 without TLS, in C (see native/grpc-origin.c). */
import { cc } from 'bun:ffi';

const { symbols } = cc({
  source: new URL('./native/grpc-origin.c', import.meta.url).pathname,
  symbols: { serve: { args: ['i32'], returns: 'i32' } },
});
const code = symbols.serve(Number(process.argv[2]));
console.error(`grpc-origin: cannot listen on port ${process.argv[2]}: errno ${code}`);
process.exit(1);
