/** A server that wants a PROXY protocol header: prints each as hexadecimal digits, a line each, and joins the rest with another server. */
import net from 'node:net';

const [at = '', target = ''] = process.argv.slice(2);
const addressOf = (text: string): { host: string; port: number } => {
  const colon = text.lastIndexOf(':');
  return { host: text.slice(0, colon), port: Number(text.slice(colon + 1)) };
};

/** Octets of the header at the beginning of `head`; 0: not all of it is there. */
function headerLength(head: Buffer): number {
  if (head.toString('latin1', 0, 5) === 'PROXY') return head.indexOf('\r\n') + 2 < 2 ? 0 : head.indexOf('\r\n') + 2;
  return head.length < 16 || head.length < 16 + head.readUInt16BE(14) ? 0 : 16 + head.readUInt16BE(14);
}

const server = net.createServer({ allowHalfOpen: true }, (socket) => {
  let head: Buffer | undefined = Buffer.alloc(0);
  const inner = net.connect({ ...addressOf(target), allowHalfOpen: true });
  inner.on('error', () => socket.destroy());
  socket.on('error', () => inner.destroy());
  inner.pipe(socket);
  socket.on('end', () => inner.end());
  socket.on('data', (chunk: Buffer) => {
    if (head === undefined) {
      inner.write(chunk);
      return;
    }
    head = Buffer.concat([head, chunk]);
    const length = headerLength(head);
    if (length === 0) return;
    process.stdout.write(`${head.toString('hex', 0, length)}\n`);
    inner.write(head.subarray(length));
    head = undefined;
  });
});
server.listen(addressOf(at), () => process.stdout.write('listening\n'));
