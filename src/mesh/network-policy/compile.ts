/** NetworkPolicy → rules over groups of pods. What cannot be understood allows nothing, and is named. */
import { formatCidr, isPort, parseCidr } from '../ip.ts';
import { type LabelSelector, selectorProblems, selectorText } from '../label-selector.ts';
import type { Cidr } from '../model.ts';
import { type Digest, type PodGroup, podGroup } from './group.ts';
import type { IpBlock, NetworkDirection, NetworkPeer, NetworkPolicy, NetworkPort, NetworkRule } from './model.ts';
import type { NetworkPolicyObject, NetworkPolicyPeerObject, NetworkPolicyPortObject } from './object.ts';

export interface CompiledNetworkPolicy {
  readonly policy: NetworkPolicy;
  /** Every group it speaks of, the one it selects first. */
  readonly groups: readonly PodGroup[];
  /** Names of ports it speaks of. */
  readonly portNames: readonly string[];
  /** `field: what is wrong`; what it stands in allows nothing. */
  readonly problems: readonly string[];
}

/** IANA_SVC_NAME, as the API server checks it. */
const PORT_NAME = /^(?=.{1,15}$)(?!.*--)(?=.*[a-z])[a-z0-9]([a-z0-9-]*[a-z0-9])?$/;
const EVERYTHING: LabelSelector = {};

class Compilation {
  readonly problems: string[] = [];
  readonly groups = new Map<string, PodGroup>();
  readonly portNames = new Set<string>();
  readonly #namespace: string;
  readonly #digest: Digest;

  constructor(namespace: string, digest: Digest) {
    this.#namespace = namespace;
    this.#digest = digest;
  }

  group(namespaces: PodGroup['namespaces'] | undefined, pods: LabelSelector): PodGroup {
    const group = podGroup(namespaces ?? { name: this.#namespace }, pods, this.#digest);
    this.groups.set(group.id, group);
    return group;
  }

  /** Undefined: a peer or port that was written, but can match no TCP connection. Such a rule allows nothing, it does not allow everything. */
  rule(
    peers: readonly NetworkPolicyPeerObject[],
    ports: readonly NetworkPolicyPortObject[],
    at: string,
    list: 'from' | 'to',
  ): NetworkRule[] {
    const allowedPeers = peers.flatMap((peer, i) => this.#peer(peer, `${at}.${list}[${i}]`) ?? []);
    const allowedPorts = ports.flatMap((port, i) => this.#port(port, `${at}.ports[${i}]`));
    if ((peers.length > 0 && allowedPeers.length === 0) || (ports.length > 0 && allowedPorts.length === 0)) return [];
    // Without a number a port is every port of its protocol.
    return [{ peers: allowedPeers, ports: allowedPorts.includes('all') ? [] : allowedPorts.filter((port) => port !== 'all') }];
  }

  #peer({ podSelector, namespaceSelector, ipBlock }: NetworkPolicyPeerObject, at: string): NetworkPeer | undefined {
    if (ipBlock !== undefined) {
      if (podSelector !== undefined || namespaceSelector !== undefined) return this.#wrong(at, 'ipBlock stands beside a selector');
      const block = this.#block(ipBlock.cidr, ipBlock.except ?? [], `${at}.ipBlock`);
      return block && { kind: 'block', block, text: blockText(block) };
    }
    if (podSelector === undefined && namespaceSelector === undefined) return this.#wrong(at, 'names no peer');
    const problems = [
      ...selectorProblems(podSelector ?? EVERYTHING, `${at}.podSelector`),
      ...selectorProblems(namespaceSelector ?? EVERYTHING, `${at}.namespaceSelector`),
    ];
    this.problems.push(...problems);
    if (problems.length > 0) return undefined;
    const group = this.group(namespaceSelector && { selector: namespaceSelector }, podSelector ?? EVERYTHING);
    return { kind: 'group', group: group.id, text: group.text };
  }

  #block(text: string, exceptions: readonly string[], at: string): IpBlock | undefined {
    const cidr = text.includes('/') ? parseCidr(text) : undefined;
    if (cidr === undefined) return this.#wrong(`${at}.cidr`, `"${text}" is not a CIDR such as 10.0.0.0/8`);
    const except: Cidr[] = [];
    for (const [i, exception] of exceptions.entries()) {
      const parsed = exception.includes('/') ? parseCidr(exception) : undefined;
      // Without its exception the block would allow more than was written.
      if (parsed === undefined) return this.#wrong(`${at}.except[${i}]`, `"${exception}" is not a CIDR such as 10.0.0.0/8`);
      except.push(parsed);
    }
    return { cidr, except };
  }

  #port({ protocol = 'TCP', port, endPort }: NetworkPolicyPortObject, at: string): (NetworkPort | 'all')[] {
    if (protocol !== 'TCP') {
      if (protocol !== 'UDP' && protocol !== 'SCTP') this.#wrong(`${at}.protocol`, `"${protocol}" is none of TCP, UDP, SCTP`);
      return [];
    }
    if (port === undefined) {
      if (endPort === undefined) return ['all'];
      this.#wrong(`${at}.endPort`, 'stands without port');
      return [];
    }
    if (typeof port === 'string') {
      if (endPort !== undefined) this.#wrong(`${at}.endPort`, 'cannot follow a named port');
      else if (!PORT_NAME.test(port)) this.#wrong(`${at}.port`, `"${port}" is not the name of a port`);
      else {
        this.portNames.add(port);
        return [{ kind: 'name', name: port }];
      }
      return [];
    }
    const last = endPort ?? port;
    if (!isPort(port)) this.#wrong(`${at}.port`, `${port} is not a port (1 to 65535)`);
    else if (!isPort(last) || last < port) this.#wrong(`${at}.endPort`, `${last} is not a port from ${port} to 65535`);
    else return [{ kind: 'range', first: port, last }];
    return [];
  }

  #wrong(field: string, what: string): undefined {
    this.problems.push(`${field}: ${what}`);
    return undefined;
  }
}

