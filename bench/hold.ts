/** `bun bench/hold.ts IP PORT CONNECTIONS ANSWER_BYTES`: opens the connections, has each answer a request of that length (head included), prints how many did as a JSON line, and holds them until its input ends. */
import { cc, ptr } from 'bun:ffi';

const [ip = '', port = '0', connections = '1', answer = '0'] = process.argv.slice(2);
const { symbols } = cc({
  source: new URL('./native/hold.c', import.meta.url).pathname,
  symbols: { hold: { args: ['ptr', 'i32', 'i32', 'ptr', 'i32'], returns: 'i32' } },
});
const text = (value: string) => Buffer.from(`${value}\0`);
const address = text(ip);
const request = text(`GET / HTTP/1.1\r\nhost: ${ip}\r\n\r\n`);
console.log(JSON.stringify({ held: symbols.hold(ptr(address), Number(port), Number(connections), ptr(request), Number(answer)) }));
for await (const _ of process.stdin);
