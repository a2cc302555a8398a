import type { Gateway, GatewayCondition, GatewayListenerStatus } from '../../platform/kubernetes/index.ts';
import { HBONE_PORT } from '../wire.ts';
import { waypointHostname } from './infrastructure.ts';

/** What is known about the waypoint of a Gateway when its status is written. */
export interface WaypointState {
  readonly clusterDomain: string;
  /** Pods that are ready; 0 for a Gateway whose proxy is deployed by hand until one is. */
  readonly readyReplicas: number;
  /** Routes of services that use this waypoint. */
  readonly attachedRoutes: number;
  /** Why the parameters cannot be used. */
  readonly parameterProblems: readonly string[];
  /** Why what is generated could not be applied. */
  readonly applyProblem?: string;
}

export type GatewayStatus = NonNullable<Gateway['status']>;
type Wanted = Pick<GatewayCondition, 'type' | 'status' | 'reason' | 'message'>;

const GROUP = 'gateway.networking.k8s.io';
const ROUTE_KINDS = ['HTTPRoute', 'GRPCRoute', 'TCPRoute', 'TLSRoute'];

const yes = (type: string, message: string, reason = type): Wanted => ({ type, status: 'True', reason, message });
const no = (type: string, reason: string, message: string): Wanted => ({ type, status: 'False', reason, message });

/** Whether somebody else runs the proxy: the Gateway then says where it is. */
export const isDeployedByHand = (gateway: Gateway): boolean =>
  (gateway.spec.addresses ?? []).some(({ type, value }) => type === 'Hostname' && value !== undefined);

/**
 * The status of a Gateway of the waypoint class. Its address appears once a first replica is ready and stays while the Gateway is valid: before,
 * traffic goes as if there were no waypoint; afterwards never around it.
 */
export function gatewayStatus(gateway: Gateway, state: WaypointState, now: string): GatewayStatus {
  const generation = gateway.metadata.generation ?? 0;
  const before = gateway.status;
  const listeners = gateway.spec.listeners.map((listener): [string, string | undefined] => [listener.name, listenerProblem(listener)]);
  const isUsable = listeners.some(([, problem]) => problem === undefined);
  const accepted = acceptedCondition(gateway, state, listeners);
  const programmed = programmedCondition(gateway, state, accepted, isUsable);
  const keepsAddress = isUsable && (programmed.status === 'True' || (before?.addresses?.length ?? 0) > 0);
  return {
    ...(keepsAddress && { addresses: addressesOf(gateway, state) }),
    conditions: stamped([accepted, programmed], before?.conditions, generation, now),
    listeners: listeners.map(([name, problem]): GatewayListenerStatus => {
      const old = before?.listeners?.find((listener) => listener.name === name);
      return {
        name,
        attachedRoutes: problem === undefined ? state.attachedRoutes : 0,
        supportedKinds: problem === undefined ? ROUTE_KINDS.map((kind) => ({ group: GROUP, kind })) : [],
        conditions: stamped(listenerConditions(problem, programmed), old?.conditions, generation, now),
      };
    }),
  };
}

function listenerProblem({ port, protocol }: Gateway['spec']['listeners'][number]): string | undefined {
  if (protocol !== 'HBONE') return `protocol ${protocol} is not served by a waypoint; use HBONE`;
  return port === HBONE_PORT ? undefined : `port ${port} is not served by a waypoint; HBONE is spoken on ${HBONE_PORT}`;
}

function acceptedCondition(gateway: Gateway, state: WaypointState, listeners: readonly (readonly [string, string | undefined])[]): Wanted {
  const bad = listeners.flatMap(([name, problem]) => (problem === undefined ? [] : [`listener ${name}: ${problem}`]));
  if (bad.length === listeners.length) return no('Accepted', 'ListenersNotValid', bad.join('; '));
  if (state.parameterProblems.length > 0) return no('Accepted', 'InvalidParameters', state.parameterProblems.join('; '));
  const address = (gateway.spec.addresses ?? []).find(({ type, value }) => value !== undefined && type !== 'Hostname');
  if (address !== undefined) {
    return no(
      'Accepted',
      'UnsupportedAddress',
      `address ${address.value}: a waypoint is known by its Service's name; leave addresses out, or name the Hostname of a proxy deployed by hand`,
    );
  }
  return bad.length > 0 ? yes('Accepted', bad.join('; '), 'ListenersNotValid') : yes('Accepted', 'the waypoint is accepted');
}

function programmedCondition(gateway: Gateway, state: WaypointState, accepted: Wanted, isUsable: boolean): Wanted {
  const had = (gateway.status?.addresses?.length ?? 0) > 0;
  if (!isUsable || (accepted.status === 'False' && !had)) return no('Programmed', 'Invalid', accepted.message);
  if (state.applyProblem !== undefined) return no('Programmed', 'Invalid', state.applyProblem);
  const place = `${addressesOf(gateway, state)[0]?.value}:${HBONE_PORT}`;
  if (isDeployedByHand(gateway)) return yes('Programmed', `served by ${place}, which is deployed by hand`);
  if (state.readyReplicas === 0) return no('Programmed', 'Pending', `no replica of the waypoint is ready yet at ${place}`);
  return yes('Programmed', `served by ${place}`);
}

function addressesOf(gateway: Gateway, state: WaypointState): NonNullable<GatewayStatus['addresses']> {
  const own = (gateway.spec.addresses ?? []).flatMap(({ type, value }) =>
    type === 'Hostname' && value !== undefined ? [{ type, value }] : [],
  );
  return own.length > 0 ? own : [{ type: 'Hostname', value: waypointHostname(gateway, state.clusterDomain) }];
}

function listenerConditions(problem: string | undefined, programmed: Wanted): Wanted[] {
  if (problem !== undefined) {
    const reason = problem.startsWith('protocol') ? 'UnsupportedProtocol' : 'PortUnavailable';
    return [
      no('Accepted', reason, problem),
      no('Programmed', 'Invalid', problem),
      no('Conflicted', 'NoConflicts', 'no listener conflicts'),
      yes('ResolvedRefs', 'nothing is referred to'),
    ];
  }
  return [
    yes('Accepted', 'the listener is accepted'),
    programmed.status === 'True' ? yes('Programmed', programmed.message) : no('Programmed', programmed.reason, programmed.message),
    no('Conflicted', 'NoConflicts', 'no listener conflicts'),
    yes('ResolvedRefs', 'nothing is referred to'),
  ];
}

/** Conditions with the time of their last change; those of other controllers stay. */
export function stamped(
  wanted: readonly Wanted[],
  before: readonly GatewayCondition[] | undefined,
  generation: number,
  now: string,
): GatewayCondition[] {
  const ours = wanted.map((condition): GatewayCondition => {
    const old = before?.find(({ type }) => type === condition.type);
    return {
      ...condition,
      observedGeneration: generation,
      lastTransitionTime: old?.status === condition.status ? old.lastTransitionTime : now,
    };
  });
  return [...ours, ...(before ?? []).filter(({ type }) => !wanted.some((condition) => condition.type === type))];
}
