/** From objects to decisions: NetworkPolicies, pods and namespaces go through the compiler and the wire, and come out as Kubernetes means them. */
import { expect, test } from 'bun:test';
import fc from 'fast-check';
import { decideNetwork, decodeAddress, decodeNetworkPolicy, MeshRegistry, type Trace } from '../../mesh/index.ts';
import { type OracleCluster, type OraclePod, oracleAllows } from '../../mesh/network-policy/oracle.test.ts';
import type { NetworkPolicy } from '../../platform/kubernetes/index.ts';
import { MeshCompiler } from './compiler.ts';
import { anyCluster, namespaceObject, podObject } from './network-clusters.test.ts';
import { CONTEXT, fault } from './objects.test.ts';

type Spec = NonNullable<NetworkPolicy['spec']>;
/** What a proxy would decide that has been told all of it. */
function meshOf({ namespaces, pods, policies }: OracleCluster): (from: string, to: string, port: number, trace?: Trace) => boolean {
  const compiler = new MeshCompiler(CONTEXT, fault);
  for (const [name, labels] of Object.entries(namespaces)) compiler.upsert('Namespace', namespaceObject(name, labels));
  for (const policy of policies) compiler.upsert('NetworkPolicy', policy as NetworkPolicy);
  for (const pod of pods) compiler.upsert('Pod', podObject(pod));
  const registry = new MeshRegistry();
  const { addresses, networkPolicies } = compiler.flush();
  for (const resource of addresses.values()) {
    const decoded = resource && decodeAddress(resource.value);
    if (decoded?.ok && decoded.value.kind === 'workload') registry.insertWorkload(decoded.value.workload);
  }
  for (const resource of networkPolicies.values()) {
    const decoded = resource && decodeNetworkPolicy(resource.value);
    if (decoded?.ok) registry.insertNetworkPolicy(decoded.value);
    else if (resource !== undefined) throw new Error(`a policy of the compiler is refused: ${JSON.stringify(decoded)}`);
  }
  return (from, to, port, trace) =>
    decideNetwork(
      registry.networkPolicies,
      {
        source: { ip: from, workload: registry.workloadByAddress('', from) },
        destination: { ip: to, workload: registry.workloadByAddress('', to) },
        port,
      },
      trace,
    ).allowed;
}

const WEB = [{ name: 'web', containerPort: 80 }];
const pod = (namespace: string, name: string, ip: string, over: Partial<OraclePod> = {}): OraclePod => ({
  namespace,
  name,
  ip,
  nodeIp: '192.168.0.1',
  labels: { pod: name },
  ports: WEB,
  ...over,
});
/** Three namespaces of three pods, as the Kubernetes suite has them; `x` is the one whose pod `a` is mostly constrained. */
const MODEL: OracleCluster = {
  namespaces: { x: { ns: 'x' }, y: { ns: 'y' }, z: { ns: 'z', tier: 'low' } },
  pods: ['x', 'y', 'z'].flatMap((ns, i) => ['a', 'b', 'c'].map((name, j) => pod(ns, name, `10.0.${i}.${j + 1}`))),
  policies: [],
};
const ipOf = (name: string): string => {
  const [ns, own] = name.split('/');
  return MODEL.pods.find((one) => one.namespace === ns && one.name === own)?.ip ?? name;
};
const policy = (name: string, spec: Spec, namespace = 'x') => ({ metadata: { name, namespace }, spec });
const A = { matchLabels: { pod: 'a' } };
const EVERY = MODEL.pods.map(({ namespace, name }) => `${namespace}/${name}`);
const inNamespace = (...names: string[]) => EVERY.filter((one) => names.includes(one.slice(0, 1)));

interface Case {
  readonly title: string;
  readonly policies: readonly ReturnType<typeof policy>[];
  readonly pods?: readonly OraclePod[];
  readonly to?: string;
  readonly port?: number;
  /** Of all pods, who may reach `to` (default x/a) at `port` (default 80); the pod itself always may. */
  readonly callers: readonly string[];
}

