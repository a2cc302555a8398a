/** Small complete values for the tests of this room. */
import { NEVER } from './match.ts';
import type { Authorization, GatewayAddress, Match, Service, ServicePort, Workload } from './model.ts';
import { MeshRegistry } from './registry.ts';

export const port = (servicePort: number, targetPort = servicePort): ServicePort => ({ servicePort, targetPort, appProtocol: 'UNKNOWN' });

/** A pod of namespace `default` that takes HBONE, named by its last address part. */
export const workload = (name: string, over: Partial<Workload> = {}): Workload => ({
  uid: `Kubernetes//Pod/${over.namespace ?? 'default'}/${name}`,
  name,
  namespace: 'default',
  addresses: [],
  hostname: '',
  network: '',
  tunnelProtocol: 'HBONE',
  trustDomain: 'cluster.local',
  serviceAccount: 'default',
  node: '',
  canonicalName: name,
  canonicalRevision: 'latest',
  workloadType: 'POD',
  workloadName: name,
  nativeTunnel: false,
  authorizationPolicies: [],
  status: 'HEALTHY',
  clusterId: 'Kubernetes',
  services: new Map(),
  locality: { region: '', zone: '', subzone: '' },
  networkMode: 'STANDARD',
  capacity: 1,
  ...over,
});

export const service = (name: string, vip: string | undefined, over: Partial<Service> = {}): Service => {
  const namespace = over.namespace ?? 'default';
  return {
    name,
    namespace,
    hostname: `${name}.${namespace}.svc.cluster.local`,
    vips: vip === undefined ? [] : [{ network: '', address: vip }],
    ports: [port(80, 8080)],
    subjectAltNames: [],
    weightedWaypoints: [],
    ipFamilies: 'AUTOMATIC',
    canonical: false,
    visibility: 'PUBLIC',
    ...over,
  };
};

/** The `services` of a workload that belongs to `owner`, with its own port map. */
export const memberOf = (owner: Service, ...ports: ServicePort[]): ReadonlyMap<string, readonly ServicePort[]> =>
  new Map([[`${owner.namespace}/${owner.hostname}`, ports]]);

export const gatewayByName = ({ namespace, hostname }: Service, hboneMtlsPort = 15_008): GatewayAddress => ({
  destination: { kind: 'hostname', value: { namespace, hostname } },
  hboneMtlsPort,
});

export const gatewayByAddress = (address: string, network = '', hboneMtlsPort = 15_008): GatewayAddress => ({
  destination: { kind: 'address', value: { network, address } },
  hboneMtlsPort,
});

export const policy = (name: string, over: Partial<Authorization> = {}): Authorization => ({
  name,
  namespace: 'default',
  scope: 'NAMESPACE',
  action: 'ALLOW',
  rules: [],
  dryRun: false,
  ...over,
});

export const match = (over: Partial<Match>): Match => ({ ...NEVER, ...over });

export const registryOf = (...contents: (Workload | Service | Authorization)[]): MeshRegistry => {
  const registry = new MeshRegistry();
  for (const item of contents) {
    if ('uid' in item) registry.insertWorkload(item);
    else if ('hostname' in item) registry.insertService(item);
    else registry.insertPolicy(item);
  }
  return registry;
};

/** The same pseudo-random sequence for the same seed (mulberry32). */
export const seeded = (seed: number) => {
  let state = seed >>> 0;
  return (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
};
