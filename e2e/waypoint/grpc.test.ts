/** gRPC through a waypoint: its own interoperability cases, @grpc/grpc-js and grpcio at either end (the latter with `PYTHON_GRPC`, a Python with grpcio-tools). */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import path from 'node:path';
import type { Subprocess } from 'bun';
import type { ServicePlan } from '../../src/mesh/http/index.ts';
import { hostOf, keyOf, WaypointLab } from './lab.ts';

const python = process.env['PYTHON_GRPC'];
const HERE = path.join(import.meta.dir, 'interop');

const CASES = [
  'empty_unary',
  'large_unary',
  'very_large_unary',
  'compressed_unary',
  'client_streaming',
  'server_streaming',
  'ping_pong',
  'empty_stream',
  'status_code_and_message',
  'special_status_message',
  'unimplemented_method',
  'unimplemented_service',
  'cancel_after_begin',
  'cancel_after_first_response',
  'timeout_on_sleeping_server',
  'custom_metadata',
] as const;

const lab = new WaypointLab();
const servers: Subprocess<'ignore', 'pipe', 'inherit'>[] = [];

async function serve(...argv: string[]): Promise<void> {
  const server = Bun.spawn(lab.command(...argv), { stdin: 'ignore', stdout: 'pipe', stderr: 'inherit' });
  servers.push(server);
  await server.stdout.getReader().read();
}

/** To whom a call goes that no case can be made of. */
const plans: ServicePlan[] = [
  {
    service: keyOf('astray'),
    ports: [
      {
        port: 80,
        http: {
          rules: [
            { match: { path: { kind: 'exact', value: '/grpc.testing.TestService/EmptyCall' } }, action: 0 },
            { match: { path: { kind: 'exact', value: '/grpc.testing.TestService/UnaryCall' } }, action: 1 },
          ],
          actions: [
            { name: 'GRPCRoute/default/a/0', backends: [{ service: keyOf('js'), port: 80, weight: 1, invalid: 'no such service' }] },
            { name: 'GRPCRoute/default/a/1', backends: [{ service: keyOf('nobody'), port: 80, weight: 1 }] },
          ],
        },
      },
    ],
  },
];

beforeAll(async () => {
  await Promise.all([
    serve(process.execPath, path.join(HERE, 'server.ts'), '127.0.0.21', '50051'),
    ...(python === undefined ? [] : [serve(python, path.join(HERE, 'peer.py'), 'server', '127.0.0.22', '50051')]),
    lab.start(
      [
        {
          name: 'js',
          ports: [
            { port: 80, targetPort: 50_051, protocol: 'GRPC' },
            { port: 81, targetPort: 50_051 },
          ],
          endpoints: ['127.0.0.21'],
        },
        { name: 'python', ports: [{ port: 80, targetPort: 50_051, protocol: 'GRPC' }], endpoints: ['127.0.0.22'] },
        { name: 'astray', ports: [{ port: 80, targetPort: 50_051, protocol: 'GRPC' }], endpoints: ['127.0.0.21'] },
        { name: 'nobody', ports: [{ port: 80, targetPort: 50_051, protocol: 'GRPC' }], endpoints: [] },
      ],
      plans,
    ),
  ]);
}, 60_000);
afterAll(async () => {
  for (const server of servers) server.kill('SIGKILL');
  await lab.stop();
});

type Result = { readonly name: string; readonly problem: string };

async function run(client: 'js' | 'python', service: string, port: number, cases: readonly string[]): Promise<Result[]> {
  const address = `127.0.0.1:${lab.open(service, port)}`;
  const argv =
    client === 'js'
      ? [process.execPath, path.join(HERE, 'client.ts'), address, ...cases]
      : [python ?? '', path.join(HERE, 'peer.py'), 'client', address, ...cases];
  const out = await lab.run(...argv);
  return out
    .trim()
    .split('\n')
    .map((line): Result => JSON.parse(line));
}

for (const [client, server, port] of [
  ['js', 'js', 80],
  ['js', 'js', 81],
  ['python', 'js', 80],
  ['js', 'python', 80],
  ['python', 'python', 80],
] as const) {
  const title = `${client === 'js' ? '@grpc/grpc-js' : 'grpcio'} to ${server === 'js' ? '@grpc/grpc-js' : 'grpcio'}${port === 81 ? ', protocol not declared' : ''}`;
  describe(title, () => {
    if (python === undefined && (client === 'python' || server === 'python')) {
      test.skip(`not run, PYTHON_GRPC is not set`, () => {});
      return;
    }
    let results: Promise<Result[]> | undefined;
    for (const name of CASES)
      test(name, async () => {
        results ??= run(client, server, port, CASES);
        expect((await results).find((result) => result.name === name)).toEqual({ name, problem: '' });
      }, 60_000);
  });
}

/** A call by hand: its answer's fields. */
async function call(service: string, method: string): Promise<{ status: string; fields: Record<string, string>; http: string }> {
  const port = lab.open(service, 80);
  const out = await lab.run(
    ...['curl', '-sS', '-m', '10', '--http2-prior-knowledge', '-D', '-', '-o', '/dev/null', '-X', 'POST', '--data-binary', '@/dev/null'],
    ...['-H', 'content-type: application/grpc', '-H', 'te: trailers', `http://127.0.0.1:${port}/grpc.testing.TestService/${method}`],
  );
  const [start = '', ...lines] = out.trim().split('\r\n');
  const fields = Object.fromEntries(lines.filter(Boolean).map((line) => line.split(': ', 2) as [string, string]));
  return { http: start.trim(), status: fields['grpc-status'] ?? '', fields };
}

test('a backend that is none is UNAVAILABLE, in trailers only', async () => {
  const { http, status, fields } = await call('astray', 'EmptyCall');
  expect(http).toBe('HTTP/2 200');
  expect(status).toBe('14');
  expect(fields['content-type']).toBe('application/grpc');
});

test('a service without endpoints is UNAVAILABLE', async () => {
  expect((await call('astray', 'UnaryCall')).status).toBe('14');
  expect((await call('nobody', 'UnaryCall')).status).toBe('14');
});

test('a method no route takes is UNIMPLEMENTED', async () => {
  expect((await call('astray', 'FullDuplexCall')).status).toBe('12');
});

test('what became of calls is in the metrics, with the status of gRPC', () => {
  const labels = { reporter: 'waypoint', request_protocol: 'grpc', destination_service: hostOf('js') };
  expect(lab.metric('istio_requests_total', { ...labels, grpc_response_status: '0' })).toBeGreaterThan(10);
  expect(lab.metric('istio_requests_total', { ...labels, grpc_response_status: '2' })).toBeGreaterThan(0);
  expect(lab.metric('istio_requests_total', { ...labels, grpc_response_status: '12', response_code: '200' })).toBeGreaterThan(0);
  expect(
    lab.metric('istio_requests_total', { request_protocol: 'grpc', response_flags: 'NR', grpc_response_status: '12' }),
  ).toBeGreaterThan(0);
});
