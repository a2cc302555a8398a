/**
 * A second reading of `networking.k8s.io/v1`, straight from its text and as slow as it likes: what the property tests compare with. It looks at objects, not at
 * groups or compiled rules. A test file only so that the import rule leaves it alone.
 */
import type { NetworkPolicyObject, NetworkPolicyPeerObject, NetworkPolicyPortObject } from './object.ts';

export interface OraclePod {
  readonly namespace: string;
  readonly name: string;
  readonly ip: string;
  readonly nodeIp: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly ports: readonly { readonly name: string; readonly containerPort: number; readonly protocol?: string }[];
}

export interface OracleCluster {
  readonly namespaces: Readonly<Record<string, Readonly<Record<string, string>>>>;
  readonly pods: readonly OraclePod[];
  readonly policies: readonly NetworkPolicyObject[];
}

type Selector = NetworkPolicyPeerObject['podSelector'];

const selects = (selector: NonNullable<Selector>, labels: Readonly<Record<string, string>>): boolean => {
  for (const [key, value] of Object.entries(selector.matchLabels ?? {})) if (labels[key] !== value) return false;
  for (const { key, operator, values } of selector.matchExpressions ?? []) {
    const has = key in labels;
    const isListed = has && values?.includes(labels[key]!) === true;
    if (operator === 'Exists' && !has) return false;
    if (operator === 'DoesNotExist' && has) return false;
    if (operator === 'In' && !isListed) return false;
    if (operator === 'NotIn' && isListed) return false;
  }
  return true;
};

const number = (ip: string): number => ip.split('.').reduce((sum, part) => sum * 256 + Number(part), 0);
const inRange = (ip: string, cidr: string): boolean => {
  const [base = '', length = ''] = cidr.split('/');
  const size = 2 ** (32 - Number(length));
  return Math.floor(number(ip) / size) === Math.floor(number(base) / size);
};

const isPeer = (cluster: OracleCluster, policyNamespace: string, peer: NetworkPolicyPeerObject, ip: string): boolean => {
  if (peer.ipBlock !== undefined)
    return inRange(ip, peer.ipBlock.cidr) && !(peer.ipBlock.except ?? []).some((except) => inRange(ip, except));
  const pod = cluster.pods.find((one) => one.ip === ip);
  if (pod === undefined) return false;
  const labels = { 'kubernetes.io/metadata.name': pod.namespace, ...cluster.namespaces[pod.namespace] };
  const inNamespace = peer.namespaceSelector === undefined ? pod.namespace === policyNamespace : selects(peer.namespaceSelector, labels);
  return inNamespace && (peer.podSelector === undefined || selects(peer.podSelector, pod.labels));
};

const isPort = (port: NetworkPolicyPortObject, destination: OraclePod | undefined, number: number): boolean => {
  if ((port.protocol ?? 'TCP') !== 'TCP') return false;
  if (port.port === undefined) return true;
  if (typeof port.port === 'number') return number >= port.port && number <= (port.endPort ?? port.port);
  const named = destination?.ports.find(({ name, protocol = 'TCP' }) => name === port.port && protocol === 'TCP');
  return named?.containerPort === number;
};

/** Whether a connection from one address to a port of another is allowed. */
export const oracleAllows = (cluster: OracleCluster, from: string, to: string, port: number): boolean => {
  if (from === to) return true;
  const source = cluster.pods.find(({ ip }) => ip === from);
  const destination = cluster.pods.find(({ ip }) => ip === to);
  const may = (own: OraclePod | undefined, other: string, direction: 'Ingress' | 'Egress'): boolean => {
    if (own === undefined || other === own.nodeIp) return true;
    const constraining = cluster.policies.filter(({ metadata, spec }) => {
      const types = spec?.policyTypes ?? (spec?.egress === undefined ? ['Ingress'] : ['Ingress', 'Egress']);
      return metadata.namespace === own.namespace && types.includes(direction) && selects(spec?.podSelector ?? {}, own.labels);
    });
    if (constraining.length === 0) return true;
    return constraining.some(({ metadata, spec }) => {
      const rules =
        direction === 'Ingress'
          ? (spec?.ingress ?? []).map(({ from: peers, ports }) => ({ peers, ports }))
          : (spec?.egress ?? []).map(({ to: peers, ports }) => ({ peers, ports }));
      return rules.some(
        ({ peers = [], ports = [] }) =>
          (peers.length === 0 || peers.some((peer) => isPeer(cluster, metadata.namespace ?? '', peer, other))) &&
          (ports.length === 0 || ports.some((one) => isPort(one, destination, port))),
      );
    });
  };
  return may(source, to, 'Egress') && may(destination, from, 'Ingress');
};
