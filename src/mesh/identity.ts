import type { Identity, Workload } from './model.ts';

export const DEFAULT_TRUST_DOMAIN = 'cluster.local';
export const DEFAULT_SERVICE_ACCOUNT = 'default';
export const DEFAULT_CLUSTER_ID = 'Kubernetes';

const SCHEME = 'spiffe://';

/** `spiffe://<trust domain>/ns/<namespace>/sa/<service account>`. */
export const formatIdentity = (identity: Identity): string => SCHEME + principalOf(identity);

/** The identity without scheme, `td/ns/<namespace>/sa/<service account>`: what `principals` in policies compare with. */
export const principalOf = (identity: Identity): string => `${identity.trustDomain}/ns/${identity.namespace}/sa/${identity.serviceAccount}`;

/** Exactly five non-empty parts with literal `ns` and `sa`; anything else is undefined (ambient contract 1.2). */
export const parseIdentity = (uri: string): Identity | undefined => {
  if (!uri.startsWith(SCHEME)) return undefined;
  const parts = uri.slice(SCHEME.length).split('/');
  if (parts.length !== 5 || parts[1] !== 'ns' || parts[3] !== 'sa' || parts.includes('')) return undefined;
  return { trustDomain: parts[0]!, namespace: parts[2]!, serviceAccount: parts[4]! };
};

export const sameIdentity = (a: Identity, b: Identity): boolean =>
  a.trustDomain === b.trustDomain && a.namespace === b.namespace && a.serviceAccount === b.serviceAccount;

/** The identity a workload's certificate must carry. */
export const workloadIdentity = (workload: Pick<Workload, 'trustDomain' | 'namespace' | 'serviceAccount'>): Identity => ({
  trustDomain: workload.trustDomain || DEFAULT_TRUST_DOMAIN,
  namespace: workload.namespace,
  serviceAccount: workload.serviceAccount || DEFAULT_SERVICE_ACCOUNT,
});

export const workloadSpiffeId = (workload: Workload): string => formatIdentity(workloadIdentity(workload));

/**
 * Every SPIFFE identity in a certificate's `subjectaltname` text as Node and Bun print it:
 * `URI:spiffe://…, DNS:name`, where a value with special characters is a JSON string. URIs of other shapes are skipped.
 */
export const identitiesFromSubjectAltName = (text: string): Identity[] => {
  const found: Identity[] = [];
  for (const match of text.matchAll(/(?:^|, )([A-Za-z ]+):("(?:[^"\\]|\\.)*"|[^,]*)/g)) {
    if (match[1] !== 'URI') continue;
    const identity = parseIdentity(unquote(match[2]!));
    if (identity) found.push(identity);
  }
  return found;
};

const unquote = (value: string): string => {
  if (!value.startsWith('"')) return value;
  try {
    return String(JSON.parse(value));
  } catch {
    return ''; // not a JSON string after all: no identity
  }
};

/** Whether some identity presented by a server is one of those accepted; exact, no wildcards, no aliases (1.2). */
export const isAcceptedServer = (presented: readonly Identity[], accepted: readonly string[]): boolean =>
  presented.some((identity) => accepted.includes(formatIdentity(identity)));

/** The client identity for authorisation: the first that parses, if any of them is of the server's own trust domain (1.2). */
export const clientIdentity = (presented: readonly Identity[], trustDomain: string): Identity | undefined =>
  presented.some((identity) => identity.trustDomain === trustDomain) ? presented[0] : undefined;
