import type { Static } from 'typebox';
import { age, ageColumn, column, defineKind, duplicate, type FieldProblem, invalid, nameColumn, required } from './kind.ts';
import { labelSelectorString, validateLabelSelector } from './labels.ts';
import { conditions, kindSchema, labelSelectorSchema, objectReferenceSchema } from './meta.ts';
import { between, boolean, choice, int32, intOrString, list, listMap, object, opaque, set, string, strings } from './schema.ts';

const servicePort = object(
  {
    name: string,
    protocol: choice('TCP', 'UDP', 'SCTP'),
    appProtocol: string,
    port: between(1, 65535),
    targetPort: intOrString,
    nodePort: int32,
  },
  ['port'],
);
export type ServicePort = Static<typeof servicePort>;

const serviceSchema = kindSchema({
  spec: object({
    ports: listMap(servicePort, 'port', 'protocol'),
    selector: strings,
    clusterIP: string,
    clusterIPs: list(string),
    type: choice('ClusterIP', 'NodePort', 'LoadBalancer', 'ExternalName'),
    externalIPs: list(string),
    sessionAffinity: choice('None', 'ClientIP'),
    sessionAffinityConfig: opaque,
    loadBalancerIP: string,
    loadBalancerSourceRanges: list(string),
    loadBalancerClass: string,
    allocateLoadBalancerNodePorts: boolean,
    externalName: string,
    externalTrafficPolicy: string,
    internalTrafficPolicy: string,
    healthCheckNodePort: int32,
    publishNotReadyAddresses: boolean,
    ipFamilies: list(string),
    ipFamilyPolicy: string,
    trafficDistribution: string,
  }),
  status: object({
    loadBalancer: object({ ingress: list(object({ ip: string, hostname: string, ipMode: string, ports: list(opaque) })) }),
    conditions,
  }),
});
export type Service = Static<typeof serviceSchema>;

export const ServiceKind = defineKind<Service>({
  apiVersion: 'v1',
  kind: 'Service',
  plural: 'services',
  shortNames: ['svc'],
  categories: ['all'],
  status: true,
  description:
    'Service is a named abstraction of software service consisting of local port that the proxy listens on, and the selector that determines which pods will answer requests.',
  schema: serviceSchema,
  columns: [
    nameColumn,
    column('Type', 'How the Service is exposed'),
    column('Cluster-IP', 'The IP address of the service'),
    column('External-IP', 'Addresses outside the cluster'),
    column('Port(s)', 'The ports that are exposed by this service'),
    ageColumn,
    column('Selector', 'Labels of the pods behind it', { wide: true }),
  ],
  cells: (service, now) => {
    const spec = service.spec ?? {};
    const external =
      spec.type === 'ExternalName'
        ? (spec.externalName ?? '')
        : (spec.externalIPs ?? []).join(',') || (spec.type === 'LoadBalancer' ? balancerAddress(service) : '<none>');
    const selector = Object.entries(spec.selector ?? {}).map(([key, value]) => `${key}=${value}`);
    return [
      service.metadata.name ?? '',
      spec.type ?? 'ClusterIP',
      spec.clusterIP || '<none>',
      external,
      (spec.ports ?? []).map((port) => `${port.port}${port.nodePort ? `:${port.nodePort}` : ''}/${port.protocol ?? 'TCP'}`).join(',') ||
        '<none>',
      age(service, now),
      selector.sort().join(',') || '<none>',
    ];
  },
  defaults: (service) => {
    service.spec ??= {};
    const { spec } = service;
    spec.type ??= 'ClusterIP';
    spec.sessionAffinity ??= 'None';
    for (const port of spec.ports ?? []) {
      port.protocol ??= 'TCP';
      if (spec.type !== 'ExternalName' && (port.targetPort === undefined || port.targetPort === 0 || port.targetPort === ''))
        port.targetPort = port.port;
    }
    if (spec.type === 'ExternalName') return;
    spec.internalTrafficPolicy ??= 'Cluster';
    spec.ipFamilies ??= ['IPv4'];
    spec.ipFamilyPolicy ??= 'SingleStack';
    if (spec.type !== 'ClusterIP') spec.externalTrafficPolicy ??= 'Cluster';
    service.status ??= { loadBalancer: {} };
  },
  validate: validateService,
});

function balancerAddress(service: Service): string {
  const addresses = (service.status?.loadBalancer?.ingress ?? []).map((entry) => entry.ip ?? entry.hostname ?? '');
  return addresses.join(',') || '<pending>';
}

function validateService(service: Service): FieldProblem[] {
  const spec = service.spec ?? {};
  const problems: FieldProblem[] = [];
  const ports = spec.ports ?? [];
  if (ports.length === 0 && spec.type !== 'ExternalName' && spec.clusterIP !== 'None') problems.push(required('spec.ports'));
  if (spec.type === 'ExternalName' && (spec.externalName ?? '') === '') problems.push(required('spec.externalName'));
  const names = new Set<string>();
  const numbers = new Set<string>();
  ports.forEach((port, index) => {
    const at = `spec.ports[${index}]`;
    const name = port.name ?? '';
    if (name === '' && ports.length > 1) problems.push(required(`${at}.name`));
    else if (name !== '' && names.has(name)) problems.push(duplicate(`${at}.name`, name));
    names.add(name);
    const number = `${port.port}/${port.protocol ?? 'TCP'}`;
    if (numbers.has(number)) problems.push(duplicate(at, number));
    numbers.add(number);
    if (typeof port.targetPort === 'number' && (port.targetPort < 1 || port.targetPort > 65535)) {
      problems.push(invalid(`${at}.targetPort`, port.targetPort, 'must be between 1 and 65535, inclusive'));
    }
  });
  return problems;
}

