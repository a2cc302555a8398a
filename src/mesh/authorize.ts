/** The L4 decision: which policies apply to a workload, and whether a connection is allowed (sections 3.2 to 3.4). */
import { type CompiledPolicy, type Connection, compilePolicy, prepareConnection } from './compile-policy.ts';
import type { Authorization, Workload } from './model.ts';
import { isExpandedNetworkPolicy } from './network-policy/expanded-name.ts';
import type { MeshRegistry } from './registry.ts';
import type { Trace } from './trace.ts';

export interface ApplicablePolicies {
  /** Global, then the namespace's, then those listed by the workload; each by key. */
  readonly policies: readonly Authorization[];
  /** Keys the workload lists that are not known (yet): they constrain nothing until they arrive. */
  readonly missing: readonly string[];
}

/** What a policy in dry run would have done; nothing but a log line comes of it. */
export interface DryRunFinding {
  readonly policy: string;
  readonly action: 'ALLOW' | 'DENY';
  readonly matched: boolean;
}

export interface Decision {
  readonly allowed: boolean;
  /** Key of the policy that decided, when one did. */
  readonly policy?: string;
  /** Why not: `explicitly denied by: ns/name` or `allow policies exist, but none allowed`. Empty when allowed. */
  readonly reason: string;
  readonly dryRun: readonly DryRunFinding[];
}

const REJECTION = 'connection closed due to policy rejection: ';
/** Access-log error of a stream that a policy change closed (3.5). */
export const POLICY_CHANGE_MESSAGE = 'connection closed due to policy change';

/** The access-log error of a denied connection. */
export const rejectionMessage = (decision: Decision): string => REJECTION + decision.reason;

export const policiesFor = (registry: MeshRegistry, workload: Workload): ApplicablePolicies => {
  const policies = [...registry.policiesOfNamespace(''), ...registry.policiesOfNamespace(workload.namespace)];
  const missing: string[] = [];
  for (const key of [...workload.authorizationPolicies].sort()) {
    const policy = registry.policy(key);
    if (policy === undefined) {
      if (!isExpandedNetworkPolicy(key.slice(key.indexOf('/') + 1))) missing.push(key);
    } else if (!policies.includes(policy)) policies.push(policy);
  }
  return { policies, missing };
};

const NO_FINDINGS: readonly DryRunFinding[] = [];
const ALLOWED: Decision = { allowed: true, reason: '', dryRun: NO_FINDINGS };

/** Decides about one connection; `trace` collects how every policy looked at it, which is what `explain` prints. */
export const authorize = (policies: readonly Authorization[], connection: Connection, trace?: Trace): Decision => {
  if (policies.length === 0) {
    trace?.push({ rule: '3.4', text: 'no policy applies: allowed' });
    return ALLOWED;
  }
  const prepared = prepareConnection(connection);
  let denied: CompiledPolicy | undefined;
  let allowed: CompiledPolicy | undefined;
  let allowExists = false;
  let dryRun: DryRunFinding[] | undefined;
  for (const policy of policies) {
    const { action, dryRun: isDryRun } = policy;
    const decided = action === 'DENY' ? denied !== undefined : allowed !== undefined;
    if (action === 'ALLOW' && !isDryRun) allowExists = true;
    if (decided && !isDryRun && trace === undefined) continue;
    const compiled = compilePolicy(policy);
    const matched = compiled.matches(prepared);
    trace?.push({
      rule: '3.2',
      text: `${action}${isDryRun ? ' (dry run)' : ''} ${compiled.key}: ${matched ? 'matches' : 'does not match'}`,
    });
    if (isDryRun) {
      dryRun ??= [];
      dryRun.push({ policy: compiled.key, action, matched });
    } else if (matched && action === 'DENY') denied ??= compiled;
    else if (matched) allowed ??= compiled;
  }
  const findings = dryRun ?? NO_FINDINGS;
  const decision = decide(denied, allowed, allowExists, findings);
  trace?.push({ rule: '3.4', text: decision.allowed ? `allowed${decision.policy ? ` by ${decision.policy}` : ''}` : decision.reason });
  return decision;
};

const decide = (
  denied: CompiledPolicy | undefined,
  allowed: CompiledPolicy | undefined,
  allowExists: boolean,
  dryRun: readonly DryRunFinding[],
): Decision => {
  if (denied !== undefined) return { allowed: false, policy: denied.key, reason: `explicitly denied by: ${denied.key}`, dryRun };
  if (allowed !== undefined) return { allowed: true, policy: allowed.key, reason: '', dryRun };
  return allowExists ? { allowed: false, reason: 'allow policies exist, but none allowed', dryRun } : { allowed: true, reason: '', dryRun };
};
