import * as grpc from '@grpc/grpc-js';
import type { TlsLimits } from '../../platform/net/index.ts';
import type { Authority, LeafRequest } from './authority.ts';
import { generateKeyPair, toPem } from './keys.ts';

const SERVING_TTL_S = 24 * 3600;
/** Half-open and slow clients may not pile up. */
const HANDSHAKE_LIMIT_MS = 10_000;

/** The names clients verify (`XDS_ADDRESS`, `CA_ADDRESS`, port-forwards). */
export function servingNames(rootNamespace: string, clusterDomain: string, extra: readonly string[]): LeafRequest['names'] {
  const dns = [
    'istiod',
    `istiod.${rootNamespace}`,
    `istiod.${rootNamespace}.svc`,
    `istiod.${rootNamespace}.svc.${clusterDomain}`,
    'istiod-remote',
    'localhost',
    ...extra,
  ];
  return [
    ...[...new Set(dns)].map((value) => ({ type: 'dns' as const, value })),
    { type: 'ip', value: '127.0.0.1' },
    { type: 'ip', value: '::1' },
  ];
}

/** Server credentials whose certificate can be replaced while listening: new handshakes see the new one, open streams stay. */
export class ServingCredentials extends grpc.ServerCredentials {
  #notAfter = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  readonly #limits: TlsLimits;

  constructor(limits: TlsLimits) {
    super({ handshakeTimeout: HANDSHAKE_LIMIT_MS });
    this.#limits = limits;
  }

  /** When half of its life is over the certificate should be replaced. */
  get notAfter(): number {
    return this.#notAfter;
  }

  /** A new key and certificate from this authority. */
  async renew(authority: Authority, names: LeafRequest['names']): Promise<void> {
    const keys = await generateKeyPair();
    const leaf = await authority.issue({
      publicKey: await crypto.subtle.exportKey('spki', keys.publicKey),
      names,
      ttlSeconds: SERVING_TTL_S,
    });
    const key = toPem('PRIVATE KEY', await crypto.subtle.exportKey('pkcs8', keys.privateKey));
    this.#notAfter = leaf.notAfter.getTime();
    this.updateSecureContextOptions({ ...this.#limits, cert: authority.chain(leaf).slice(0, -1).join(''), key });
  }

  /** Calls `renew` at half life for ever; a failure is reported and tried again in a minute. */
  keepFresh(renew: () => Promise<void>, onError: (error: Error) => void): void {
    clearTimeout(this.#timer);
    const left = this.#notAfter - Date.now();
    this.#timer = setTimeout(
      () => {
        void renew()
          .catch(onError)
          .then(() => this.keepFresh(renew, onError));
      },
      Math.max(60_000, Math.min(left / 2, 2 ** 31 - 1)),
    );
    this.#timer.unref();
  }

  stop(): void {
    clearTimeout(this.#timer);
  }

  override _isSecure(): boolean {
    return true;
  }
  override _equals(other: grpc.ServerCredentials): boolean {
    return other === this;
  }
}
