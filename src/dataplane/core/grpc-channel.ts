/** gRPC to the control plane: TLS with a root that may be exchanged on disk, and a token that is read for each call. */
import fs from 'node:fs';
import net from 'node:net';
import tls from 'node:tls';
import { ChannelCredentials, Client, type ClientOptions, Metadata } from '@grpc/grpc-js';
import type { ControlPlaneTarget, CoreConfig } from './config.ts';

const KEEPALIVE_MS = 30_000;
const KEEPALIVE_TIMEOUT_MS = 10_000;
const NAME_SENT_FOR_ADDRESSES = 'control-plane.invalid';
/** A whole mesh in one answer. */
const MAX_MESSAGE_BYTES = 200 * 1024 * 1024;

/** Root certificates: a file, inline PEM, or the system's (null). */
function readRoot(target: ControlPlaneTarget): Buffer | null {
  if (target.rootCa === 'SYSTEM') return null;
  if (target.rootCa.includes('-----BEGIN')) return Buffer.from(target.rootCa);
  try {
    return fs.readFileSync(target.rootCa);
  } catch (error) {
    throw new Error(
      `cannot read the root certificate "${target.rootCa}" of ${target.host}: ${(error as Error).message}; set XDS_ROOT_CA and CA_ROOT_CA`,
    );
  }
}

export class GrpcChannel {
  readonly #target: ControlPlaneTarget;
  readonly #config: CoreConfig;
  #client: Client | undefined;
  #root: Buffer | null = null;

  constructor(target: ControlPlaneTarget, config: CoreConfig) {
    this.#target = target;
    this.#config = config;
  }

  /** The client, rebuilt when the root on disk has changed. Throws when the root cannot be read. */
  client(): Client {
    const root = readRoot(this.#target);
    const same = root === null ? this.#root === null : this.#root !== null && root.equals(this.#root);
    if (this.#client !== undefined && same) return this.#client;
    this.#client?.close();
    this.#root = root;
    const { host, port, serverName } = this.#target;
    // An address is not allowed as the name a client sends in TLS, and Bun refuses it; it is still what the certificate must name.
    const isAddress = net.isIP(serverName) !== 0;
    const sent = isAddress ? NAME_SENT_FOR_ADDRESSES : serverName;
    const options: ClientOptions = {
      'grpc.keepalive_time_ms': KEEPALIVE_MS,
      'grpc.keepalive_timeout_ms': KEEPALIVE_TIMEOUT_MS,
      'grpc.keepalive_permit_without_calls': 1,
      'grpc.max_receive_message_length': MAX_MESSAGE_BYTES,
      'grpc.enable_retries': 0,
      'grpc.initial_reconnect_backoff_ms': 100,
      'grpc.max_reconnect_backoff_ms': 5000,
      ...(serverName === host && !isAddress ? {} : { 'grpc.ssl_target_name_override': sent, 'grpc.default_authority': serverName }),
    };
    const address = host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
    const checkServerIdentity = (_name: string, certificate: tls.PeerCertificate) => tls.checkServerIdentity(serverName, certificate);
    this.#client = new Client(address, ChannelCredentials.createSsl(root, null, null, { checkServerIdentity }), options);
    return this.#client;
  }

  /** Forgets the connection, so that the next call resolves and connects anew. */
  reset(): void {
    this.#client?.close();
    this.#client = undefined;
  }

  /** Credentials of one call. The token rotates on disk. */
  metadata(): Metadata {
    const metadata = new Metadata();
    const token = this.#config.authToken;
    if (token !== undefined) {
      const text = token.kind === 'file' ? fs.readFileSync(token.value, 'utf8').trim() : token.value;
      metadata.set('authorization', `Bearer ${text}`);
    }
    metadata.set('clusterid', this.#config.clusterId);
    for (const [name, value] of this.#target.headers) metadata.set(name.toLowerCase(), value);
    return metadata;
  }

  close(): void {
    this.#client?.close();
  }
}
