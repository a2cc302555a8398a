/** Asks the CA for workload certificates (ambient contract 5.1). */
import {
  decodeMessage,
  encodeMessage,
  GrpcCode,
  type GrpcStatus,
  grpcCodeName,
  IstioCertificateRequestTable,
  IstioCertificateResponseTable,
} from '../../protocol/index.ts';
import { readCertificate, type WorkloadCertificate } from './certificate.ts';
import type { ControlPlaneTarget, CoreConfig } from './config.ts';
import { createSigningRequest } from './csr.ts';
import { GrpcChannel } from './grpc-channel.ts';

const METHOD = '/istio.v1.auth.IstioCertificateService/CreateCertificate';
const TIMEOUT_MS = 10_000;

export class CaClient {
  readonly #channel: GrpcChannel;
  readonly #config: CoreConfig;
  readonly #impersonates: boolean;

  /** `impersonates`: the CA is asked to sign for other identities than the caller's own. */
  constructor(target: ControlPlaneTarget, config: CoreConfig, impersonates: boolean) {
    this.#channel = new GrpcChannel(target, config);
    this.#config = config;
    this.#impersonates = impersonates;
  }

  /** A certificate with a fresh key. */
  async fetch(identity: string): Promise<WorkloadCertificate> {
    const { csrPem, keyPem } = await createSigningRequest(identity);
    const request = encodeMessage(IstioCertificateRequestTable, {
      csr: csrPem,
      validityDuration: BigInt(this.#config.secretTtlSeconds),
      ...(this.#impersonates ? { metadata: { ImpersonatedIdentity: identity } } : {}),
    });
    const response = decodeMessage(IstioCertificateResponseTable, await this.#call(request));
    if (!response.ok) throw new Error(`CA: ${response.error}`);
    return readCertificate(response.value.certChain, keyPem, this.#impersonates ? identity : undefined, this.#config.tls.mesh);
  }

  close(): void {
    this.#channel.close();
  }

  #call(request: Uint8Array): Promise<Uint8Array> {
    return new Promise((resolve, reject) => {
      let answer: Uint8Array | undefined;
      const onMessage = (message: Uint8Array): void => {
        answer = message;
      };
      const onEnd = ({ code, message }: GrpcStatus): void => {
        if (code !== GrpcCode.OK) reject(new Error(`CA: ${grpcCodeName(code)}: ${message}`));
        else if (answer === undefined) reject(new Error('CA: empty answer'));
        else resolve(answer);
      };
      const call = this.#channel.call(METHOD, { onMessage, onEnd }, TIMEOUT_MS);
      call.write(request, true);
    });
  }
}
