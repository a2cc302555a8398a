import type { CertDump, ConnectionDump, NodeDump, ServiceDump, WorkloadDump, WorkloadStateDump } from './config-dump.ts';

/** What is left out of a report. */
export interface DumpFilter {
  readonly workloadNamespace?: string;
  readonly workloadNode?: string;
  readonly address?: string;
  readonly direction?: string;
  readonly raw?: boolean;
}

export interface Report {
  readonly header: readonly string[];
  readonly rows: readonly (readonly string[])[];
  /** The same entries as the proxies gave them. */
  readonly objects: readonly unknown[];
}

/** Every proxy holds the whole mesh; an entry all of them hold is shown once. */
const merge = <T>(dumps: readonly NodeDump[], entries: (dump: NodeDump) => readonly T[], key: (entry: T) => string): T[] => {
  const merged = new Map<string, T>();
  for (const dump of dumps) for (const entry of entries(dump)) if (!merged.has(key(entry))) merged.set(key(entry), entry);
  return [...merged.entries()].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, entry]) => entry);
};

const inNamespace = (filter: DumpFilter, namespace: string): boolean =>
  filter.workloadNamespace === undefined || filter.workloadNamespace === namespace;

const waypointName = (waypoint: WorkloadDump['waypoint']): string => {
  const destination = waypoint?.destination;
  if (destination === undefined) return 'None';
  if (typeof destination !== 'string') return destination.hostname?.split('.')[0] ?? destination.address ?? 'NA';
  // `namespace/hostname` or `network/address`
  const last = destination.split('/').at(-1) ?? '';
  return /^[\d.:]+$/.test(last) ? last : (last.split('.')[0] ?? 'NA');
};

const mergedServices = (dumps: readonly NodeDump[]): ServiceDump[] =>
  merge(
    dumps,
    ({ dump }) => dump.services ?? [],
    (service) => `${service.namespace}\0${service.name}\0${service.hostname}`,
  );
const mergedWorkloads = (dumps: readonly NodeDump[]): WorkloadDump[] =>
  merge(
    dumps,
    ({ dump }) => dump.workloads ?? [],
    (workload) => `${workload.namespace}\0${workload.name}\0${workload.uid}`,
  );

export const workloadReport = (dumps: readonly NodeDump[], filter: DumpFilter): Report => {
  const objects = mergedWorkloads(dumps).filter(
    (workload) =>
      inNamespace(filter, workload.namespace) &&
      (filter.workloadNode === undefined || filter.workloadNode === workload.node) &&
      (filter.address === undefined || workload.workloadIps?.includes(filter.address) === true),
  );
  return {
    header: ['NAMESPACE', 'POD NAME', 'ADDRESS', 'NODE', 'WAYPOINT', 'PROTOCOL'],
    rows: objects.map((workload) => [
      workload.namespace,
      workload.name,
      workload.workloadIps?.[0] ?? '',
      workload.node ?? '',
      waypointName(workload.waypoint),
      workload.protocol ?? 'TCP',
    ]),
    objects,
  };
};

export const serviceReport = (dumps: readonly NodeDump[], filter: DumpFilter): Report => {
  const objects = mergedServices(dumps).filter((service) => inNamespace(filter, service.namespace));
  return {
    header: ['NAMESPACE', 'SERVICE NAME', 'SERVICE VIP', 'WAYPOINT', 'ENDPOINTS'],
    rows: objects.map((service) => {
      const endpoints = Object.values(service.endpoints ?? {});
      const healthy = endpoints.filter(({ status }) => status === undefined || status === 'Healthy').length;
      return [
        service.namespace,
        service.name,
        service.vips?.[0]?.split('/').at(-1) ?? '',
        waypointName(service.waypoint),
        `${healthy}/${endpoints.length}`,
      ];
    }),
    objects,
  };
};

export const policyReport = (dumps: readonly NodeDump[], filter: DumpFilter): Report => {
  const objects = merge(
    dumps,
    ({ dump }) => dump.policies ?? [],
    (policy) => `${policy.namespace}\0${policy.name}`,
  ).filter((policy) => inNamespace(filter, policy.namespace));
  return {
    header: ['NAMESPACE', 'POLICY NAME', 'ACTION', 'SCOPE'],
    rows: objects.map((policy) => [policy.namespace, policy.name, policy.action, policy.scope]),
    objects,
  };
};

