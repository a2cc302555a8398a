import { fromBinary, toBinary } from '@bufbuild/protobuf';
import * as grpc from '@grpc/grpc-js';
import type { Logger } from '../../platform/telemetry/index.ts';
import { formatIdentity, IstioCertificateRequestSchema, IstioCertificateResponseSchema } from '../wire.ts';
import type { Authenticator, Caller } from './authenticate.ts';
import type { Authority } from './authority.ts';
import { publicKeyOfRequest } from './csr.ts';
import { decideIdentity, type ImpersonationRules, type PodDirectory } from './impersonate.ts';

export interface CertificateServiceOptions {
  readonly authenticator: Authenticator;
  /** The one in force now: it may be replaced at run time. */
  readonly authority: () => Authority;
  readonly pods: PodDirectory;
  readonly rules: ImpersonationRules;
  readonly defaultTtlSeconds: number;
  readonly maxTtlSeconds: number;
  readonly log: Logger;
  /** A pod and the request for its certificate may overtake the pod's watch event by this much. */
  readonly watchLagMs?: number;
  /** `code` is the gRPC status name. */
  readonly onResult?: (code: string, seconds: number) => void;
}

const WATCH_LAG_MS = 1_000;
const WATCH_LAG_STEP_MS = 50;

type Unary = grpc.handleUnaryCall<Uint8Array, Uint8Array>;

/** `/istio.v1.auth.IstioCertificateService/CreateCertificate` (section 5). */
export function certificateService(options: CertificateServiceOptions): {
  definition: grpc.ServiceDefinition;
  implementation: grpc.UntypedServiceImplementation;
} {
  const createCertificate: Unary = (call, callback) => {
    const started = performance.now();
    sign(options, call.metadata, call.request).then(
      (response) => {
        options.onResult?.('OK', (performance.now() - started) / 1000);
        callback(null, response);
      },
      (error: unknown) => {
        const status = error instanceof Refusal ? error : new Refusal(grpc.status.INTERNAL, 'internal error', String(error));
        options.onResult?.(grpc.status[status.code]!, (performance.now() - started) / 1000);
        options.log.warn(`certificate refused: ${status.reason}`, { peer: call.getPeer() });
        callback({ code: status.code, details: status.details });
      },
    );
  };
  return {
    definition: {
      CreateCertificate: {
        path: '/istio.v1.auth.IstioCertificateService/CreateCertificate',
        requestStream: false,
        responseStream: false,
        requestSerialize: (bytes: Uint8Array) => Buffer.from(bytes),
        requestDeserialize: (bytes: Buffer) => bytes,
        responseSerialize: (bytes: Uint8Array) => Buffer.from(bytes),
        responseDeserialize: (bytes: Buffer) => bytes,
      },
    },
    implementation: { CreateCertificate: createCertificate },
  };
}

/** What the caller is told, and what the log says. */
class Refusal extends Error {
  readonly code: grpc.status;
  readonly details: string;
  readonly reason: string;

  constructor(code: grpc.status, details: string, reason: string) {
    super(reason);
    this.code = code;
    this.details = details;
    this.reason = reason;
  }
}

async function sign(options: CertificateServiceOptions, metadata: grpc.Metadata, bytes: Uint8Array): Promise<Uint8Array> {
  const header = metadata.get('authorization')[0];
  const caller = await options.authenticator.authenticate(typeof header === 'string' ? header : undefined);
  if (!caller.ok) throw new Refusal(grpc.status.UNAUTHENTICATED, 'request authenticate failure', caller.error);
  let request: ReturnType<typeof decode>;
  try {
    request = decode(bytes);
  } catch (error) {
    throw new Refusal(grpc.status.INVALID_ARGUMENT, 'the request is not an IstioCertificateRequest', String(error));
  }
  const impersonated = request.metadata?.['ImpersonatedIdentity'];
  if (impersonated !== undefined && typeof impersonated !== 'string') {
    throw new Refusal(
      grpc.status.INVALID_ARGUMENT,
      'metadata ImpersonatedIdentity must be a string',
      `ImpersonatedIdentity is a ${typeof impersonated}`,
    );
  }
  const identity = await decideWhenSeen(options, caller.value, impersonated);
  const ttl = Number(request.validityDuration);
  if (ttl > options.maxTtlSeconds) {
    const message = `the requested validity of ${ttl} s is more than the maximum of ${options.maxTtlSeconds} s`;
    throw new Refusal(grpc.status.INVALID_ARGUMENT, message, message);
  }
  const publicKey = await publicKeyOfRequest(request.csr);
  if (!publicKey.ok) throw new Refusal(grpc.status.INVALID_ARGUMENT, `CSR: ${publicKey.error}`, publicKey.error);
  const authority = options.authority();
  const name = formatIdentity(identity);
  const leaf = await authority.issue({
    publicKey: publicKey.value,
    names: [{ type: 'url', value: name }],
    ttlSeconds: ttl > 0 ? ttl : options.defaultTtlSeconds,
  });
  options.log.debug(`signed ${name} for ${caller.value.namespace}/${caller.value.serviceAccount}`, {
    not_after: leaf.notAfter.toISOString(),
  });
  return toBinary(IstioCertificateResponseSchema, {
    $typeName: 'istio.v1.auth.IstioCertificateResponse',
    certChain: authority.chain(leaf),
  });
}

async function decideWhenSeen(options: CertificateServiceOptions, caller: Caller, impersonated: string | undefined) {
  const deadline = Date.now() + (options.watchLagMs ?? WATCH_LAG_MS);
  for (;;) {
    const decision = decideIdentity(caller, impersonated, options.rules, options.pods);
    if (decision.ok) return decision.value;
    // Only a trusted node proxy may make us wait; anybody else is refused at once.
    const mayComeTrue = caller.pod !== undefined && options.rules.trustedNodeAccounts.has(`${caller.namespace}/${caller.serviceAccount}`);
    if (!mayComeTrue || Date.now() > deadline)
      throw new Refusal(grpc.status.UNAUTHENTICATED, 'request impersonation authentication failure', decision.error);
    await Bun.sleep(WATCH_LAG_STEP_MS);
  }
}

const decode = (bytes: Uint8Array) => fromBinary(IstioCertificateRequestSchema, bytes);
