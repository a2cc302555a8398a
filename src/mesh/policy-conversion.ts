/**
 * AuthorizationPolicy → the L4 Authorization node proxies enforce (section 3.7). What cannot be enforced at this layer is reported, and the
 * result errs on the safe side: an ALLOW lets in no more than was written, a DENY keeps out no less. Istio drops such parts silently, which
 * makes a DENY with only HTTP attributes inert (0.1 fact 4).
 */

import type { Authorization } from './model.ts';
import { type Condition, labelsMatch, selectorLabels } from './object.ts';
import type { AuthorizationPolicyObject } from './policy-object.ts';
import { RuleConverter } from './rule-conversion.ts';

export interface ConvertedPolicy {
  /** What to send to node proxies; absent when they do not enforce this policy. */
  readonly authorization?: Authorization;
  /** Labels of the workloads that list it; absent when it applies by namespace or everywhere. */
  readonly selector?: Readonly<Record<string, string>>;
  /** Absent when the policy is not for node proxies at all (`targetRefs`). */
  readonly condition?: Condition;
  /** Every part that could not be enforced as written, by field path. */
  readonly problems: readonly string[];
}

export const DRY_RUN_ANNOTATION = 'istio.io/dry-run';

const refused = (reason: string, message: string): ConvertedPolicy => ({
  condition: { type: 'ZtunnelAccepted', status: 'False', reason, message },
  problems: [message],
});

export const convertAuthorizationPolicy = (
  { metadata, spec = {} }: AuthorizationPolicyObject,
  rootNamespace: string,
  options: { readonly sendDryRun?: boolean } = {},
): ConvertedPolicy => {
  if ((spec.targetRef !== undefined && spec.targetRef !== null) || (spec.targetRefs?.length ?? 0) > 0) return { problems: [] };
  const action = spec.action ?? 'ALLOW';
  if (action !== 'ALLOW' && action !== 'DENY') {
    return refused(
      'UnsupportedValue',
      `spec.action: ztunnel does not support ${action}, so nothing is enforced; use ALLOW or DENY, or targetRefs with a waypoint`,
    );
  }
  const dryRun = metadata.annotations?.[DRY_RUN_ANNOTATION] === 'true';
  if (dryRun && options.sendDryRun !== true)
    return refused('DryRun', `the annotation ${DRY_RUN_ANNOTATION} is set, so nothing is enforced`);
  const namespace = metadata.namespace ?? '';
  const converter = new RuleConverter(action, namespace);
  const rules = (spec.rules ?? []).flatMap((rule, i) => converter.convert(rule ?? {}, `spec.rules[${i}]`) ?? []);
  const selector = selectorLabels(spec.selector);
  return {
    authorization: {
      name: metadata.name ?? '',
      namespace,
      scope: selector !== undefined ? 'WORKLOAD_SELECTOR' : namespace === rootNamespace ? 'GLOBAL' : 'NAMESPACE',
      action,
      rules,
      dryRun,
    },
    ...(selector !== undefined && { selector }),
    condition: conditionOf(action, converter),
    problems: [...converter.unsupported.map((path) => `${path}: needs a waypoint`), ...converter.invalid],
  };
};

const conditionOf = (action: 'ALLOW' | 'DENY', { unsupported, invalid }: RuleConverter): Condition => {
  const accepted = { type: 'ZtunnelAccepted', status: 'True' } as const;
  if (unsupported.length + invalid.length === 0) return { ...accepted, reason: 'Accepted', message: 'attached to ztunnel' };
  const messages: string[] = [];
  if (unsupported.length > 0) {
    const effect = action === 'ALLOW' ? 'rules with them allow nothing' : 'they are ignored, so more is denied';
    messages.push(`ztunnel cannot enforce ${unsupported.join(', ')}: ${effect}; use targetRefs with a waypoint`);
  }
  if (invalid.length > 0) {
    const effect = action === 'ALLOW' ? 'what they should allow is not allowed' : 'more is denied than written';
    messages.push(`${invalid.join(', ')}: ${effect}; correct the values`);
  }
  return { ...accepted, reason: 'UnsupportedValue', message: messages.join('. ') };
};

/** Whether a converted policy must be listed by a workload: selector policies of its namespace, or of the root namespace. */
export const selectsWorkload = (
  { authorization, selector }: ConvertedPolicy,
  workload: { readonly namespace: string; readonly labels?: Readonly<Record<string, string>> | undefined },
  rootNamespace: string,
): boolean =>
  authorization !== undefined &&
  selector !== undefined &&
  (authorization.namespace === workload.namespace || authorization.namespace === rootNamespace) &&
  labelsMatch(selector, workload.labels);