export const certificateReport = (dumps: readonly NodeDump[], filter: DumpFilter, now: Date): Report => {
  const objects = dumps.flatMap(({ node, dump }) =>
    (dump.certificates ?? [])
      .filter(({ identity }) => inNamespace(filter, /\/ns\/([^/]+)\//.exec(identity)?.[1] ?? ''))
      .map((certificate) => ({ ...certificate, node })),
  );
  const rows = objects.flatMap(({ identity, state, certChain = [], rootCerts = [], node }) => {
    const status = typeof state === 'string' ? (state.includes('Unavailable') ? 'Unavailable' : state) : (Object.keys(state)[0] ?? 'NA');
    const row = (type: string, certificate?: CertDump) => [
      identity,
      type,
      status,
      String(certificate !== undefined && isValid(certificate, now)),
      certificate === undefined ? 'NA' : hexSerial(certificate.serialNumber),
      certificate?.expirationTime ?? 'NA',
      certificate?.validFrom ?? 'NA',
      node,
    ];
    if (certChain.length + rootCerts.length === 0) return [row('NA')];
    return [
      ...certChain.map((certificate, index) => row(index === 0 ? 'Leaf' : 'Intermediate', certificate)),
      ...rootCerts.map((certificate) => row('Root', certificate)),
    ];
  });
  return {
    header: ['CERTIFICATE NAME', 'TYPE', 'STATUS', 'VALID CERT', 'SERIAL NUMBER', 'NOT AFTER', 'NOT BEFORE', 'NODE'],
    rows,
    objects,
  };
};

const isValid = ({ validFrom, expirationTime }: CertDump, now: Date): boolean =>
  new Date(validFrom) <= now && now < new Date(expirationTime);
/** Proxies write serial numbers in decimal; everybody else reads them in hexadecimal. */
const hexSerial = (serial: string): string => (/^\d+$/.test(serial) ? BigInt(serial).toString(16) : serial);

export const connectionReport = (dumps: readonly NodeDump[], filter: DumpFilter): Report => {
  const names = filter.raw === true ? new Map<string, string>() : namesByAddress(dumps);
  const named = (address: string | null | undefined): string => {
    if (address === null || address === undefined) return '';
    const at = address.lastIndexOf(':');
    const name = names.get(address.slice(0, at).replace(/^\[|\]$/g, ''));
    return name === undefined ? address : `${name}${address.slice(at)}`;
  };
  const states = dumps
    .flatMap(({ node, dump }) => Object.values(dump.workloadState ?? {}).map((state) => ({ ...state, node })))
    .filter(({ info }) => inNamespace(filter, info.namespace))
    .sort((a, b) => label(a).localeCompare(label(b)));
  const rows = states.flatMap((state) => {
    const row = (direction: string, local: string, remote: string, target: string, connection: ConnectionDump) => [
      label(state),
      direction,
      local,
      remote,
      target,
      connection.protocol ?? '',
      state.node,
    ];
    const inbound = filter.direction === 'outbound' ? [] : (state.connections?.inbound ?? []);
    const outbound = filter.direction === 'inbound' ? [] : (state.connections?.outbound ?? []);
    return [
      ...inbound.map((one) => row('Inbound', named(one.actualDst), named(one.src), named(one.originalDst), one)),
      ...outbound.map((one) => row('Outbound', named(one.src), named(one.actualDst), named(one.originalDst), one)),
    ];
  });
  return { header: ['WORKLOAD', 'DIRECTION', 'LOCAL', 'REMOTE', 'REMOTE TARGET', 'PROTOCOL', 'NODE'], rows, objects: states };
};

const label = ({ info }: WorkloadStateDump): string => `${info.name}.${info.namespace}`;

const namesByAddress = (dumps: readonly NodeDump[]): Map<string, string> => {
  const names = new Map<string, string>();
  for (const workload of mergedWorkloads(dumps))
    for (const ip of workload.workloadIps ?? []) names.set(ip, `${workload.name}.${workload.namespace}`);
  for (const service of mergedServices(dumps))
    for (const vip of service.vips ?? []) names.set(vip.split('/').at(-1) ?? '', service.hostname);
  return names;
};
