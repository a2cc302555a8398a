import { afterAll, beforeAll, expect, test } from 'bun:test';
import { TestServer } from './test-server.ts';

/** Stands in for a node runtime: the contract's paths on a real socket. */
const asked: string[] = [];
let nodeToken = '';
const node = Bun.serve<{ path: string }>({
  hostname: '127.0.0.1',
  port: 0,
  idleTimeout: 0,
  fetch(request, self) {
    const url = new URL(request.url);
    asked.push(url.pathname + url.search);
    if (request.headers.get('authorization') !== `Bearer ${nodeToken}` && !url.pathname.startsWith('/app'))
      return new Response('no', { status: 401 });
    if (url.pathname.startsWith('/containerLogs/'))
      return url.pathname.endsWith('/waiting') ? new Response('container is waiting to start', { status: 400 }) : new Response('line\n');
    if (url.pathname === '/stats/summary') return Response.json({ node: { nodeName: 'node1' }, pods: [] });
    if (url.pathname.startsWith('/app')) return new Response(`hello ${url.search}`, { status: 201, headers: { 'x-app': 'yes' } });
    const protocol = (request.headers.get('sec-websocket-protocol') ?? '').split(',')[0]!;
    self.upgrade(request, { data: { path: url.pathname }, headers: { 'sec-websocket-protocol': protocol } });
    return undefined;
  },
  websocket: {
    backpressureLimit: 256 * 1024 * 1024,
    message(socket, message) {
      const text = Buffer.from(message as Uint8Array).toString();
      if (text !== 'flood') return void socket.sendBinary(Buffer.from(message as Uint8Array));
      for (let index = 0; index < 1024; index++) socket.sendBinary(Buffer.alloc(65536, index % 256));
      socket.close(1000);
    },
  },
});

const server = new TestServer();
const PODS = '/api/v1/namespaces/default/pods';
beforeAll(async () => {
  await server.start();
  nodeToken = server.read('kubelet.token');
  await server.call('POST', '/api/v1/nodes', {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name: 'node1' },
    status: { addresses: [{ type: 'InternalIP', address: '127.0.0.1' }], daemonEndpoints: { kubeletEndpoint: { Port: node.port } } },
  });
  const containers = [
    { name: 'c', image: 'i', ports: [{ name: 'http', containerPort: node.port }] },
    { name: 'waiting', image: 'i' },
  ];
  await server.call('POST', PODS, { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'p' }, spec: { nodeName: 'node1', containers } });
  await server.call('PATCH', `${PODS}/p/status`, { status: { podIP: '127.0.0.1' } }, { 'content-type': 'application/merge-patch+json' });
});
afterAll(async () => {
  await node.stop(true);
  await server.stop();
});

function connect(path: string, protocol: string): WebSocket {
  const options = {
    headers: { authorization: `Bearer ${server.read('admin.token')}` },
    protocols: [protocol],
    tls: { ca: server.read('pki/ca.crt') },
  };
  // Bun's WebSocket takes headers and TLS options; the DOM type does not know them
  const socket = new WebSocket(server.url.replace('https', 'wss') + path, options as unknown as string[]);
  socket.binaryType = 'arraybuffer';
  return socket;
}
const opened = (socket: WebSocket) => new Promise((resolve, reject) => Object.assign(socket, { onopen: resolve, onerror: reject }));

test('logs come from the container’s node, with the options the client gave', async () => {
  const response = await server.fetch('GET', `${PODS}/p/log?container=c&tailLines=5&timestamps=true&pretty=1`);
  expect(await response.text()).toBe('line\n');
  expect(asked.at(-1)).toBe('/containerLogs/default/p/c?tailLines=5&timestamps=true');
});

test('a refusal of the node is passed on, and an unnamed container is asked for', async () => {
  expect((await server.call('GET', `${PODS}/p/log?container=waiting`)).body).toMatchObject({
    code: 400,
    message: 'container is waiting to start',
  });
  expect((await server.call('GET', `${PODS}/p/log`)).body.message).toBe(
    'a container name must be specified for pod p, choose one of: [c waiting]',
  );
  expect((await server.call('GET', `${PODS}/p/log?container=none`)).status).toBe(400);
});