const CASES: readonly Case[] = [
  { title: 'no policy: everybody', policies: [], callers: EVERY },
  {
    title: 'default deny ingress for a namespace',
    policies: [policy('deny', { podSelector: {}, policyTypes: ['Ingress'] })],
    callers: ['x/a'],
  },
  { title: 'a policy of another namespace constrains nobody here', policies: [policy('deny', { podSelector: {} }, 'y')], callers: EVERY },
  {
    title: 'a policy that selects other pods constrains nobody here',
    policies: [policy('deny', { podSelector: { matchLabels: { pod: 'b' } } })],
    callers: EVERY,
  },
  { title: 'an empty rule allows everybody', policies: [policy('all', { podSelector: A, ingress: [{}] })], callers: EVERY },
  {
    title: 'allow all beats deny all',
    policies: [policy('deny', { podSelector: {} }), policy('all', { podSelector: {}, ingress: [{}] })],
    callers: EVERY,
  },
  {
    title: 'a podSelector alone means the own namespace',
    policies: [policy('p', { podSelector: A, ingress: [{ from: [{ podSelector: { matchLabels: { pod: 'b' } } }] }] })],
    callers: ['x/a', 'x/b'],
  },
  {
    title: 'an empty podSelector in from means every pod of the own namespace',
    policies: [policy('p', { podSelector: A, ingress: [{ from: [{ podSelector: {} }] }] })],
    callers: inNamespace('x'),
  },
  {
    title: 'a namespaceSelector alone means every pod of those namespaces',
    policies: [policy('p', { podSelector: A, ingress: [{ from: [{ namespaceSelector: { matchLabels: { ns: 'y' } } }] }] })],
    callers: ['x/a', ...inNamespace('y')],
  },
  {
    title: 'an empty namespaceSelector means every pod',
    policies: [policy('p', { podSelector: A, ingress: [{ from: [{ namespaceSelector: {} }] }] })],
    callers: EVERY,
  },
  {
    title: 'namespaces are selected by the name they all carry',
    policies: [
      policy('p', {
        podSelector: A,
        ingress: [{ from: [{ namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': 'z' } } }] }],
      }),
    ],
    callers: ['x/a', ...inNamespace('z')],
  },
  {
    title: 'both selectors in one entry: and',
    policies: [
      policy('p', {
        podSelector: A,
        ingress: [{ from: [{ namespaceSelector: { matchLabels: { ns: 'y' } }, podSelector: { matchLabels: { pod: 'b' } } }] }],
      }),
    ],
    callers: ['x/a', 'y/b'],
  },
  {
    title: 'selectors in two entries: or',
    policies: [
      policy('p', {
        podSelector: A,
        ingress: [{ from: [{ namespaceSelector: { matchLabels: { ns: 'y' } } }, { podSelector: { matchLabels: { pod: 'b' } } }] }],
      }),
    ],
    callers: ['x/a', 'x/b', ...inNamespace('y')],
  },
  {
    title: 'matchExpressions: In, NotIn, Exists, DoesNotExist, and NotIn for those without the key',
    policies: [
      policy('p', {
        podSelector: { matchExpressions: [{ key: 'pod', operator: 'In', values: ['a', 'c'] }] },
        ingress: [
          {
            from: [
              {
                namespaceSelector: { matchExpressions: [{ key: 'tier', operator: 'NotIn', values: ['low'] }] },
                podSelector: { matchExpressions: [{ key: 'pod', operator: 'In', values: ['b', 'c'] }] },
              },
            ],
          },
          {
            from: [
              {
                namespaceSelector: {
                  matchExpressions: [
                    { key: 'tier', operator: 'Exists' },
                    { key: 'ns', operator: 'Exists' },
                  ],
                },
                podSelector: { matchExpressions: [{ key: 'missing', operator: 'DoesNotExist' }] },
              },
            ],
          },
        ],
      }),
    ],
    callers: ['x/a', 'x/b', 'x/c', 'y/b', 'y/c', ...inNamespace('z')],
  },
  { title: 'a port that is allowed', policies: [policy('p', { podSelector: A, ingress: [{ ports: [{ port: 80 }] }] })], callers: EVERY },
  { title: 'a port that is not', policies: [policy('p', { podSelector: A, ingress: [{ ports: [{ port: 81 }] }] })], callers: ['x/a'] },
  {
    title: 'a port without a number is every TCP port',
    policies: [policy('p', { podSelector: A, ingress: [{ ports: [{ protocol: 'TCP' }] }] })],
    callers: EVERY,
  },
  {
    title: 'a UDP port is no TCP port',
    policies: [policy('p', { podSelector: A, ingress: [{ ports: [{ port: 80, protocol: 'UDP' }] }] })],
    callers: ['x/a'],
  },
  {
    title: 'UDP without a number is no TCP port',
    policies: [policy('p', { podSelector: A, ingress: [{ ports: [{ protocol: 'UDP' }] }] })],
    callers: ['x/a'],
  },
  {
    title: 'an SCTP port is no TCP port',
    policies: [policy('p', { podSelector: A, ingress: [{ ports: [{ port: 80, protocol: 'SCTP' }] }] })],
    callers: ['x/a'],
  },
  {
    title: 'UDP and TCP in one rule',
    policies: [policy('p', { podSelector: A, ingress: [{ ports: [{ port: 53, protocol: 'UDP' }, { port: 80 }] }] })],
    callers: EVERY,
  },
  {
    title: 'endPort includes both ends',
    policies: [policy('p', { podSelector: A, ingress: [{ ports: [{ port: 70, endPort: 80 }] }] })],
    callers: EVERY,
  },
  {
    title: 'below the first port of a range',
    policies: [policy('p', { podSelector: A, ingress: [{ ports: [{ port: 81, endPort: 90 }] }] })],
    callers: ['x/a'],
  },
  {
    title: "a named port is the destination's own",
    policies: [policy('p', { podSelector: A, ingress: [{ ports: [{ port: 'web' }] }] })],
    callers: EVERY,
  },
  {
    title: 'a named port that this pod has on another number',
    policies: [policy('p', { podSelector: A, ingress: [{ ports: [{ port: 'web' }] }] })],
    pods: [pod('x', 'a', '10.0.0.1', { ports: [{ name: 'web', containerPort: 8080 }] })],
    callers: ['x/a'],
  },
  {
    title: 'a named port of UDP is no TCP port',
    policies: [policy('p', { podSelector: A, ingress: [{ ports: [{ port: 'web' }] }] })],
    pods: [pod('x', 'a', '10.0.0.1', { ports: [{ name: 'web', containerPort: 80, protocol: 'UDP' }] })],
    callers: ['x/a'],
  },
  {
    title: 'a named port nobody declares',
    policies: [policy('p', { podSelector: A, ingress: [{ ports: [{ port: 'nope' }] }] })],
    callers: ['x/a'],
  },
  {
    title: 'an ipBlock without its exceptions',
    policies: [
      policy('p', { podSelector: A, ingress: [{ from: [{ ipBlock: { cidr: '10.0.0.0/16', except: ['10.0.1.0/24', '10.0.2.2/32'] } }] }] }),
    ],
    callers: ['x/a', 'x/b', 'x/c', 'z/a', 'z/c'],
  },
  {
    title: 'rules of one policy and of several are added up',
    policies: [
      policy('one', { podSelector: A, ingress: [{ from: [{ podSelector: { matchLabels: { pod: 'b' } } }] }, { ports: [{ port: 81 }] }] }),
      policy('two', { podSelector: {}, ingress: [{ from: [{ namespaceSelector: { matchLabels: { ns: 'z' } } }], ports: [{ port: 80 }] }] }),
    ],
    callers: ['x/a', 'x/b', ...inNamespace('z')],
  },
  {
    title: 'peer and port of one rule belong together',
    policies: [
      policy('p', {
        podSelector: A,
        ingress: [
          { from: [{ podSelector: { matchLabels: { pod: 'b' } } }], ports: [{ port: 81 }] },
          { from: [{ podSelector: { matchLabels: { pod: 'c' } } }], ports: [{ port: 80 }] },
        ],
      }),
    ],
    callers: ['x/a', 'x/c'],
  },
  { title: 'egress rules alone leave ingress free', policies: [policy('p', { podSelector: A, policyTypes: ['Egress'] })], callers: EVERY },
  {
    title: 'without policyTypes, egress rules constrain both',
    policies: [policy('p', { podSelector: A, egress: [{}] })],
    callers: ['x/a'],
  },
  {
    title: 'listed policyTypes count, not the rules that are there',
    policies: [policy('p', { podSelector: A, policyTypes: ['Egress'], ingress: [{ ports: [{ port: 81 }] }] })],
    callers: EVERY,
  },
  {
    title: 'egress of the source and ingress of the destination must both allow it',
    policies: [
      policy('in', { podSelector: A, ingress: [{ from: [{ namespaceSelector: {} }] }] }),
      policy('out', { podSelector: {}, policyTypes: ['Egress'] }, 'y'),
    ],
    callers: [...inNamespace('x'), ...inNamespace('z')],
  },
  {
    title: 'egress by selector and port of the destination',
    policies: [
      policy(
        'out',
        {
          podSelector: {},
          policyTypes: ['Egress'],
          egress: [{ to: [{ namespaceSelector: { matchLabels: { ns: 'x' } }, podSelector: A }], ports: [{ port: 'web' }] }],
        },
        'y',
      ),
    ],
    callers: EVERY,
  },
  {
    title: 'egress to another pod only',
    policies: [
      policy(
        'out',
        {
          podSelector: {},
          policyTypes: ['Egress'],
          egress: [{ to: [{ namespaceSelector: { matchLabels: { ns: 'x' } }, podSelector: { matchLabels: { pod: 'b' } } }] }],
        },
        'y',
      ),
    ],
    callers: [...inNamespace('x'), ...inNamespace('z')],
  },
  {
    title: 'egress to a block',
    policies: [
      policy(
        'out',
        { podSelector: {}, policyTypes: ['Egress'], egress: [{ to: [{ ipBlock: { cidr: '10.0.0.0/24', except: ['10.0.0.1/32'] } }] }] },
        'y',
      ),
    ],
    callers: [...inNamespace('x'), ...inNamespace('z')],
  },
  // What no API server lets in allows nothing.
  {
    title: 'a CIDR that is none allows nobody',
    policies: [policy('p', { podSelector: A, ingress: [{ from: [{ ipBlock: { cidr: '10.0.0.0' } }] }] })],
    callers: ['x/a'],
  },
  {
    title: 'a block with an exception that is none allows nobody',
    policies: [policy('p', { podSelector: A, ingress: [{ from: [{ ipBlock: { cidr: '10.0.0.0/8', except: ['no'] } }] }] })],
    callers: ['x/a'],
  },
  {
    title: 'an unknown protocol allows nothing',
    policies: [policy('p', { podSelector: A, ingress: [{ ports: [{ port: 80, protocol: 'QUIC' }] }] })],
    callers: ['x/a'],
  },
  {
    title: 'an endPort below its port allows nothing',
    policies: [policy('p', { podSelector: A, ingress: [{ ports: [{ port: 80, endPort: 70 }] }] })],
    callers: ['x/a'],
  },
  {
    title: 'an endPort without port allows nothing',
    policies: [policy('p', { podSelector: A, ingress: [{ ports: [{ endPort: 90 }] }] })],
    callers: ['x/a'],
  },
  {
    title: 'a port 0 allows nothing',
    policies: [policy('p', { podSelector: A, ingress: [{ ports: [{ port: 0, endPort: 90 }] }] })],
    callers: ['x/a'],
  },
  { title: 'an empty peer is nobody', policies: [policy('p', { podSelector: A, ingress: [{ from: [{}] }] })], callers: ['x/a'] },
  {
    title: 'a block beside a selector is nobody',
    policies: [policy('p', { podSelector: A, ingress: [{ from: [{ podSelector: {}, ipBlock: { cidr: '10.0.0.0/8' } }] }] })],
    callers: ['x/a'],
  },
  {
    title: 'a selector that is not understood constrains all it could mean',
    policies: [
      policy('p', { podSelector: { matchExpressions: [{ key: 'pod', operator: 'Like' as 'In', values: ['b'] }] }, ingress: [{}] }),
    ],
    callers: ['x/a'],
  },
  {
    title: 'an unknown policyType constrains both directions',
    policies: [policy('p', { podSelector: A, policyTypes: ['Sideways'] })],
    callers: ['x/a'],
  },
];

for (const { title, policies, pods = [], to = 'x/a', port = 80, callers } of CASES) {
  test(`NetworkPolicy: ${title}`, () => {
    const all = [...MODEL.pods.filter(({ ip }) => !pods.some((other) => other.ip === ip)), ...pods];
    const allows = meshOf({ ...MODEL, pods: all, policies });
    expect(EVERY.filter((caller) => allows(ipOf(caller), ipOf(to), port))).toEqual([...callers].sort());
  });
}

test('an address that is no pod matches blocks only', () => {
  const rules = policy('p', {
    podSelector: A,
    ingress: [{ from: [{ namespaceSelector: {} }] }, { from: [{ ipBlock: { cidr: '203.0.113.0/24' } }] }],
  });
  const allows = meshOf({ ...MODEL, policies: [rules] });
  expect(allows('203.0.113.7', ipOf('x/a'), 80)).toBe(true);
  expect(allows('198.51.100.7', ipOf('x/a'), 80)).toBe(false);
  const out = meshOf({
    ...MODEL,
    policies: [policy('out', { podSelector: A, policyTypes: ['Egress'], egress: [{ to: [{ ipBlock: { cidr: '203.0.113.0/24' } }] }] })],
  });
  expect(out(ipOf('x/a'), '203.0.113.7', 443)).toBe(true);
  expect(out(ipOf('x/a'), '198.51.100.7', 443)).toBe(false);
});

test("a pod's own node always reaches it and is always reached, another node is an address like others", () => {
  const allows = meshOf({ ...MODEL, policies: [policy('deny', { podSelector: {}, policyTypes: ['Ingress', 'Egress'] })] });
  expect(allows('192.168.0.1', ipOf('x/a'), 80)).toBe(true);
  expect(allows(ipOf('x/a'), '192.168.0.1', 10250)).toBe(true);
  expect(allows('192.168.0.2', ipOf('x/a'), 80)).toBe(false);
});

test('the decision says why, and names the policies that refused', () => {
  const trace: Trace = [];
  const allows = meshOf({ ...MODEL, policies: [policy('one', { podSelector: A }), policy('two', { podSelector: {} })] });
  expect(allows(ipOf('y/a'), ipOf('x/a'), 80, trace)).toBe(false);
  expect(trace.map(({ text }) => text)).toEqual([
    'no NetworkPolicy constrains egress of y/a: allowed',
    'ingress rules of x/one: do not allow it',
    'ingress rules of x/two: do not allow it',
  ]);
});

// The same against a second reading of the specification, for clusters nobody thought of.

test('for any cluster, policies and connection the mesh decides as the specification reads', () => {
  let refused = 0;
  fc.assert(
    fc.property(anyCluster, (cluster) => {
      const allows = meshOf(cluster);
      const addresses = [...cluster.pods.map(({ ip }) => ip), '203.0.113.9', '192.168.0.0'];
      for (const from of addresses)
        for (const to of addresses)
          for (const port of [80, 443, 8080]) {
            const expected = oracleAllows(cluster, from, to, port);
            if (!expected) refused++;
            if (allows(from, to, port) !== expected)
              throw new Error(`${from} to ${to}:${port} should be ${expected ? 'allowed' : 'refused'}`);
          }
    }),
    { numRuns: 500 },
  );
  // Neither side of the comparison says yes to everything.
  expect(refused).toBeGreaterThan(1000);
});
