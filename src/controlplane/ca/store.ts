import { isAlreadyExists, isNotFound, type KubeClient, type Secret, SecretKind } from '../../platform/kubernetes/index.ts';
import { Authority, AuthorityError, type AuthorityMaterial } from './authority.ts';

/** Made by us, or by an istiod before us. */
export const ROOT_SECRET = 'istio-ca-secret';
/** Brought by the operator; wins when present. */
export const PLUGIN_SECRET = 'cacerts';
const ROOT_SECRET_TYPE = 'istio.io/ca-root';

/** The CA in force: the operator's `cacerts`, else `istio-ca-secret`, else a new root that is stored there before it is used. */
export async function loadAuthority(
  client: KubeClient,
  namespace: string,
  organization: string,
): Promise<{ authority: Authority; source: string }> {
  const plugin = await read(client, namespace, PLUGIN_SECRET);
  if (plugin !== undefined) return { authority: await fromSecret(plugin), source: PLUGIN_SECRET };
  const stored = await read(client, namespace, ROOT_SECRET);
  if (stored !== undefined) return { authority: await fromSecret(stored), source: ROOT_SECRET };
  const created = await Authority.createRoot(organization);
  try {
    await client.create(SecretKind, secretOf(created, namespace));
    return { authority: created, source: ROOT_SECRET };
  } catch (error) {
    if (!isAlreadyExists(error)) throw error;
    // Another replica was first: its root is the mesh's root, ours was never used.
    return { authority: await fromSecret((await read(client, namespace, ROOT_SECRET))!), source: ROOT_SECRET };
  }
}

export function secretOf(authority: Authority, namespace: string): Secret {
  const { certPem, keyPem, chainPem, rootPem } = authority.material;
  return {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name: ROOT_SECRET, namespace },
    type: ROOT_SECRET_TYPE,
    data: {
      'ca-cert.pem': base64(certPem),
      'ca-key.pem': base64(keyPem),
      'cert-chain.pem': base64(chainPem),
      'root-cert.pem': base64(rootPem),
    },
  };
}

/** Both layouts; an empty `root-cert.pem` means the CA is its own root. */
export async function fromSecret(secret: Secret): Promise<Authority> {
  const name = `Secret ${secret.metadata.namespace}/${secret.metadata.name}`;
  const field = (key: string): string => Buffer.from(secret.data?.[key] ?? '', 'base64').toString('utf8');
  const certPem = field('ca-cert.pem');
  const keyPem = field('ca-key.pem');
  if (certPem === '' || keyPem === '')
    throw new AuthorityError(`${name} lacks ca-cert.pem or ca-key.pem. Restore them, or delete the Secret to start with a new root.`);
  const material: AuthorityMaterial = { certPem, keyPem, chainPem: field('cert-chain.pem'), rootPem: field('root-cert.pem') || certPem };
  try {
    return await Authority.load(material);
  } catch (error) {
    throw error instanceof AuthorityError ? new AuthorityError(`${name}: ${error.message}`) : error;
  }
}

async function read(client: KubeClient, namespace: string, name: string): Promise<Secret | undefined> {
  try {
    return await client.get<Secret>(SecretKind, name, { namespace });
  } catch (error) {
    if (isNotFound(error)) return undefined;
    throw error;
  }
}

const base64 = (text: string): string => Buffer.from(text, 'utf8').toString('base64');
