import { readFileSync } from 'node:fs';
import type { EndpointSlice, Node, Pod, Service } from '../../platform/kubernetes/kinds/index.ts';
import type { Context } from './context.ts';
import { badRequest, notFound, Refusal, unavailable } from './errors.ts';
import { LIMITS } from './limits.ts';
import { NodeSocket, UpgradeRefused } from './node-socket.ts';
import type { RequestInfo } from './request.ts';
import type { Entry } from './store.ts';

const DEFAULT_NODE_PORT = 10250;
const LOG_PARAMETERS = ['follow', 'tailLines', 'previous', 'sinceSeconds', 'sinceTime', 'timestamps', 'limitBytes'];
/** Headers that belong to one hop, or to this server's own caller. */
const HOP_HEADERS = [
  'authorization',
  'connection',
  'content-encoding',
  'content-length',
  'host',
  'keep-alive',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
];
const EXEC_PROTOCOLS = ['v5.channel.k8s.io', 'v4.channel.k8s.io', 'v3.channel.k8s.io', 'v2.channel.k8s.io', 'channel.k8s.io'];
const FORWARD_PROTOCOLS = ['v4.channel.k8s.io'];

/** What a client's WebSocket carries: its other half. */
export interface Bridge {
  readonly node: NodeSocket;
}

/** Forwards logs, exec, attach, port-forward and plain HTTP to the nodes and pods. */
export class NodeProxy {
  readonly #context: Context;
  readonly #tokenFile: string;

  constructor(context: Context, tokenFile: string) {
    this.#context = context;
    this.#tokenFile = tokenFile;
  }

