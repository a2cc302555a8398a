/** Asks the CA for workload certificates (ambient contract 5.1). */
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import {
  type IstioCertificateRequest,
  IstioCertificateRequestSchema,
  type IstioCertificateResponse,
  IstioCertificateResponseSchema,
} from '../../protocol/index.ts';
import { readCertificate, type WorkloadCertificate } from './certificate.ts';
import type { Config, ControlPlaneTarget } from './config.ts';
import { createSigningRequest } from './csr.ts';
import { GrpcChannel } from './grpc-channel.ts';

const METHOD = '/istio.v1.auth.IstioCertificateService/CreateCertificate';
const TIMEOUT_MS = 10_000;

const serialize = (request: IstioCertificateRequest): Buffer => Buffer.from(toBinary(IstioCertificateRequestSchema, request));
const deserialize = (bytes: Buffer): IstioCertificateResponse => fromBinary(IstioCertificateResponseSchema, bytes);

export class CaClient {
  readonly #channel: GrpcChannel;
  readonly #config: Config;

  constructor(target: ControlPlaneTarget, config: Config) {
    this.#channel = new GrpcChannel(target, config);
    this.#config = config;
  }

  /** A certificate with a fresh key. In shared mode the CA is asked to sign for another identity than the caller's. */
  async fetch(identity: string): Promise<WorkloadCertificate> {
    const shared = this.#config.mode === 'shared';
    const { csrPem, keyPem } = await createSigningRequest(identity);
    const request = create(IstioCertificateRequestSchema, {
      csr: csrPem,
      validityDuration: BigInt(this.#config.secretTtlSeconds),
      ...(shared ? { metadata: { ImpersonatedIdentity: identity } } : {}),
    });
    const response = await this.#call(request);
    return readCertificate(response.certChain, keyPem, shared ? identity : undefined);
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
