import { afterEach, expect, test } from 'bun:test';
import { UdpSocket } from './index.ts';

const closers: (() => void)[] = [];
afterEach(() => {
  for (const close of closers.splice(0)) close();
});

const BEFORE = 40;
const AFTER = 40;

/** A server on a shared port that notes what it reads and answers each datagram with its own name. */
function serverAt(address: string, port: number, name: string) {
  const received: string[] = [];
  const socket: UdpSocket = new UdpSocket(
    { address, port, reusePort: true },
    {
      onDatagram: (datagram, from, sender) => {
        received.push(datagram.toString());
        socket.send(Buffer.from(name), from, sender);
      },
      onUdpError: () => {},
    },
  );
  closers.push(() => socket.close());
  return { socket, received };
}

/** Sends from a socket and so a port of its own, within the call. */
async function senders(address: string, port: number) {
  const answers: string[] = [];
  const events = { onDatagram: (datagram: Buffer) => void answers.push(datagram.toString()), onUdpError: () => {} };
  const sockets = Array.from({ length: BEFORE + AFTER }, () => new UdpSocket({ address, port, connect: true }, events));
  closers.push(() => {
    for (const socket of sockets) socket.close();
  });
  // Until Bun has them ready, sending is put off.
  await Bun.sleep(20);
  return { answers, send: (i: number): void => sockets[i]!.send(Buffer.from(String(i)), port, address) };
}

const numbers = (from: number, count: number): string[] => Array.from({ length: count }, (_, i) => String(from + i));
const sorted = (texts: readonly string[]): string[] => texts.toSorted((a, b) => Number(a) - Number(b));

test.each(['127.0.0.1', '::1'])(
  'on %s a retired socket delivers what it had got, and those it shares the port with get the rest',
  async (address) => {
    const port = 30_000 + Math.floor(Math.random() * 2_000);
    const old = serverAt(address, port, 'old');
    await Bun.sleep(20);
    const { answers, send } = await senders(address, port);
    for (let i = 0; i < BEFORE; i++) send(i);
    const next = serverAt(address, port, 'next');
    const { promise, resolve } = Promise.withResolvers<void>();
    old.socket.retire(() => {
      old.socket.close();
      resolve();
    });
    // The first socket has read nothing yet: all this is one turn of the loop.
    expect(old.received).toEqual([]);
    for (let i = BEFORE; i < BEFORE + AFTER; i++) send(i);
    await promise;
    await Bun.sleep(50);
    expect(sorted(old.received)).toEqual(numbers(0, BEFORE));
    expect(sorted(next.received)).toEqual(numbers(BEFORE, AFTER));
    expect(answers.filter((name) => name === 'old')).toHaveLength(BEFORE);
    expect(answers.filter((name) => name === 'next')).toHaveLength(AFTER);
  },
);

test('a retired socket that holds nothing is done at once, and alone on its port leaves a sender refused', async () => {
  const address = '127.0.0.1';
  const port = 32_100 + Math.floor(Math.random() * 500);
  const only = serverAt(address, port, 'only');
  await Bun.sleep(20);
  let done = false;
  only.socket.retire(() => {
    done = true;
  });
  expect(done).toBe(true);
  const refused = Promise.withResolvers<string>();
  const sender = new UdpSocket(
    { address, port, connect: true },
    { onDatagram: () => refused.resolve('answered'), onUdpError: ({ code }) => refused.resolve(code ?? '') },
  );
  closers.push(() => sender.close());
  sender.send(Buffer.from('late'), port, address);
  expect(await refused.promise).toBe('ECONNREFUSED');
});