  /** Where the runtime of a pod's node listens. */
  #nodeOf(pod: Pod): { hostname: string; port: number } {
    const name = pod.spec.nodeName ?? '';
    if (name === '') throw badRequest(`pod ${pod.metadata.name} does not have a host assigned`);
    return this.#runtimeOf(name);
  }

  #runtimeOf(name: string): { hostname: string; port: number } {
    const node = this.#context.store.get('/nodes', '', name)?.object as unknown as Node | undefined;
    if (node === undefined) throw notFound({ group: '', plural: 'nodes' }, name);
    const hostname = node.status?.addresses?.find((address) => address.type === 'InternalIP')?.address;
    if (hostname === undefined)
      throw unavailable(`node "${name}" has no InternalIP in its status: its node runtime has not registered yet`);
    return { hostname, port: node.status?.daemonEndpoints?.kubeletEndpoint?.Port ?? DEFAULT_NODE_PORT };
  }

  #token(): string {
    return readFileSync(this.#tokenFile, 'utf8').trim();
  }

  async log(url: URL, entry: Entry, signal: AbortSignal): Promise<Response> {
    const pod = entry.object as unknown as Pod; // checked against the Pod schema when it was stored
    const container = containerOf(pod, url.searchParams.get('container') ?? '');
    const { hostname, port } = this.#nodeOf(pod);
    const query = new URLSearchParams();
    for (const name of LOG_PARAMETERS) {
      const value = url.searchParams.get(name);
      if (value !== null) query.set(name, value);
    }
    const path = `/containerLogs/${encodeURIComponent(entry.namespace)}/${encodeURIComponent(entry.name)}/${encodeURIComponent(container)}?${query}`;
    let response: Response;
    try {
      response = await fetch(`http://${hostname}:${port}${path}`, { headers: { authorization: `Bearer ${this.#token()}` }, signal });
    } catch (error) {
      throw unreachable(pod, hostname, port, error);
    }
    if (response.status !== 200) throw fromNode(response.status, await response.text());
    return new Response(response.body, { headers: { 'content-type': 'text/plain' } });
  }

  /** exec, attach and portforward: the client's WebSocket is joined to the node's. */
  async stream(request: Request, server: Bun.Server<unknown>, url: URL, entry: Entry, kind: string): Promise<Response | undefined> {
    const pod = entry.object as unknown as Pod;
    const isForward = kind === 'portforward';
    if ((request.headers.get('upgrade') ?? '').toLowerCase() !== 'websocket') {
      throw badRequest(
        `Upgrade request required: ${kind} is served over WebSocket (${isForward ? FORWARD_PROTOCOLS[0] : EXEC_PROTOCOLS[0]})`,
      );
    }
    const offered = (request.headers.get('sec-websocket-protocol') ?? '').split(',').map((protocol) => protocol.trim());
    const protocols = offered.filter((protocol) => (isForward ? FORWARD_PROTOCOLS : EXEC_PROTOCOLS).includes(protocol));
    if (protocols.length === 0) {
      throw badRequest(
        `none of the WebSocket protocols offered (${offered.join(', ')}) is served for ${kind}: offer ${(isForward ? FORWARD_PROTOCOLS : EXEC_PROTOCOLS.slice(0, 2)).join(' or ')}`,
      );
    }
    const { hostname, port } = this.#nodeOf(pod);
    const query = new URLSearchParams(url.searchParams);
    query.delete('container');
    if (isForward && query.has('ports') && !query.has('port')) {
      query.set('port', query.get('ports')!);
      query.delete('ports');
    }
    const target = [entry.namespace, entry.name, ...(isForward ? [] : [containerOf(pod, url.searchParams.get('container') ?? '')])]
      .map(encodeURIComponent)
      .join('/');
    const path = `/${isForward ? 'portForward' : kind}/${target}?${query}`;
    let node: NodeSocket;
    try {
      node = await NodeSocket.connect({ hostname, port, path, token: this.#token(), protocols });
    } catch (error) {
      if (error instanceof UpgradeRefused) throw fromNode(error.status, error.message);
      throw unreachable(pod, hostname, port, error);
    }
    const data: Bridge = { node };
    if (server.upgrade(request, { data, headers: { 'sec-websocket-protocol': node.protocol } })) return undefined;
    node.close(1001, 'the client went away');
    throw badRequest('the WebSocket upgrade failed');
  }

  /** Plain HTTP to a node's runtime, a pod, or a ready endpoint of a service: `…/pods/[https:]name[:port]/proxy/…`. */
  async proxy(request: Request, url: URL, info: RequestInfo): Promise<Response> {
    const parts = info.name.split(':');
    const [scheme, name, port] = parts.length === 3 ? (parts as [string, string, string]) : ['http', parts[0]!, parts[1] ?? ''];
    if (scheme !== 'http' && scheme !== '')
      throw badRequest(`proxying to ${info.name}: only http is supported, use http:${name}:${port} or ${name}:${port}`);
    const address = this.#addressOf(info, name, port);
    const headers = new Headers(request.headers);
    for (const header of HOP_HEADERS) headers.delete(header);
    if (info.resource === 'nodes') headers.set('authorization', `Bearer ${this.#token()}`);
    try {
      const response = await fetch(`http://${address}/${info.rest}${url.search}`, {
        method: request.method,
        headers,
        redirect: 'manual',
        signal: request.signal,
        ...(request.body === null ? {} : { body: request.body }),
      });
      const answered = new Headers(response.headers);
      for (const header of HOP_HEADERS) answered.delete(header);
      return new Response(response.body, { status: response.status, headers: answered });
    } catch (error) {
      throw unavailable(`error trying to reach service: ${error instanceof Error ? error.message : String(error)}`);
    }
  }

  #addressOf(info: RequestInfo, name: string, port: string): string {
    if (info.resource === 'pods') return this.#podAddress(info.namespace, name, port);
    if (info.resource === 'services') return this.#serviceAddress(info.namespace, name, port);
    const runtime = this.#runtimeOf(name);
    // the request carries the nodes' token: it goes to the runtime and nowhere else
    if (port !== '' && Number(port) !== runtime.port)
      throw badRequest(`proxying to ${info.name}: only the node runtime's port ${runtime.port} is reachable, use ${name}`);
    return `${runtime.hostname}:${runtime.port}`;
  }

  #podAddress(namespace: string, name: string, port: string): string {
    const pod = this.#context.store.get('/pods', namespace, name)?.object as unknown as Pod | undefined;
    if (pod === undefined) throw notFound({ group: '', plural: 'pods' }, name);
    const address = pod.status?.podIP ?? '';
    if (address === '') throw badRequest(`address not allowed: pod ${name} has no IP yet`);
    const named = pod.spec.containers.flatMap((container) => container.ports ?? []);
    const number =
      port === '' ? (named[0]?.containerPort ?? 80) : (named.find((candidate) => candidate.name === port)?.containerPort ?? Number(port));
    if (!Number.isInteger(number) || number < 1 || number > 65535) throw badRequest(`pod ${name} has no port "${port}"`);
    return `${address}:${number}`;
  }

  #serviceAddress(namespace: string, name: string, port: string): string {
    const { store } = this.#context;
    const service = store.get('/services', namespace, name)?.object as unknown as Service | undefined;
    if (service === undefined) throw notFound({ group: '', plural: 'services' }, name);
    const ports = service.spec?.ports ?? [];
    const wanted = port === '' ? ports[0] : ports.find((candidate) => candidate.name === port || String(candidate.port) === port);
    if (wanted === undefined) throw unavailable(`no service port ${JSON.stringify(port)} found for service "${name}"`);
    for (const entry of store.list('discovery.k8s.io/endpointslices', namespace)) {
      if (entry.object.metadata.labels?.['kubernetes.io/service-name'] !== name) continue;
      const slice = entry.object as unknown as EndpointSlice;
      const number = slice.ports?.find((candidate) => (candidate.name ?? '') === (wanted.name ?? ''))?.port;
      const ready = slice.endpoints.find((endpoint) => endpoint.conditions?.ready !== false);
      if (number !== undefined && ready?.addresses[0] !== undefined) return `${ready.addresses[0]}:${number}`;
    }
    throw unavailable(`no endpoints available for service "${name}"`);
  }
}