export const blockText = ({ cidr, except }: IpBlock): string =>
  except.length === 0 ? formatCidr(cidr) : `${formatCidr(cidr)} except ${except.map(formatCidr).join(', ')}`;

const DIRECTIONS: Readonly<Record<string, NetworkDirection>> = { Ingress: 'ingress', Egress: 'egress' };

/** `policyTypes`, and what is meant when there are none: ingress always, egress when there are rules for it. */
const directionsOf = (spec: NonNullable<NetworkPolicyObject['spec']>, problems: string[]): ReadonlySet<NetworkDirection> => {
  const { policyTypes = [], egress } = spec;
  if (policyTypes.length === 0) return new Set<NetworkDirection>(egress === undefined ? ['ingress'] : ['ingress', 'egress']);
  const directions = new Set<NetworkDirection>();
  for (const [i, type] of policyTypes.entries()) {
    const direction = Object.hasOwn(DIRECTIONS, type) ? DIRECTIONS[type] : undefined;
    if (direction !== undefined) directions.add(direction);
    else {
      problems.push(`spec.policyTypes[${i}]: "${type}" is neither Ingress nor Egress; both are constrained`);
      directions.add('ingress').add('egress');
    }
  }
  return directions;
};

/** Kubernetes' meaning, and for what the API server would not have let in: nothing is allowed by it. */
export const compileNetworkPolicy = (object: NetworkPolicyObject, digest: Digest): CompiledNetworkPolicy => {
  const { name = '', namespace = '' } = object.metadata;
  const spec = object.spec ?? {};
  const compilation = new Compilation(namespace, digest);
  const { problems } = compilation;
  const podSelector = spec.podSelector ?? EVERYTHING;
  problems.push(...selectorProblems(podSelector, 'spec.podSelector'));
  // Whom it means is not known: it constrains everybody it could mean, and allows nothing.
  const isBroken = problems.length > 0;
  const selected = compilation.group(undefined, isBroken ? EVERYTHING : podSelector);
  const directions = directionsOf(spec, problems);
  const ingress = (spec.ingress ?? []).flatMap(({ from = [], ports = [] }, i) =>
    compilation.rule(from, ports, `spec.ingress[${i}]`, 'from'),
  );
  const egress = (spec.egress ?? []).flatMap(({ to = [], ports = [] }, i) => compilation.rule(to, ports, `spec.egress[${i}]`, 'to'));
  return {
    policy: {
      namespace,
      name,
      selects: selected.id,
      selector: selectorText(podSelector),
      ...(directions.has('ingress') && { ingress: isBroken ? [] : ingress }),
      ...(directions.has('egress') && { egress: isBroken ? [] : egress }),
    },
    groups: [...compilation.groups.values()],
    portNames: [...compilation.portNames].sort(),
    problems,
  };
};
