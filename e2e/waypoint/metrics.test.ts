/** What a waypoint's metrics say of requests that went through it. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import fs from 'node:fs';
import http2 from 'node:http2';
import path from 'node:path';
import { until } from '../ztunnel/lab.ts';
import { WaypointLab } from './lab.ts';

const lab = new WaypointLab();
const message = (text: string): Buffer => {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(text.length, 1);
  return Buffer.concat([head, Buffer.from(text)]);
};

beforeAll(async () => {
  const grpc = http2.createServer();
  grpc.on('stream', (stream: http2.ServerHttp2Stream) => {
    stream.resume();
    stream.on('end', () => {
      stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
      stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
      stream.write(message('one'));
      stream.end(message('two'));
    });
  });
  lab.inside(() => grpc.listen(8080, '127.0.0.21'));
  await lab.start([{ name: 'grpc', ports: [{ port: 80, targetPort: 8080, protocol: 'GRPC' }], endpoints: ['127.0.0.21'] }]);
});
afterAll(() => lab.stop());

test('the messages of a gRPC call are counted in both directions', async () => {
  const file = path.join(lab.directory, 'body');
  fs.writeFileSync(file, Buffer.concat([message('a'), message(''), message('x'.repeat(100_000))]));
  const url = `http://127.0.0.1:${lab.open('grpc', 80)}/test.Echo/Call`;
  const headers = ['-H', 'content-type: application/grpc+proto', '-H', 'te: trailers'];
  await lab.run('curl', '-sS', '-m', '10', '-o', '/dev/null', '--http2-prior-knowledge', ...headers, '--data-binary', `@${file}`, url);
  const labels = { reporter: 'waypoint', request_protocol: 'grpc', destination_service_name: 'grpc', source_workload: 'client' };
  await until('the call to be counted', () => lab.metric('istio_requests_total', { ...labels, grpc_response_status: '0' }) === 1);
  expect(lab.metric('istio_request_messages_total', labels)).toBe(3);
  expect(lab.metric('istio_response_messages_total', labels)).toBe(2);
});

test('what the waypoint is doing can be read', () => {
  expect(lab.metric('lateen_waypoint_active_requests')).toBe(0);
  expect(lab.metric('lateen_waypoint_upstream_connections')).toBe(1);
  expect(lab.metric('lateen_waypoint_tunnels', { direction: 'inbound' })).toBe(1);
  expect(lab.metric('lateen_waypoint_tunnels', { direction: 'outbound' })).toBe(0);
  expect(lab.metric('lateen_access_log_lost_total')).toBe(0);
});
