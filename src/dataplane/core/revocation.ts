/** Whether the certificates of peers were revoked. Most meshes have no revocation lists: what reads them (`crl-file.ts`) is loaded only where `CRL_PATH` is set. */
import type { TcpSocket } from '../../platform/net/index.ts';

/** Which end of the connections a rejection belongs to, as metrics name it. */
export type RevocationSide = 'source' | 'destination';

export interface RevocationPolicy {
  /** Why the peer at the other end of a finished handshake is to be refused; undefined when it is not. */
  problemWith(socket: TcpSocket, side: RevocationSide): string | undefined;
  /** Calls `revoked` once when the peer is revoked later, perhaps before it returns. Returns the way to stop. */
  watch(socket: TcpSocket, side: RevocationSide, revoked: () => void): () => void;
}

let enforced: RevocationPolicy | undefined;

/** The policy of this process; undefined: nobody is revoked. */
export const revocationPolicy = (): RevocationPolicy | undefined => enforced;

export function enforceRevocation(policy: RevocationPolicy): void {
  enforced = policy;
}
