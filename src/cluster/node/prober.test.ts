import { afterAll, expect, test } from 'bun:test';
import { portNumber, runProbe } from './probe-request.ts';
import { ProbeCounter } from './prober.ts';

const server = Bun.serve({
  port: 0,
  hostname: '127.0.0.1',
  fetch: (request) =>
    new Response(new URL(request.url).pathname, { status: Number(request.headers.get('x-status') ?? '200'), headers: { location: '/' } }),
});
afterAll(() => server.stop(true));
const port = server.port!;
const target = {
  podIP: '127.0.0.1',
  container: { name: 'c', ports: [{ name: 'web', containerPort: port }] },
  exec: async (command: readonly string[]) => ({ code: command[0] === 'true' ? 0 : 2, output: 'why' }),
};
const http = (status: string) => ({ httpGet: { port: 'web', path: '/x', httpHeaders: [{ name: 'x-status', value: status }] } });

test('an HTTP status from 200 to 399 is success, others are named', async () => {
  expect(await runProbe(http('200'), target)).toBeUndefined();
  expect(await runProbe(http('302'), target)).toBeUndefined();
  expect(await runProbe({ httpGet: { port: 1 } }, target)).toBe('Get "http://127.0.0.1:1/": connect: connection refused');
  expect(await runProbe(http('503'), target)).toBe('HTTP probe failed with statuscode: 503: /x');
});

test('a TCP probe needs only a connection', async () => {
  expect(await runProbe({ tcpSocket: { port } }, target)).toBeUndefined();
  expect(await runProbe({ tcpSocket: { port: 1 } }, target)).toBe('dial tcp 127.0.0.1:1: connect: connection refused');
});

test('an exec probe is judged by the exit code', async () => {
  expect(await runProbe({ exec: { command: ['true'] } }, target)).toBeUndefined();
  expect(await runProbe({ exec: { command: ['false'] } }, target)).toBe('why');
});

test('an unknown port name is a failure that says so', async () => {
  expect(await runProbe({ httpGet: { port: 'nope' } }, target)).toContain('no port named "nope"');
  expect(portNumber('8080', target.container)).toBe(8080);
});

test('a result changes only after its threshold of equal answers in a row', () => {
  const counter = new ProbeCounter({ successThreshold: 2, failureThreshold: 3 });
  const answers = [true, false, true, true, false, false, true, false, false, false, true];
  expect(answers.map((answer) => counter.add(answer))).toEqual([
    undefined,
    undefined,
    undefined,
    true,
    true,
    true,
    true,
    true,
    true,
    false,
    false,
  ]);
});
