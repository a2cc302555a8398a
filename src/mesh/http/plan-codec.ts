/** The route plan on its way from the control plane to the waypoint: JSON in UTF-8, checked strictly on arrival. */
import { fail, ok, type Result } from '../result.ts';
import type { HttpAction, HttpMatch, HttpTable, PathRewrite, ServicePlan, StringCondition, WeightedBackend } from './plan.ts';
import { type CheckedPlan, PLAN_LIMITS, servicePlanShape } from './plan-schema.ts';
import { checkRegex, checkRegexSubstitution } from './regex.ts';

type Mutable<T> = T extends object ? { -readonly [K in keyof T]: Mutable<T[K]> } : T;
type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
/** Fails to compile when shape and interface differ in anything but `readonly`. */
const isSame: Same<Mutable<CheckedPlan>, Mutable<ServicePlan>> = true;

const encoder = new TextEncoder();
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

export const encodeServicePlan = (plan: ServicePlan): Uint8Array => encoder.encode(JSON.stringify(plan));

/** Gives the first problem, with where it is. */
type Problem = string | undefined;

const conditionProblem = (condition: StringCondition | undefined, path: string): Problem => {
  const problem = condition?.kind === 'regex' ? checkRegex(condition.value) : undefined;
  return problem && `${path}/value: ${problem}`;
};

const matchProblem = (match: HttpMatch, path: string): Problem => {
  const pathRegex = match.path?.kind === 'regex' ? checkRegex(match.path.value) : undefined;
  if (pathRegex !== undefined) return `${path}/path/value: ${pathRegex}`;
  for (const field of ['method', 'authority', 'scheme'] as const) {
    const problem = conditionProblem(match[field], `${path}/${field}`);
    if (problem !== undefined) return problem;
  }
  for (const list of ['headers', 'query'] as const)
    for (const [i, { condition }] of (match[list] ?? []).entries()) {
      const problem = conditionProblem(condition, `${path}/${list}/${i}/condition`);
      if (problem !== undefined) return problem;
    }
  return undefined;
};

const rewriteProblem = (rewrite: PathRewrite | undefined, path: string): Problem => {
  const problem = rewrite?.kind === 'regex' ? checkRegexSubstitution(rewrite.pattern, rewrite.substitution) : undefined;
  return problem && `${path}/path: ${problem}`;
};

const routedProblem = ({ rewrite, redirect }: HttpAction | WeightedBackend, path: string): Problem =>
  rewriteProblem(rewrite?.path, `${path}/rewrite`) ?? rewriteProblem(redirect?.path, `${path}/redirect`);

const actionProblem = (action: HttpAction, path: string): Problem => {
  const problem = routedProblem(action, path);
  if (problem !== undefined) return problem;
  for (const [i, backend] of action.backends.entries()) {
    const backendProblem = routedProblem(backend, `${path}/backends/${i}`);
    if (backendProblem !== undefined) return backendProblem;
  }
  for (const [i, origin] of (action.cors?.allowOrigins ?? []).entries()) {
    const originProblem = conditionProblem(origin, `${path}/cors/allowOrigins/${i}`);
    if (originProblem !== undefined) return originProblem;
  }
  return undefined;
};

const tableProblem = ({ rules, actions }: HttpTable, path: string): Problem => {
  for (const [i, { match, action }] of rules.entries()) {
    if (action >= actions.length) return `${path}/rules/${i}/action: there are only ${actions.length} actions`;
    const problem = matchProblem(match, `${path}/rules/${i}/match`);
    if (problem !== undefined) return problem;
  }
  for (const [i, action] of actions.entries()) {
    const problem = actionProblem(action, `${path}/actions/${i}`);
    if (problem !== undefined) return problem;
  }
  return undefined;
};

/** What the shape cannot say: references between parts, and regular expressions. */
const planProblem = (plan: ServicePlan): Problem => {
  const seen = new Set<number>();
  for (const [i, { port, http, consumers }] of plan.ports.entries()) {
    const path = `/ports/${i}`;
    if (seen.has(port)) return `${path}/port: a second entry for port ${port}`;
    seen.add(port);
    const problem = http && tableProblem(http, `${path}/http`);
    if (problem !== undefined) return problem;
    for (const [j, consumer] of (consumers ?? []).entries()) {
      const consumerProblem = tableProblem(consumer.http, `${path}/consumers/${j}/http`);
      if (consumerProblem !== undefined) return consumerProblem;
    }
  }
  return undefined;
};

/** The error names the place as a JSON pointer. Nothing of the plan is used when any of it is wrong. */
export const decodeServicePlan = (bytes: Uint8Array): Result<ServicePlan, string> => {
  if (bytes.length > PLAN_LIMITS.bytes) return fail(`/: more than ${PLAN_LIMITS.bytes} bytes`);
  let value: unknown;
  try {
    value = JSON.parse(decoder.decode(bytes));
  } catch (error) {
    return fail(`/: not JSON: ${error instanceof Error ? error.message : String(error)}`);
  }
  const problem = servicePlanShape.check(value);
  if (problem !== undefined) return fail(problem.startsWith('/') ? problem : `/${problem}`);
  // The shape was just checked, and `isSame` holds that what it describes is a ServicePlan.
  const plan = value as ServicePlan;
  const reference = isSame && planProblem(plan);
  return reference ? fail(reference) : ok(plan);
};
