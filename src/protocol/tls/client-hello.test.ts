import { expect, test } from 'bun:test';
import net from 'node:net';
import tls from 'node:tls';
import fc from 'fast-check';
import { readServerName } from './client-hello.ts';

/** What a real client sends first. */
async function clientHello(servername: string | undefined): Promise<Uint8Array> {
  const received = Promise.withResolvers<Uint8Array>();
  const server = net.createServer((socket) => {
    socket.once('data', (chunk) => {
      received.resolve(Buffer.from(chunk));
      socket.destroy();
    });
    socket.on('error', () => {});
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as net.AddressInfo;
  const client = tls.connect({ port, host: '127.0.0.1', rejectUnauthorized: false, ...(servername === undefined ? {} : { servername }) });
  client.on('error', () => {});
  const hello = await received.promise;
  client.destroy();
  server.close();
  return hello;
}

test('reads the server name a real client sends', async () => {
  expect(readServerName(await clientHello('Model.Example.com'))).toEqual({ kind: 'name', name: 'model.example.com' });
});

test('a client without a server name has an empty one', async () => {
  expect(readServerName(await clientHello(''))).toEqual({ kind: 'name', name: '' });
});

test('every beginning of a hello asks for more', async () => {
  const hello = await clientHello('model.example.com');
  for (let length = 0; length < hello.length; length++) expect(readServerName(hello.subarray(0, length))).toEqual({ kind: 'more' });
});

test('a hello spread over several records reads the same', async () => {
  const hello = await clientHello('model.example.com');
  const body = hello.subarray(5);
  for (const cut of [1, 3, 4, 50]) {
    const record = (part: Uint8Array): number[] => [22, 3, 1, part.length >> 8, part.length & 255, ...part];
    const split = Uint8Array.from([...record(body.subarray(0, cut)), ...record(body.subarray(cut))]);
    expect(readServerName(split)).toEqual({ kind: 'name', name: 'model.example.com' });
  }
});

test('garbage is invalid or unfinished, never an exception', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => {
      expect(['more', 'name', 'invalid']).toContain(readServerName(bytes).kind);
      expect(['more', 'name', 'invalid']).toContain(readServerName(Uint8Array.from([22, 3, 1, 0, 200, 1, 0, 0, 196, ...bytes])).kind);
    }),
  );
});
