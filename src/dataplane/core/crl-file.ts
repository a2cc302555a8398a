/** The revocation lists of `CRL_PATH`: read at the start, watched, and held against new peers and those there are (ambient contract 1.2). */
import fs from 'node:fs';
import path from 'node:path';
import type { TcpSocket } from '../../platform/net/index.ts';
import type { Counter, Logger, Registry } from '../../platform/telemetry/index.ts';
import { type CertificateFacts, factsOf, type RevocationList, readRevocationLists, revokedIn } from './crl.ts';
import { enforceRevocation, type RevocationPolicy, type RevocationSide } from './revocation.ts';

/** After the last change seen in the directory: a mounted ConfigMap is exchanged in several steps. */
const DEBOUNCE_MS = 2000;
/** Certificates of one chain that are looked at: the TLS library allows fewer. */
const MAX_CHAIN = 100;

interface Watched {
  readonly chain: readonly CertificateFacts[];
  readonly side: RevocationSide;
  readonly revoked: () => void;
}

export interface CrlFileOptions {
  readonly path: string;
  readonly logger: Logger;
  readonly telemetry: Registry;
}

export class CrlFile implements RevocationPolicy {
  readonly #path: string;
  readonly #log: Logger;
  readonly #rejections: Counter;
  readonly #failures: Counter;
  readonly #watched = new Set<Watched>();
  readonly #chains = new WeakMap<TcpSocket, readonly CertificateFacts[]>();
  #lists: readonly RevocationList[] = [];
  #watcher: fs.FSWatcher | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** Throws when there is a file that cannot be used: who starts with it must not take revoked peers for good. One that is not there yet may come later. */
  constructor({ path: file, logger, telemetry }: CrlFileOptions) {
    this.#path = file;
    this.#log = logger;
    this.#rejections = telemetry.counter(
      'istio_crl_policy_rejections',
      'Peers refused or cut off because their certificate was revoked (unstable)',
      ['reporter'],
    );
    this.#failures = telemetry.counter('lateen_crl_reload_failures', 'Changes of the revocation lists that could not be used (unstable)');
    try {
      this.#read();
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT')
        throw new Error(`CRL_PATH "${file}": ${(error as Error).message}; correct the file or unset the variable`);
      logger.warn('there is no revocation list yet: nobody is revoked', { path: file });
    }
    this.#watch();
  }

  problemWith(socket: TcpSocket, side: RevocationSide): string | undefined {
    const revoked = revokedIn(this.#chainOf(socket), this.#lists);
    if (revoked === undefined) return undefined;
    this.#rejections.labels({ reporter: side }).inc();
    return `peer certificate revoked by CRL: serial ${revoked.serial} of ${revoked.issuer}`;
  }

  watch(socket: TcpSocket, side: RevocationSide, revoked: () => void): () => void {
    const watched: Watched = { chain: this.#chainOf(socket), side, revoked };
    this.#watched.add(watched);
    return () => this.#watched.delete(watched);
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#watcher?.close();
  }

  /** As the TLS library has verified it. */
  #chainOf(socket: TcpSocket): readonly CertificateFacts[] {
    const known = this.#chains.get(socket);
    if (known !== undefined) return known;
    // A member of TLS sockets that the types of the generic one lack. `false`: with its issuers.
    const { getPeerCertificate } = socket as { getPeerCertificate?: (abbreviated: boolean) => PeerCertificate | undefined };
    const chain: CertificateFacts[] = [];
    let next = getPeerCertificate?.call(socket, false);
    while (next?.raw !== undefined && chain.length < MAX_CHAIN) {
      chain.push(factsOf(new Uint8Array(next.raw)));
      next = next.issuerCertificate === next ? undefined : next.issuerCertificate;
    }
    this.#chains.set(socket, chain);
    return chain;
  }

  #read(): void {
    this.#lists = readRevocationLists(fs.readFileSync(this.#path));
    const revoked = this.#lists.reduce((sum, list) => sum + list.size, 0);
    this.#log.info('revocation lists are in force', { path: this.#path, lists: this.#lists.length, certificates: revoked });
  }

  #watch(): void {
    const changed = (): void => {
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => this.#reload(), DEBOUNCE_MS);
    };
    try {
      // The directory: mounted ConfigMaps and editors put a new file in the place of the old one.
      this.#watcher = fs.watch(path.dirname(this.#path), changed);
      this.#watcher.on('error', (error) =>
        this.#log.error('revocation lists are no longer watched', { path: this.#path, error: error.message }),
      );
    } catch (error) {
      throw new Error(
        `CRL_PATH "${this.#path}": its directory cannot be watched: ${(error as Error).message}; create it, or unset the variable`,
      );
    }
  }

  #reload(): void {
    try {
      this.#read();
    } catch (error) {
      this.#failures.inc();
      this.#log.error('the new revocation lists cannot be used, those from before stay in force', {
        path: this.#path,
        error: (error as Error).message,
      });
      return;
    }
    for (const watched of [...this.#watched]) {
      if (!this.#watched.has(watched) || revokedIn(watched.chain, this.#lists) === undefined) continue;
      this.#watched.delete(watched);
      this.#rejections.labels({ reporter: watched.side }).inc();
      watched.revoked();
    }
  }
}

interface PeerCertificate {
  readonly raw?: Uint8Array;
  readonly issuerCertificate?: PeerCertificate;
}

/** From now on revoked peers are refused in this process. Throws with the reason when the file cannot be used. */
export function startRevocation(options: CrlFileOptions): CrlFile {
  const file = new CrlFile(options);
  enforceRevocation(file);
  return file;
}
