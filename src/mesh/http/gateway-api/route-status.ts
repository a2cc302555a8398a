/** What a route's status says: `status.parents`, without times and generations, which the writer adds. */
import type { Condition } from '../../object.ts';
import type { PlanConflict } from '../combine.ts';
import { type CompiledParent, type CompiledRoute, describeRoute, type RouteAttachment, type RouteIdentity } from './compiled-route.ts';
import type { RouteConflict } from './merge-routes.ts';
import type { ParentReference } from './objects.ts';

/**
 * Whether an accepted route is in force. `False` with reason `NoWaypoint` (nothing executes it), `ProtocolMismatch` (its
 * ports have other traffic), `PartlyConflicted` (not on every port), `Refused`
 * (the object is refused and there is no earlier version); `True` with reason `Programmed`, or `LastGood` when an earlier version serves on.
 */
export const PROGRAMMED = 'lateen.dev/Programmed';
/** `True` when another object wants the same traffic, whoever won; absent otherwise. */
export const CONFLICTED = 'lateen.dev/Conflicted';

export interface RouteParentStatus {
  readonly parentRef: ParentReference;
  readonly controllerName: string;
  readonly conditions: readonly Condition[];
}

export interface RouteStatus {
  readonly parents: readonly RouteParentStatus[];
}

const isSame = (a: RouteIdentity, b: RouteIdentity): boolean => a.kind === b.kind && a.namespace === b.namespace && a.name === b.name;

const portText = (port: number): string => (port === 0 ? '' : ` port ${port}`);

/** An attachment to all ports may lose some of them; one that loses port 0 loses every port. */
const touches = (attachment: RouteAttachment, { service, port }: { readonly service: string; readonly port: number }): boolean =>
  attachment.service === service && (attachment.port === port || attachment.port === 0);

const conflictCondition = (conflicts: readonly string[]): Condition[] =>
  conflicts.length === 0 ? [] : [{ type: CONFLICTED, status: 'True', reason: 'Conflicted', message: [...new Set(conflicts)].join('; ') }];

const isAccepted = (conditions: readonly Condition[]): boolean =>
  conditions.every(({ type, status }) => type !== 'Accepted' || status === 'True');

const programmed = (status: 'True' | 'False', reason: string, message: string): Condition => ({
  type: PROGRAMMED,
  status,
  reason,
  message,
});

const parentConditions = (
  { route, refused }: CompiledRoute,
  { conditions, attachments, obstacle }: CompiledParent,
  routeConflicts: readonly RouteConflict[],
  planConflicts: readonly PlanConflict[],
): Condition[] => {
  const here = routeConflicts.filter((conflict) => attachments.some((attachment) => touches(attachment, conflict)));
  const lost = here.filter(({ loser }) => isSame(loser, route));
  const won = here.filter(({ winner }) => isSame(winner, route));
  const over = planConflicts.filter(({ winner }) => winner === describeRoute(route));
  const says = [
    ...lost.map(({ service, port, winner, message }) => `${describeRoute(winner)} has ${service}${portText(port)}: ${message}`),
    ...won.map(({ service, port, loser, message }) => `${describeRoute(loser)} is not in force on ${service}${portText(port)}: ${message}`),
    ...over.filter((conflict) => attachments.some((attachment) => touches(attachment, conflict))).map(({ message }) => message),
  ];
  const hindered = obstacle && programmed('False', obstacle.reason, obstacle.message);
  if (refused !== undefined) {
    const state =
      attachments.length === 0
        ? programmed('False', 'Refused', 'no earlier version of this route is known that could serve')
        : programmed('True', 'LastGood', 'the last version that was accepted serves on');
    return [...conditions, hindered ?? state, ...conflictCondition(says)];
  }
  if (attachments.length === 0) return [...conditions];
  const isLostEverywhere = attachments.every((attachment) =>
    lost.some(({ service, port }) => service === attachment.service && port === attachment.port),
  );
  if (isLostEverywhere) {
    const rest = conditions.filter(({ type }) => type !== 'Accepted' && type !== 'PartiallyInvalid');
    return [{ type: 'Accepted', status: 'False', reason: 'Conflicted', message: says.join('; ') }, ...rest, ...conflictCondition(says)];
  }
  const state =
    lost.length > 0
      ? programmed('False', 'PartlyConflicted', `not in force on ${lost.map(({ service, port }) => service + portText(port)).join(', ')}`)
      : programmed('True', 'Programmed', isAccepted(conditions) ? 'in force' : 'in force: its requests are answered with 500');
  return [...conditions, hindered ?? state, ...conflictCondition(says)];
};

/**
 * `conflicts` and `planConflicts` are those of every service the route is attached to; others are passed over. A route whose parents are all of other
 * kinds has an empty list: this controller has nothing to say about it.
 */
export const routeStatus = (
  compiled: CompiledRoute,
  conflicts: readonly RouteConflict[] = [],
  planConflicts: readonly PlanConflict[] = [],
): RouteStatus => ({
  parents: compiled.parents.map((parent) => ({
    parentRef: parent.parentRef,
    controllerName: compiled.controllerName,
    conditions: parentConditions(compiled, parent, conflicts, planConflicts),
  })),
});

/**
 * A refused route and the last version of it that was not, compiled anew against the present services: the latter's rules serve on under the former's
 * status. Both belong to the dependencies, as either may change the outcome.
 */
export const keepLastGood = (refused: CompiledRoute, lastGood: CompiledRoute): CompiledRoute => {
  const left = [...lastGood.parents];
  const take = ({ parentRef }: CompiledParent): CompiledParent | undefined => {
    const key = JSON.stringify(parentRef);
    const index = left.findIndex((parent) => JSON.stringify(parent.parentRef) === key);
    return index < 0 ? undefined : left.splice(index, 1)[0];
  };
  const parents = refused.parents.map((parent) => {
    const good = take(parent);
    return good === undefined ? parent : { ...parent, attachments: good.attachments, ...(good.obstacle && { obstacle: good.obstacle }) };
  });
  // A parent that only the good version has keeps its traffic, too, as the new version is not in force in any part; it has no status of its own.
  const [first, ...rest] = parents;
  const gone = left.flatMap(({ attachments }) => attachments);
  const union = (a: readonly string[], b: readonly string[]): string[] => [...new Set([...a, ...b])].sort();
  return {
    ...refused,
    parents: first === undefined ? [] : [{ ...first, attachments: [...first.attachments, ...gone] }, ...rest],
    dependencies: {
      services: union(refused.dependencies.services, lastGood.dependencies.services),
      grants: union(refused.dependencies.grants, lastGood.dependencies.grants),
    },
  };
};
