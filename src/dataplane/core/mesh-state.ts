/** Feeds the registry: from the control plane's resources, or from a local file. */
import {
  decodeAddress,
  decodeAuthorization,
  decodeNetworkPolicy,
  isExpandedNetworkPolicy,
  type MeshRegistry,
  policyKey,
} from '../../mesh/index.ts';
import type { LocalConfig } from '../../mesh/local/index.ts';
import type { Logger } from '../../platform/telemetry/index.ts';
import { ADDRESS_TYPE, AUTHORIZATION_TYPE, NETWORK_POLICY_TYPE } from '../../protocol/index.ts';
import type { XdsHandler, XdsRejection, XdsResource } from './xds-client.ts';

type Apply = (resource: XdsResource) => string | undefined;

/** Applies a response as one change of the registry, so that open connections are looked at once. */
function applyAll(
  registry: MeshRegistry,
  resources: readonly XdsResource[],
  removed: readonly string[],
  apply: Apply,
  remove: (name: string) => void,
): XdsRejection[] {
  const rejections: XdsRejection[] = [];
  registry.batch(() => {
    for (const name of removed) remove(name);
    for (const resource of resources) {
      const reason = apply(resource);
      if (reason !== undefined) rejections.push({ name: resource.name, reason });
    }
  });
  return rejections;
}

export function xdsHandlers(registry: MeshRegistry, log: Logger): XdsHandler[] {
  const address: Apply = ({ value }) => {
    const decoded = decodeAddress(value);
    if (!decoded.ok) return decoded.error.join(', ');
    if (decoded.value.kind === 'workload') registry.insertWorkload(decoded.value.workload);
    else registry.insertService(decoded.value.service);
    return undefined;
  };
  const policy: Apply = ({ value }) => {
    const decoded = decodeAuthorization(value);
    if (!decoded.ok) return decoded.error.join(', ');
    const { policy: authorization, warnings } = decoded.value;
    // The same NetworkPolicies come as such.
    if (isExpandedNetworkPolicy(authorization.name)) return undefined;
    if (warnings.length > 0)
      log.warn('parts of a policy are not understood', { policy: policyKey(authorization), problems: warnings.join('; ') });
    registry.insertPolicy(authorization);
    return undefined;
  };
  const networkPolicy: Apply = ({ value }) => {
    const decoded = decodeNetworkPolicy(value);
    if (!decoded.ok) return decoded.error.join(', ');
    registry.insertNetworkPolicy(decoded.value);
    return undefined;
  };
  return [
    {
      typeUrl: ADDRESS_TYPE,
      apply: (resources, removed) => applyAll(registry, resources, removed, address, (name) => void registry.remove(name)),
    },
    {
      typeUrl: AUTHORIZATION_TYPE,
      apply: (resources, removed) => applyAll(registry, resources, removed, policy, (name) => void registry.removePolicy(name)),
    },
    {
      typeUrl: NETWORK_POLICY_TYPE,
      isOwn: true,
      apply: (resources, removed) =>
        applyAll(registry, resources, removed, networkPolicy, (name) => void registry.removeNetworkPolicy(name)),
    },
  ];
}

/** Rejects with every problem when the text cannot be used. What reads it is loaded only here: most proxies have a control plane. */
export async function readLocalXds(local: { readonly source: string; readonly text: string }): Promise<LocalConfig> {
  const { parseLocalConfig } = await import('../../mesh/local/index.ts');
  const parsed = parseLocalConfig(local.text);
  if (!parsed.ok) throw new Error(`${local.source}: ${parsed.error.join('; ')}`);
  return parsed.value;
}

export function applyLocalXds(registry: MeshRegistry, { workloads, services, policies }: LocalConfig): void {
  registry.batch(() => {
    for (const workload of workloads) registry.insertWorkload(workload);
    for (const service of services) registry.insertService(service);
    for (const policy of policies) registry.insertPolicy(policy);
  });
}
