/** The agent's metrics; names as istio-cni's where it has one. */
import type { Registry } from '../platform/telemetry/index.ts';

export function agentMetrics(registry: Registry) {
  return {
    registry,
    pluginRequests: registry.counter('istio_cni_plugin_requests', 'Plugin events answered (unstable).', ['response_code']),
    enrolled: registry.gauge('nodeagent_enrolled_pods', 'Pods of this node with redirect rules and a proxy (unstable).').labels(),
    pending: registry.gauge('nodeagent_pending_pods', 'Pods of this node that wait for a proxy or a retry (unstable).').labels(),
    steps: registry.counter('nodeagent_reconcile_events', 'Pods moved into or out of the mesh (unstable).', ['type', 'result']),
    drainLimit: registry.counter('nodeagent_drain_limit', 'Pods whose connections outlived the drain limit (unstable).').labels(),
    proxies: registry.gauge('ztunnel_connected', 'Node proxies connected to this agent (unstable).').labels(),
  };
}

export type AgentMetrics = ReturnType<typeof agentMetrics>;
