import { fail, formatIdentity, type Identity, ok, parseIdentity, type Result } from '../wire.ts';
import type { Caller } from './authenticate.ts';

/** What the check has to know about pods. */
export interface PodDirectory {
  find(namespace: string, name: string): { readonly uid: string; readonly serviceAccount: string; readonly node: string } | undefined;
  /** Whether a pod that has not ended runs on the node as this service account. */
  runsOnNode(node: string, namespace: string, serviceAccount: string): boolean;
}

export interface ImpersonationRules {
  readonly trustDomain: string;
  readonly trustedNodeAccounts: ReadonlySet<string>;
}

/** The identity to sign for: the caller's own, or the one it asks for when 5.3 allows it. The error is for the log only. */
export function decideIdentity(
  caller: Caller,
  requested: string | undefined,
  rules: ImpersonationRules,
  pods: PodDirectory,
): Result<Identity, string> {
  const account = `${caller.namespace}/${caller.serviceAccount}`;
  const own: Identity = { trustDomain: rules.trustDomain, namespace: caller.namespace, serviceAccount: caller.serviceAccount };
  if (requested === undefined || requested === '') return ok(own);
  const wanted = parseIdentity(requested);
  if (wanted === undefined)
    return fail(`${account} asked for "${requested}", which is not spiffe://<trust domain>/ns/<namespace>/sa/<service account>`);
  if (wanted.trustDomain !== rules.trustDomain)
    return fail(`${account} asked for ${requested}, but the trust domain here is ${rules.trustDomain}`);
  if (!rules.trustedNodeAccounts.has(account)) return fail(`${account} may not impersonate: it is not in CA_TRUSTED_NODE_ACCOUNTS`);
  if (caller.pod === undefined) return fail(`${account} may not impersonate: its token is not bound to a pod`);
  const pod = pods.find(caller.namespace, caller.pod.name);
  if (pod === undefined) return fail(`${account} may not impersonate: its pod ${caller.pod.name} does not exist`);
  if (pod.uid !== caller.pod.uid) return fail(`${account} may not impersonate: pod ${caller.pod.name} is another one now`);
  if (pod.serviceAccount !== caller.serviceAccount)
    return fail(`${account} may not impersonate: pod ${caller.pod.name} runs as ${pod.serviceAccount}`);
  if (pod.node === '') return fail(`${account} may not impersonate: pod ${caller.pod.name} is on no node yet`);
  if (!pods.runsOnNode(pod.node, wanted.namespace, wanted.serviceAccount)) {
    return fail(`${account} on node ${pod.node} may not impersonate ${formatIdentity(wanted)}: no pod of that service account runs there`);
  }
  return ok(wanted);
}