function containerOf(pod: Pod, asked: string): string {
  const all = [...(pod.spec.containers ?? []), ...(pod.spec.initContainers ?? []), ...(pod.spec.ephemeralContainers ?? [])].map(
    (container) => container.name,
  );
  const name = pod.metadata.name ?? '';
  if (asked === '') {
    if (pod.spec.containers.length === 1) return pod.spec.containers[0]!.name;
    throw badRequest(
      `a container name must be specified for pod ${name}, choose one of: [${pod.spec.containers.map((container) => container.name).join(' ')}]`,
    );
  }
  if (!all.includes(asked)) throw badRequest(`container ${asked} is not valid for pod ${name}`);
  return asked;
}

/** The node's refusal, in the API's words. */
function fromNode(status: number, text: string): Refusal {
  const message = text.trim().slice(0, 1000);
  if (status === 404) return new Refusal(404, 'NotFound', message === '' ? 'the node does not know this container' : message, {});
  if (status === 400) return badRequest(message);
  return new Refusal(500, 'InternalError', `Internal error occurred: the node answered ${status}: ${message}`);
}

function unreachable(pod: Pod, hostname: string, port: number, error: unknown): Refusal {
  const why = error instanceof Error ? error.message : String(error);
  return new Refusal(
    500,
    'InternalError',
    `Internal error occurred: the runtime of node "${pod.spec.nodeName}" does not answer at ${hostname}:${port} (${why}): is the node running?`,
  );
}

/** The client half of a bridge, as Bun.serve wants it. */
export const bridgeHandlers: Bun.WebSocketHandler<Bridge> = {
  maxPayloadLength: LIMITS.streamBufferBytes,
  backpressureLimit: LIMITS.streamBufferBytes,
  idleTimeout: 0,
  sendPings: true,
  perMessageDeflate: false,
  open(client) {
    const { node } = client.data;
    node.listen({
      message: (data, isText) => {
        const sent = isText ? client.sendText(Buffer.from(data).toString('utf8')) : client.sendBinary(data);
        if (sent < 0) node.pause();
      },
      closed: (code, reason) => client.close(code === 1006 ? 1011 : code, reason.slice(0, 120)),
    });
  },
  drain(client) {
    client.data.node.resume();
  },
  message(client, message) {
    const isText = typeof message === 'string';
    client.data.node.send(isText ? Buffer.from(message) : message, isText);
  },
  close(client, code, reason) {
    client.data.node.close(code === 1005 || code === 1006 ? 1001 : code, reason);
  },
};