const endpointPort = object({ name: string, port: int32, protocol: string, appProtocol: string }, ['port'], {
  'x-kubernetes-map-type': 'atomic',
});
const endpointAddress = object({ ip: string, hostname: string, nodeName: string, targetRef: objectReferenceSchema }, ['ip'], {
  'x-kubernetes-map-type': 'atomic',
});
const endpointsSchema = kindSchema({
  subsets: list(object({ addresses: list(endpointAddress), notReadyAddresses: list(endpointAddress), ports: list(endpointPort) })),
});
export type Endpoints = Static<typeof endpointsSchema>;
export const EndpointsKind = defineKind<Endpoints>({
  apiVersion: 'v1',
  kind: 'Endpoints',
  plural: 'endpoints',
  shortNames: ['ep'],
  description: 'Endpoints is a collection of endpoints that implement the actual service.',
  schema: endpointsSchema,
  columns: [nameColumn, column('Endpoints', 'Addresses and ports'), ageColumn],
  cells: (endpoints, now) => {
    const all = (endpoints.subsets ?? []).flatMap((subset) =>
      (subset.addresses ?? []).flatMap((address) =>
        (subset.ports ?? []).length === 0 ? [address.ip] : subset.ports!.map((port) => `${address.ip}:${port.port}`),
      ),
    );
    return [endpoints.metadata.name ?? '', shorten(all), age(endpoints, now)];
  },
});

const sliceEndpoint = object(
  {
    addresses: set(string),
    conditions: object({ ready: boolean, serving: boolean, terminating: boolean }),
    hostname: string,
    targetRef: objectReferenceSchema,
    deprecatedTopology: strings,
    nodeName: string,
    zone: string,
    hints: opaque,
  },
  ['addresses'],
);
export type Endpoint = Static<typeof sliceEndpoint>;
const slicePort = object({ name: string, protocol: string, port: int32, appProtocol: string }, [], { 'x-kubernetes-map-type': 'atomic' });
export type EndpointPort = Static<typeof slicePort>;
const endpointSliceSchema = kindSchema(
  {
    addressType: choice('IPv4', 'IPv6', 'FQDN'),
    endpoints: list(sliceEndpoint),
    ports: list(slicePort),
  },
  ['addressType', 'endpoints'],
);
export type EndpointSlice = Static<typeof endpointSliceSchema>;
export const EndpointSliceKind = defineKind<EndpointSlice>({
  apiVersion: 'discovery.k8s.io/v1',
  kind: 'EndpointSlice',
  plural: 'endpointslices',
  description: 'EndpointSlice represents a set of service endpoints.',
  schema: endpointSliceSchema,
  columns: [
    nameColumn,
    column('AddressType', 'Kind of addresses'),
    column('Ports', 'Ports of every endpoint'),
    column('Endpoints', 'Addresses'),
    ageColumn,
  ],
  cells: (slice, now) => [
    slice.metadata.name ?? '',
    slice.addressType,
    shorten(
      (slice.ports ?? []).map((port) => String(port.port ?? '*')),
      '<unset>',
    ),
    shorten(
      (slice.endpoints ?? []).flatMap((endpoint) => endpoint.addresses),
      '<unset>',
    ),
    age(slice, now),
  ],
  defaults: (slice) => {
    slice.endpoints ??= [];
    for (const port of slice.ports ?? []) {
      port.name ??= '';
      port.protocol ??= 'TCP';
    }
  },
});

function shorten(values: readonly string[], none = '<none>'): string {
  if (values.length === 0) return none;
  return values.length > 3 ? `${values.slice(0, 3).join(',')} + ${values.length - 3} more...` : values.join(',');
}

const networkPolicyPeer = object({
  podSelector: labelSelectorSchema,
  namespaceSelector: labelSelectorSchema,
  ipBlock: object({ cidr: string, except: list(string) }, ['cidr']),
});
const networkPolicyPort = object({ protocol: string, port: intOrString, endPort: int32 });
const networkPolicySchema = kindSchema({
  spec: object({
    podSelector: labelSelectorSchema,
    policyTypes: list(string),
    ingress: list(object({ ports: list(networkPolicyPort), from: list(networkPolicyPeer) })),
    egress: list(object({ ports: list(networkPolicyPort), to: list(networkPolicyPeer) })),
  }),
  status: object({ conditions }),
});
export type NetworkPolicy = Static<typeof networkPolicySchema>;
export const NetworkPolicyKind = defineKind<NetworkPolicy>({
  apiVersion: 'networking.k8s.io/v1',
  kind: 'NetworkPolicy',
  plural: 'networkpolicies',
  shortNames: ['netpol'],
  description: 'NetworkPolicy describes what network traffic is allowed for a set of Pods.',
  schema: networkPolicySchema,
  columns: [nameColumn, column('Pod-Selector', 'Pods it applies to'), ageColumn],
  cells: (policy, now) => [policy.metadata.name ?? '', labelSelectorString(policy.spec?.podSelector) || '<none>', age(policy, now)],
  defaults: (policy) => {
    policy.spec ??= {};
    policy.spec.podSelector ??= {};
    policy.spec.policyTypes ??= policy.spec.egress === undefined ? ['Ingress'] : ['Ingress', 'Egress'];
    for (const rule of [...(policy.spec.ingress ?? []), ...(policy.spec.egress ?? [])])
      for (const port of rule.ports ?? []) port.protocol ??= 'TCP';
  },
  validate: (policy) => validateLabelSelector(policy.spec?.podSelector, 'spec.podSelector'),
});
