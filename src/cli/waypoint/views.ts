import { type ConditionView, condition, type GatewayView, isProgrammed, REVISION_LABEL, WAYPOINT_FOR_LABEL } from './gateway.ts';

/** A waypoint as `-o json` shows it. */
export interface WaypointSummary {
  readonly namespace: string;
  readonly name: string;
  readonly revision: string;
  /** What the Gateway is labelled with; `service` without a label. */
  readonly trafficType: string;
  readonly programmed: string;
  readonly addresses: readonly string[];
  readonly conditions: readonly ConditionView[];
}

export const summarise = (gateway: GatewayView): WaypointSummary => ({
  namespace: gateway.metadata?.namespace ?? '',
  name: gateway.metadata?.name ?? '',
  revision: gateway.metadata?.labels?.[REVISION_LABEL] ?? 'default',
  trafficType: gateway.metadata?.labels?.[WAYPOINT_FOR_LABEL] ?? 'service',
  programmed: isProgrammed(gateway) ? 'True' : (condition(gateway, 'Programmed')?.status ?? 'False').replace('True', 'False'),
  addresses: (gateway.status?.addresses ?? []).map(({ value }) => value),
  conditions: gateway.status?.conditions ?? [],
});

export interface Rows {
  readonly header: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

/** istioctl's columns. */
export const listRows = (gateways: readonly GatewayView[], withNamespace: boolean): Rows => ({
  header: [...(withNamespace ? ['NAMESPACE'] : []), 'NAME', 'REVISION', 'TRAFFIC TYPE', 'PROGRAMMED'],
  rows: gateways
    .map(summarise)
    .map((one) => [...(withNamespace ? [one.namespace] : []), one.name, one.revision, one.trafficType, one.programmed]),
});

/**
 * istioctl's columns, one row per waypoint: the condition `Programmed`. While something is wrong, each further condition that does not hold has a row, too:
 * it is the one that says why.
 */
export const statusRows = (gateways: readonly GatewayView[], withNamespace: boolean): Rows => ({
  header: [...(withNamespace ? ['NAMESPACE'] : []), 'NAME', 'STATUS', 'TYPE', 'REASON', 'MESSAGE'],
  rows: gateways.flatMap((gateway) =>
    statusConditions(gateway).map((one) => [
      ...(withNamespace ? [gateway.metadata?.namespace ?? ''] : []),
      gateway.metadata?.name ?? '',
      one.status,
      one.type,
      one.reason ?? '',
      one.message ?? '',
    ]),
  ),
});

const NOT_SEEN: ConditionView = {
  type: 'Programmed',
  status: 'Unknown',
  reason: 'Pending',
  message: 'the control plane has written no status yet',
};

const statusConditions = (gateway: GatewayView): readonly ConditionView[] => {
  const programmed = condition(gateway, 'Programmed') ?? NOT_SEEN;
  const others = (gateway.status?.conditions ?? []).filter(({ type, status }) => type !== 'Programmed' && status !== 'True');
  return [programmed, ...others];
};

/** Why a waypoint is not ready, in one line. */
export const whyNot = (gateway: GatewayView): string =>
  statusConditions(gateway)
    .map(({ type, status, reason, message }) => `${type}=${status} (${reason ?? 'no reason'}: ${message ?? ''})`)
    .join(', ');
