import { afterEach, expect, test } from 'bun:test';
import { KubeClient } from './client.ts';
import { forwardPort } from './port-forward.ts';
import { exec, exitCodeOf, openPortForward } from './streams.ts';

const cleanup: (() => unknown)[] = [];
afterEach(() => {
  for (const undo of cleanup.splice(0)) undo();
});

interface Session {
  readonly url: URL;
  readonly offered: string;
  closedStdin: boolean;
}
const frame = (channel: number, payload: Uint8Array | string): Uint8Array =>
  Buffer.concat([Uint8Array.of(channel), typeof payload === 'string' ? Buffer.from(payload) : payload]);
const portOf = (url: URL): Uint8Array => {
  const port = Number(url.searchParams.get('ports'));
  return Uint8Array.of(port & 0xff, port >> 8);
};

/** A kubelet's side of the stream protocols, over a real WebSocket. */
function serve(options: {
  protocol: string;
  open?: (send: (data: Uint8Array) => void, session: Session) => void;
  message: (send: (data: Uint8Array) => void, data: Uint8Array, session: Session) => void;
}) {
  const sessions: Session[] = [];
  const server = Bun.serve<Session>({
    port: 0,
    hostname: '127.0.0.1',
    fetch(request, self) {
      const session: Session = {
        url: new URL(request.url),
        offered: request.headers.get('sec-websocket-protocol') ?? '',
        closedStdin: false,
      };
      sessions.push(session);
      return self.upgrade(request, { data: session, headers: { 'sec-websocket-protocol': options.protocol } })
        ? undefined
        : new Response('no', { status: 400 });
    },
    websocket: {
      open: (socket) => options.open?.((data) => socket.send(data), socket.data),
      message: (socket, data) => options.message((reply) => socket.send(reply), new Uint8Array(data as unknown as Buffer), socket.data),
    },
  });
  cleanup.push(() => server.stop(true));
  return {
    sessions,
    client: new KubeClient({
      server: `http://127.0.0.1:${server.port}`,
      token: 't',
      insecureSkipTlsVerify: false,
      namespace: 'default',
      context: 'test',
    }),
  };
}

test('exec sends input, closes it in v5, and returns output and exit code', async () => {
  const { client, sessions } = serve({
    protocol: 'v5.channel.k8s.io',
    message: (send, data) => {
      if (data[0] === 0) send(frame(1, `echo ${Buffer.from(data.subarray(1)).toString()}`));
      if (data[0] === 255 && data[1] === 0) {
        send(frame(2, 'warned'));
        send(
          frame(
            3,
            JSON.stringify({ status: 'Failure', reason: 'NonZeroExitCode', details: { causes: [{ reason: 'ExitCode', message: '3' }] } }),
          ),
        );
      }
    },
  });
  const out: string[] = [];
  const session = await exec(client, {
    namespace: 'shop',
    pod: 'web',
    container: 'app',
    command: ['cat', '-'],
    stdin: true,
    onStdout: (chunk) => out.push(`1:${Buffer.from(chunk)}`),
    onStderr: (chunk) => out.push(`2:${Buffer.from(chunk)}`),
  });
  session.writeStdin(Buffer.from('hello'));
  session.closeStdin();
  expect(await session.exit).toBe(3);
  expect(out).toEqual(['1:echo hello', '2:warned']);
  expect(sessions[0]!.url.pathname).toBe('/api/v1/namespaces/shop/pods/web/exec');
  expect(sessions[0]!.url.searchParams.getAll('command')).toEqual(['cat', '-']);
  expect(sessions[0]!.offered).toContain('v5.channel.k8s.io');
});

test('a command that cannot run is an error, and so is a connection that ends without a status', async () => {
  expect(exitCodeOf(Buffer.from(JSON.stringify({ status: 'Success' })), 'x')).toBe(0);
  expect(
    exitCodeOf(Buffer.from(JSON.stringify({ status: 'Failure', reason: 'InternalError', message: 'no such file' })), 'exec'),
  ).toMatchObject({ message: 'exec: no such file' });
  expect(exitCodeOf(Buffer.from('plain words'), 'exec')).toMatchObject({ message: 'exec: plain words' });
  const { client } = serve({ protocol: 'v4.channel.k8s.io', message: () => {} });
  const session = await exec(client, { namespace: 'shop', pod: 'web', command: ['sleep'] });
  session.close();
  await expect(session.exit).rejects.toThrow('before the command ended');
});

test('a local port carries connections into the pod, each on its own, in both directions and at length', async () => {
  const { client, sessions } = serve({
    protocol: 'v4.channel.k8s.io',
    open: (send, session) => {
      send(frame(0, portOf(session.url)));
      send(frame(1, portOf(session.url)));
    },
    message: (send, data) => send(data), // an echo: channel 0 both ways
  });
  const errors: Error[] = [];
  const forward = forwardPort(client, { namespace: 'shop', pod: 'web', port: 15020 }, { onError: (error) => errors.push(error) });
  cleanup.push(() => forward.close());
  const size = 300_000;
  const echo = (byte: number) =>
    new Promise<number>((resolve, reject) => {
      let got = 0;
      let rest = Buffer.alloc(size, byte);
      const push = (socket: { write(data: Uint8Array): number }) => {
        while (rest.length > 0) {
          const taken = socket.write(rest);
          if (taken <= 0) return;
          rest = rest.subarray(taken);
        }
      };
      void Bun.connect({
        hostname: '127.0.0.1',
        port: forward.port,
        socket: {
          open: push,
          drain: push,
          data(socket, chunk) {
            if (chunk.some((value) => value !== byte)) reject(new Error('bytes of another connection'));
            got += chunk.length;
            if (got < size) return;
            socket.end();
            resolve(got);
          },
        },
      });
    });
  expect(await Promise.all([echo(1), echo(2)])).toEqual([size, size]);
  expect(sessions.length).toBe(2);
  expect(errors).toEqual([]);
});

test('an error of the pod side and a wrong port announcement end the connection with the reason', async () => {
  const ended = async (open: (send: (data: Uint8Array) => void, session: Session) => void): Promise<Error | undefined> => {
    const { client } = serve({ protocol: 'v4.channel.k8s.io', open, message: () => {} });
    const { promise, resolve } = Promise.withResolvers<Error | undefined>();
    await openPortForward(client, { namespace: 'shop', pod: 'web', port: 80 }, { onData: () => {}, onClose: resolve });
    return promise;
  };
  expect(
    await ended((send, session) => {
      send(frame(0, portOf(session.url)));
      send(frame(1, portOf(session.url)));
      send(frame(1, 'connection refused'));
    }),
  ).toMatchObject({ message: 'port-forward to pod shop/web port 80: connection refused' });
  expect((await ended((send) => send(frame(0, Uint8Array.of(1, 1)))))?.message).toContain('another port');
  expect((await ended((send) => send(frame(7, 'x'))))?.message).toContain('channel 7');
});

test('a refused upgrade is an error that names the request', async () => {
  const server = Bun.serve({
    port: 0,
    hostname: '127.0.0.1',
    fetch: () => Response.json({ kind: 'Status', code: 403, message: 'no' }, { status: 403 }),
  });
  cleanup.push(() => server.stop(true));
  const client = new KubeClient({
    server: `http://127.0.0.1:${server.port}`,
    insecureSkipTlsVerify: false,
    namespace: 'default',
    context: 'test',
  });
  await expect(exec(client, { namespace: 'shop', pod: 'web', command: ['x'] })).rejects.toThrow('/api/v1/namespaces/shop/pods/web/exec');
});
