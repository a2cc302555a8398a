/** Clusters nobody thought of, for the tests of NetworkPolicies; a test file only so that the import rule leaves it alone. */
import fc from 'fast-check';
import type { OracleCluster, OraclePod } from '../../mesh/network-policy/oracle.test.ts';
import type { Namespace, Pod } from '../../platform/kubernetes/index.ts';

export const podObject = ({ namespace, name, ip, nodeIp, labels, ports }: OraclePod): Pod => ({
  metadata: { namespace, name, labels: { ...labels } },
  spec: { containers: [{ name: 'app', ports: ports.map((port) => ({ ...port })) as NonNullable<Pod['spec']['containers'][0]['ports']> }] },
  status: { phase: 'Running', podIPs: [{ ip }], hostIPs: [{ ip: nodeIp }] },
});
export const namespaceObject = (name: string, labels: Readonly<Record<string, string>>): Namespace => ({
  metadata: { name, labels: { ...labels } },
});

const labels = fc.dictionary(fc.constantFrom('app', 'tier'), fc.constantFrom('a', 'b'), { maxKeys: 2 });
const expression = fc.oneof(
  fc.record({
    key: fc.constantFrom('app', 'tier'),
    operator: fc.constantFrom('In' as const, 'NotIn' as const),
    values: fc.uniqueArray(fc.constantFrom('a', 'b', 'c'), { minLength: 1 }),
  }),
  fc.record({ key: fc.constantFrom('app', 'tier'), operator: fc.constantFrom('Exists' as const, 'DoesNotExist' as const) }),
);
const selector = fc.record({ matchLabels: labels, matchExpressions: fc.array(expression, { maxLength: 1 }) }, { requiredKeys: [] });
const peer = fc.oneof(
  fc.record({ podSelector: selector }),
  fc.record({ namespaceSelector: selector }),
  fc.record({ podSelector: selector, namespaceSelector: selector }),
  fc.record({
    ipBlock: fc.record(
      {
        cidr: fc.constantFrom('10.0.0.0/8', '10.0.0.0/30', '10.0.0.2/31', '0.0.0.0/0'),
        except: fc.subarray(['10.0.0.1/32', '10.0.0.2/31']),
      },
      { requiredKeys: ['cidr'] },
    ),
  }),
);
const portEntry = fc.oneof(
  fc.record({ protocol: fc.constantFrom('TCP', 'UDP', 'SCTP') }, { requiredKeys: [] }),
  fc.record({ port: fc.constantFrom<number | string>(80, 443, 'web', 'admin'), protocol: fc.constantFrom('TCP', 'TCP', 'UDP') }),
  fc.record({ port: fc.constantFrom(79, 80, 81), endPort: fc.constantFrom(81, 443, 444) }),
);
const rule = fc.tuple(fc.array(peer, { maxLength: 2 }), fc.array(portEntry, { maxLength: 2 }));
const rules = fc.array(rule, { maxLength: 2 });
export const anyCluster: fc.Arbitrary<OracleCluster> = fc.record({
  namespaces: fc.record({ one: labels, two: labels }),
  pods: fc
    .array(fc.tuple(fc.constantFrom('one', 'two'), labels, fc.subarray(['web', 'admin']), fc.constantFrom(80, 443)), {
      minLength: 2,
      maxLength: 4,
    })
    .map((list) =>
      list.map(
        ([namespace, own, names, port], i): OraclePod => ({
          namespace,
          name: `p${i}`,
          ip: `10.0.0.${i}`,
          nodeIp: `192.168.0.${i % 2}`,
          labels: own,
          ports: names.map((name, j) => ({ name, containerPort: j === 0 ? port : 80 })),
        }),
      ),
    ),
  policies: fc
    .array(
      fc
        .tuple(
          fc.constantFrom('one', 'two'),
          selector,
          fc.option(fc.subarray(['Ingress', 'Egress'], { minLength: 1 }), { nil: undefined }),
          rules,
          fc.option(rules, { nil: undefined }),
        )
        .map(([namespace, podSelector, policyTypes, ingress, egress]) => ({
          namespace,
          spec: {
            podSelector,
            ...(policyTypes && { policyTypes }),
            ingress: ingress.map(([from, ports]) => ({ from, ports })),
            ...(egress && { egress: egress.map(([to, ports]) => ({ to, ports })) }),
          },
        })),
      { maxLength: 3 },
    )
    .map((list) => list.map(({ namespace, spec }, i) => ({ metadata: { name: `policy${i}`, namespace }, spec }))),
});