test('exec and portforward pass messages both ways, in the protocol the node chose', async () => {
  for (const [path, protocol] of [
    ['exec?container=c&command=cat&stdin=true', 'v5.channel.k8s.io'],
    ['portforward?ports=80', 'v4.channel.k8s.io'],
  ] as const) {
    const socket = connect(`${PODS}/p/${path}`, protocol);
    await opened(socket);
    expect(socket.protocol).toBe(protocol);
    const answer = new Promise<MessageEvent>((resolve) => Object.assign(socket, { onmessage: resolve }));
    socket.send(Buffer.from('\0hello'));
    expect(Buffer.from((await answer).data as ArrayBuffer).toString()).toBe('\0hello');
    socket.close();
  }
  expect(asked).toContain('/exec/default/p/c?command=cat&stdin=true');
  expect(asked).toContain('/portForward/default/p?port=80');
});

test('a stream larger than any buffer arrives whole', async () => {
  const socket = connect(`${PODS}/p/exec?container=c&command=x`, 'v4.channel.k8s.io');
  await opened(socket);
  let size = 0;
  const closed = new Promise((resolve) => Object.assign(socket, { onclose: resolve }));
  socket.onmessage = (event) => {
    size += (event.data as ArrayBuffer).byteLength;
  };
  socket.send(Buffer.from('flood'));
  await closed;
  expect(size).toBe(64 * 1024 * 1024);
}, 30_000);

test('exec without a WebSocket, or of a pod without a node, is a clear 400', async () => {
  expect((await server.call('POST', `${PODS}/p/exec?container=c&command=x`)).body).toMatchObject({
    code: 400,
    message: expect.stringContaining('Upgrade request required'),
  });
  await server.call('POST', PODS, {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'unscheduled' },
    spec: { containers: [{ name: 'c', image: 'i' }] },
  });
  expect((await server.call('GET', `${PODS}/unscheduled/log`)).body.message).toBe('pod unscheduled does not have a host assigned');
});

test('plain HTTP reaches the pod by number or name of its port', async () => {
  for (const name of [`p:${node.port}`, 'p:http', 'p']) {
    const response = await server.fetch('GET', `${PODS}/${name}/proxy/app/x?y=1`);
    expect([response.status, response.headers.get('x-app'), await response.text()]).toEqual([201, 'yes', 'hello ?y=1']);
  }
});

test('the statistics of a node come through nodes/proxy, for whoever may use that subresource', async () => {
  const STATS = '/api/v1/nodes/node1/proxy/stats/summary';
  for (const path of [STATS, STATS.replace('node1', `node1:${node.port}`)])
    expect(await server.call('GET', path)).toMatchObject({ status: 200, body: { node: { nodeName: 'node1' } } });
  expect((await server.call('GET', STATS.replace('node1', 'node1:22'))).status).toBe(400);
  expect((await server.call('GET', STATS.replace('node1', 'other'))).status).toBe(404);

  const asReader = { 'impersonate-user': 'reader' };
  const RBAC = '/apis/rbac.authorization.k8s.io/v1';
  const allow = async (name: string, resource: string) => {
    await server.call('POST', `${RBAC}/clusterroles`, {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'ClusterRole',
      metadata: { name },
      rules: [{ apiGroups: [''], resources: [resource], verbs: ['get'] }],
    });
    await server.call('POST', `${RBAC}/clusterrolebindings`, {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'ClusterRoleBinding',
      metadata: { name },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name },
      subjects: [{ apiGroup: 'rbac.authorization.k8s.io', kind: 'User', name: 'reader' }],
    });
  };
  await allow('nodes-only', 'nodes');
  expect((await server.call('GET', STATS, undefined, asReader)).status).toBe(403);
  await allow('nodes-proxy', 'nodes/proxy');
  expect((await server.call('GET', STATS, undefined, asReader)).status).toBe(200);
});
