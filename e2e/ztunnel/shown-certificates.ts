/** The certificates a node proxy has, as `/config_dump` shows them. */
import type { TestProxy } from './lab.ts';

export interface ShownCertificate {
  readonly identity: string;
  readonly state: string;
  readonly certChain: readonly { readonly serialNumber: string }[];
  readonly rootCerts: readonly { readonly pem: string }[];
}

/** That of a service account now. */
export function certificateOf(proxy: TestProxy, account: string): ShownCertificate | undefined {
  const { certificates } = JSON.parse(proxy.http(15_000, '/config_dump')) as { certificates: ShownCertificate[] };
  return certificates.find(({ identity }) => identity.endsWith(`/sa/${account}`));
}

/** Serial number of that of a service account now, decimal. */
export const serialOf = (proxy: TestProxy, account: string): string => certificateOf(proxy, account)!.certChain[0]!.serialNumber;
