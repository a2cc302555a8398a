import type { LoadBalancerSettings, LocalityLbSetting } from './destination-rule.ts';
import { type FieldProblem, forbidden, invalid } from './kind.ts';

/** The two settings of a balancer that know where endpoints are. */
export function localityProblems(balancer: LoadBalancerSettings, field: string): FieldProblem[] {
  const { localityLbSetting: locality, zoneAwareLbSetting: zone } = balancer;
  const problems = zone === undefined ? [] : failoverProblems(zone.failover, `${field}.zoneAwareLbSetting.failover`);
  if (locality === undefined) return problems;
  const at = `${field}.localityLbSetting`;
  if (zone !== undefined) problems.push(forbidden(`${field}.zoneAwareLbSetting`, 'cannot be given together with localityLbSetting'));
  if ((locality.distribute ?? []).length > 0 && (locality.failover ?? []).length > 0)
    problems.push(forbidden(`${at}.failover`, 'cannot be given together with distribute'));
  const topology = (locality.failoverPriority ?? []).find((label) => TOPOLOGY_LABELS.has(label.split('=')[0]!));
  if ((locality.failover ?? []).length > 0 && topology !== undefined)
    problems.push(forbidden(`${at}.failoverPriority`, `cannot name ${topology} when failover is given`));
  return [...problems, ...distributeProblems(locality, `${at}.distribute`), ...failoverProblems(locality.failover, `${at}.failover`)];
}

const TOPOLOGY_LABELS = new Set(['topology.kubernetes.io/region', 'topology.kubernetes.io/zone', 'topology.istio.io/subzone']);

/** Shares of each locality add up to 100; localities are in form, and neither repeat nor contain each other. */
function distributeProblems({ distribute = [] }: LocalityLbSetting, field: string): FieldProblem[] {
  const problems: FieldProblem[] = [];
  distribute.forEach(({ to = {} }, index) => {
    const at = `${field}[${index}].to`;
    const shares = Object.values(to);
    if (shares.some((share) => share < 1 || share > 100)) problems.push(invalid(at, to, 'shares must be between 1 and 100'));
    else if (shares.reduce((sum, share) => sum + share, 0) !== 100) problems.push(invalid(at, to, 'shares must add up to 100'));
    problems.push(...localityListProblems(Object.keys(to), at));
  });
  return [
    ...problems,
    ...localityListProblems(
      distribute.map(({ from = '' }) => from),
      field,
    ),
  ];
}

function localityListProblems(localities: readonly string[], field: string): FieldProblem[] {
  const problems: FieldProblem[] = [];
  localities.forEach((locality, index) => {
    const parts = locality.split('/');
    const star = locality.indexOf('*');
    if (star >= 0 && star !== locality.length - 1) problems.push(invalid(field, locality, "'*' may only be at the end"));
    else if (parts.length > 3 || parts.includes('')) problems.push(invalid(field, locality, 'must be <region>[/<zone>[/<subzone>]]'));
    else if (localities.slice(0, index).some((other) => contains(other, locality) || contains(locality, other)))
      problems.push(invalid(field, locality, 'overlaps with another locality'));
  });
  return problems;
}

/** `a/b` and `a/b/*` contain `a/b/c`. */
function contains(wide: string, narrow: string): boolean {
  const stem = wide.replace(/\/?\*$/, '');
  return stem === '' || narrow === wide || narrow === stem || narrow.startsWith(`${stem}/`);
}

function failoverProblems(
  failover: readonly { readonly from?: string; readonly to?: string }[] | undefined,
  field: string,
): FieldProblem[] {
  return (failover ?? []).flatMap(({ from = '', to = '' }, index) => {
    const at = `${field}[${index}]`;
    if (from === to) return [invalid(at, 'object', 'must name different regions')];
    return /[/*]/.test(from + to) ? [invalid(at, 'object', 'must name regions only, without wildcards')] : [];
  });
}
