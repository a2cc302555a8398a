/** Which versions, suites and key exchanges of TLS are spoken: ambient contract 1.2; `COMPLIANCE_POLICY` as all of Istio's components have it. */
import type { TLSOptions } from 'bun';

/** `pqc`: TLS 1.3 only, with a key exchange that is safe against quantum computers. */
export type CompliancePolicy = 'none' | 'pqc';

/** With `ecdhCurve`, which Bun takes on both sides and its types lack. */
export type TlsLimits = Pick<TLSOptions, 'secureOptions' | 'ciphers'> & { readonly ecdhCurve?: string };

/** X25519 joined with ML-KEM-768 (RFC draft ietf-tls-ecdhe-mlkem). Without a policy it is the first of four on offer. */
const POST_QUANTUM_GROUP = 'X25519MLKEM768';
/** SSL_OP_NO_TLSv1 and 1.1. */
const FROM_TLS12 = 0x0400_0000 | 0x1000_0000;
/** With SSL_OP_NO_TLSv1_2. */
const FROM_TLS13 = FROM_TLS12 | 0x0800_0000;
/** Those of TLS 1.2; those of 1.3 cannot be chosen. */
const TLS12_SUITES = [
  'ECDHE-ECDSA-AES256-GCM-SHA384',
  'ECDHE-RSA-AES256-GCM-SHA384',
  'ECDHE-ECDSA-AES128-GCM-SHA256',
  'ECDHE-RSA-AES128-GCM-SHA256',
];

/** The policy a value of `COMPLIANCE_POLICY` names; undefined: none that can be kept. See {@link complianceProblem}. */
export function compliancePolicy(value: string | undefined): CompliancePolicy | undefined {
  const name = value?.trim().toLowerCase() ?? '';
  return name === '' ? 'none' : name === 'pqc' ? 'pqc' : undefined;
}

export const complianceProblem = (value: string | undefined): string =>
  `COMPLIANCE_POLICY: "${value}" cannot be kept: set "pqc" or leave it unset; Bun's cryptographic library (BoringSSL) is no module validated by FIPS 140`;

/** Within the mesh. `tls12`: that version may be spoken too (`TLS12_ENABLED`); no policy allows it. */
export function meshTls(policy: CompliancePolicy, tls12 = false): TlsLimits {
  if (policy === 'pqc') return { secureOptions: FROM_TLS13, ecdhCurve: POST_QUANTUM_GROUP };
  return tls12 ? { secureOptions: FROM_TLS12, ciphers: TLS12_SUITES.join(':') } : { secureOptions: FROM_TLS13 };
}

/** With servers that are not of the mesh: what they like, unless a policy says otherwise. */
export const outsideTls = (policy: CompliancePolicy): TlsLimits => (policy === 'none' ? { secureOptions: FROM_TLS12 } : meshTls(policy));
