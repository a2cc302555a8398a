import { createHash, createPublicKey } from 'node:crypto';
import { errors, exportJWK, importPKCS8, importSPKI, type JWK, type JWTPayload, jwtVerify, SignJWT } from 'jose';
import type { Pod } from '../../platform/kubernetes/kinds/index.ts';
import type { Context } from './context.ts';
import { LIMITS } from './limits.ts';
import type { User } from './request.ts';

/** Claims of a service account token, as Kubernetes names them. */
interface Claims extends JWTPayload {
  'kubernetes.io'?: {
    namespace: string;
    serviceaccount: { name: string; uid: string };
    pod?: { name: string; uid: string };
    node?: { name: string; uid: string };
    secret?: { name: string; uid: string };
  };
}

export interface Verified {
  readonly user: User;
  /** Those of the token's audiences that were asked for. */
  readonly audiences: readonly string[];
}

const namesOf = (audience: JWTPayload['aud']): string[] => (audience === undefined ? [] : Array.isArray(audience) ? audience : [audience]);

/** Issues and checks service account tokens: ES256, bound to their account and, when asked, to a pod. */
export class ServiceAccountTokens {
  readonly issuer: string;
  readonly #context: Context;
  readonly #key: CryptoKey;
  readonly #publicKey: CryptoKey;
  readonly jwk: JWK;
  readonly #verified = new Map<string, Claims>();

  private constructor(context: Context, issuer: string, key: CryptoKey, publicKey: CryptoKey, jwk: JWK) {
    this.#context = context;
    this.issuer = issuer;
    this.#key = key;
    this.#publicKey = publicKey;
    this.jwk = jwk;
  }

  static async create(context: Context, issuer: string, privatePem: string): Promise<ServiceAccountTokens> {
    const publicPem = createPublicKey(privatePem).export({ type: 'spki', format: 'pem' }).toString();
    const publicKey = await importSPKI(publicPem, 'ES256', { extractable: true });
    const kid = createHash('sha256').update(publicPem).digest('base64url');
    const jwk: JWK = { ...(await exportJWK(publicKey)), use: 'sig', alg: 'ES256', kid };
    return new ServiceAccountTokens(context, issuer, await importPKCS8(privatePem, 'ES256'), publicKey, jwk);
  }

  async issue(
    account: { namespace: string; name: string; uid: string },
    audiences: readonly string[],
    seconds: number,
    bound: { kind: string; name: string; uid: string } | undefined,
  ) {
    const now = Math.floor(this.#context.now() / 1000);
    const pod =
      bound?.kind === 'Pod'
        ? (this.#context.store.get('/pods', account.namespace, bound.name)?.object as unknown as Pod | undefined)
        : undefined;
    const node = pod?.spec.nodeName === undefined ? undefined : this.#context.store.get('/nodes', '', pod.spec.nodeName)?.object.metadata;
    const claims: Claims = {
      'kubernetes.io': {
        namespace: account.namespace,
        ...(node?.uid === undefined ? {} : { node: { name: node.name ?? '', uid: node.uid } }),
        ...(bound === undefined ? {} : { [bound.kind.toLowerCase()]: { name: bound.name, uid: bound.uid } }),
        serviceaccount: { name: account.name, uid: account.uid },
      },
    };
    const token = await new SignJWT(claims)
      .setProtectedHeader({ alg: 'ES256', kid: this.jwk.kid! })
      .setIssuer(this.issuer)
      .setSubject(`system:serviceaccount:${account.namespace}:${account.name}`)
      .setAudience([...audiences])
      .setIssuedAt(now)
      .setNotBefore(now)
      .setExpirationTime(now + seconds)
      .setJti(crypto.randomUUID())
      .sign(this.#key);
    return { token, expiresAt: (now + seconds) * 1000 };
  }

  /** Checks signature, time, audience, and that the account and whatever the token is bound to still exist. A reason when it is refused. */
  async verify(token: string, audiences: readonly string[]): Promise<Verified | { readonly reason: string }> {
    const claims = await this.#claims(token);
    if ('reason' in claims) return { reason: String(claims['reason']) };
    const now = this.#context.now() / 1000;
    if ((claims.exp ?? 0) <= now) return { reason: 'service account token has expired' };
    if ((claims.nbf ?? 0) > now + 10) return { reason: 'service account token is not valid yet' };
    const wanted = audiences.length === 0 ? [this.issuer] : audiences;
    const granted = namesOf(claims.aud).filter((audience) => wanted.includes(audience));
    if (granted.length === 0)
      return {
        reason: `token audiences ${JSON.stringify(namesOf(claims.aud))} is invalid for the target audiences ${JSON.stringify(wanted)}`,
      };
    const kubernetes = claims['kubernetes.io'];
    if (kubernetes === undefined) return { reason: 'the token has no kubernetes.io claims' };
    const { namespace, serviceaccount, pod, node, secret } = kubernetes;
    const { store } = this.#context;
    const alive = (resource: string, space: string, reference: { name: string; uid: string }) =>
      store.get(resource, space, reference.name)?.object.metadata.uid === reference.uid;
    if (!alive('/serviceaccounts', namespace, serviceaccount))
      return { reason: 'service account token has been invalidated: the service account no longer exists' };
    if (pod !== undefined && !alive('/pods', namespace, pod))
      return { reason: 'service account token has been invalidated: the pod it is bound to no longer exists' };
    if (secret !== undefined && !alive('/secrets', namespace, secret))
      return { reason: 'service account token has been invalidated: the secret it is bound to no longer exists' };
    const extra: Record<string, readonly string[]> = {};
    if (claims.jti !== undefined) extra['authentication.kubernetes.io/credential-id'] = [`JTI=${claims.jti}`];
    if (pod !== undefined) {
      extra['authentication.kubernetes.io/pod-name'] = [pod.name];
      extra['authentication.kubernetes.io/pod-uid'] = [pod.uid];
    }
    if (node !== undefined) {
      extra['authentication.kubernetes.io/node-name'] = [node.name];
      extra['authentication.kubernetes.io/node-uid'] = [node.uid];
    }
    return {
      user: {
        name: `system:serviceaccount:${namespace}:${serviceaccount.name}`,
        uid: serviceaccount.uid,
        groups: ['system:serviceaccounts', `system:serviceaccounts:${namespace}`, 'system:authenticated'],
        extra,
      },
      audiences: granted,
    };
  }

  async #claims(token: string): Promise<Claims | { reason: string }> {
    const known = this.#verified.get(token);
    if (known !== undefined) return known;
    try {
      const { payload } = await jwtVerify(token, this.#publicKey, {
        issuer: this.issuer,
        algorithms: ['ES256'],
        currentDate: new Date(this.#context.now()),
      });
      if (this.#verified.size >= LIMITS.tokenCache) this.#verified.delete(this.#verified.keys().next().value!);
      this.#verified.set(token, payload as Claims);
      return payload as Claims;
    } catch (error) {
      if (error instanceof errors.JOSEError) return { reason: `invalid bearer token: ${error.message}` };
      throw error;
    }
  }
}
