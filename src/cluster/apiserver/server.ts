import { existsSync, mkdirSync, unlinkSync } from 'node:fs';
import { connect, createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { Api } from './api.ts';
import { Authentication } from './authentication.ts';
import { Authorization } from './authorization.ts';
import { bootstrap } from './bootstrap.ts';
import type { Context } from './context.ts';
import { Definitions } from './definitions.ts';
import { LIMITS } from './limits.ts';
import { Namespaces } from './namespaces.ts';
import { type Bridge, bridgeHandlers, NodeProxy } from './node-proxy.ts';
import { loadPki, secretFile } from './pki.ts';
import { ResourceTypes } from './resources.ts';
import { ServiceAccountTokens } from './service-account-tokens.ts';
import { ServiceAddresses } from './service-addresses.ts';
import { Store } from './store.ts';
import { Watches } from './watches.ts';

export interface ServerOptions {
  readonly stateDir: string;
  readonly listenAddress: string;
  readonly port: number;
  readonly unixSocket?: string;
  readonly advertiseAddress: string;
  readonly servingNames: readonly string[];
  readonly serviceCidr: string;
  readonly issuer: string;
  readonly kubeletTokenFile: string;
  readonly nodeNames: readonly string[];
  log(message: string): void;
}

export interface RunningServer {
  readonly port: number;
  readonly store: Store;
  stop(): Promise<void>;
}

/** Starts the API server: state, keys, bootstrap objects, listeners. */
export async function startServer(options: ServerOptions): Promise<RunningServer> {
  const { stateDir, log } = options;
  mkdirSync(stateDir, { recursive: true, mode: 0o700 });
  const store = new Store(stateDir);
  const types = new ResourceTypes();
  const addresses = new ServiceAddresses(store, options.serviceCidr);
  const names = [
    ...new Set([
      ...['kubernetes', 'kubernetes.default', 'kubernetes.default.svc', 'kubernetes.default.svc.cluster.local', 'localhost'],
      ...[
        '127.0.0.1',
        addresses.at(1),
        options.advertiseAddress,
        ...(options.listenAddress === '0.0.0.0' ? [] : [options.listenAddress]),
        ...options.servingNames,
      ],
    ]),
  ];
  const pki = await loadPki(stateDir, names, Date.now());
  secretFile(join(stateDir, 'admin.token'));
  mkdirSync(join(stateDir, 'components'), { recursive: true, mode: 0o700 });
  for (const component of ['controllers', ...options.nodeNames.map((name) => `node-${name}`)])
    secretFile(join(stateDir, 'components', `${component}.token`));
  secretFile(options.kubeletTokenFile);

  const context: Context = { store, types, addresses, caCertificate: pki.caCertificate, now: Date.now, log };
  const tokens = await ServiceAccountTokens.create(context, options.issuer, pki.serviceAccountKey);
  const authorization = new Authorization(store);
  new Definitions(context);
  const watches = new Watches(context);
  const nodes = new NodeProxy(context, options.kubeletTokenFile);
  const advertised = `${options.advertiseAddress}:${options.port}`;
  const api = new Api({ context, authentication: new Authentication(stateDir, tokens), authorization, tokens, watches, nodes, advertised });
  let server: Bun.Server<Bridge>;
  try {
    server = Bun.serve<Bridge>({
      hostname: options.listenAddress,
      port: options.port,
      tls: { cert: pki.servingCertificate, key: pki.servingKey },
      // one more byte than the limit, so that the answer is ours and not the library's
      maxRequestBodySize: LIMITS.bodyBytes * 2,
      idleTimeout: 240,
      websocket: bridgeHandlers,
      fetch: (request, self) => api.handle(request, self as Bun.Server<unknown>) as Promise<Response>, // undefined after an upgrade, as Bun wants it
    });
  } catch (error) {
    store.close();
    throw error;
  }
  bootstrap(context, { address: options.advertiseAddress, port: server.port ?? options.port });
  new Namespaces(context);
  const unix =
    options.unixSocket === undefined
      ? undefined
      : await pumpUnixSocket(
          options.unixSocket,
          options.listenAddress === '0.0.0.0' ? '127.0.0.1' : options.listenAddress,
          server.port ?? options.port,
        );
  return {
    port: server.port ?? options.port,
    store,
    stop: async () => {
      unix?.close();
      if (options.unixSocket !== undefined && existsSync(options.unixSocket)) unlinkSync(options.unixSocket);
      watches.closeAll();
      await server.stop(true);
      store.close();
    },
  };
}

/** Passes raw bytes (TLS included) from a unix socket to the TCP listener: the way in from another network namespace. */
async function pumpUnixSocket(path: string, hostname: string, port: number): Promise<Server> {
  if (existsSync(path)) unlinkSync(path);
  const listener = createServer({ allowHalfOpen: true }, (client) => {
    const upstream = connect({ host: hostname, port, allowHalfOpen: true });
    const close = () => {
      client.destroy();
      upstream.destroy();
    };
    client.on('error', close);
    upstream.on('error', close);
    client.on('close', close);
    upstream.on('close', close);
    client.pipe(upstream);
    upstream.pipe(client);
  });
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  listener.once('error', reject);
  listener.listen(path, resolve);
  await promise;
  return listener;
}
