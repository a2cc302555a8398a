/** Asks the CA for workload certificates (ambient contract 5.1). */
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import {
  type IstioCertificateRequest,
  IstioCertificateRequestSchema,
  type IstioCertificateResponse,
  IstioCertificateResponseSchema,
} from '../../protocol/index.ts';
import { readCertificate, type WorkloadCertificate } from './certificate.ts';
import type { ControlPlaneTarget, CoreConfig } from './config.ts';
import { createSigningRequest } from './csr.ts';
import { GrpcChannel } from './grpc-channel.ts';

const METHOD = '/istio.v1.auth.IstioCertificateService/CreateCertificate';
const TIMEOUT_MS = 10_000;

const serialize = (request: IstioCertificateRequest): Buffer => Buffer.from(toBinary(IstioCertificateRequestSchema, request));
const deserialize = (bytes: Buffer): IstioCertificateResponse => fromBinary(IstioCertificateResponseSchema, bytes);

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
    const request = create(IstioCertificateRequestSchema, {
      csr: csrPem,
      validityDuration: BigInt(this.#config.secretTtlSeconds),
      ...(this.#impersonates ? { metadata: { ImpersonatedIdentity: identity } } : {}),
    });
    const response = await this.#call(request);
    return readCertificate(response.certChain, keyPem, this.#impersonates ? identity : undefined);
  }

  close(): void {
    this.#channel.close();
  }

  #call(request: IstioCertificateRequest): Promise<IstioCertificateResponse> {
    const client = this.#channel.client();
    const metadata = this.#channel.metadata();
    return new Promise((resolve, reject) => {
      client.makeUnaryRequest(
        METHOD,
        serialize,
        deserialize,
        request,
        metadata,
        { deadline: Date.now() + TIMEOUT_MS },
        (error, response) => {
          if (error) reject(new Error(`CA: ${error.code} ${error.details}`));
          else if (response) resolve(response);
          else reject(new Error('CA: empty answer'));
        },
      );
    });
  }
}
