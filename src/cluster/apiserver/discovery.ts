import { apiVersionOf, type ResourceType, type ResourceTypes, resourceKey } from './resources.ts';

const VERBS = ['create', 'delete', 'deletecollection', 'get', 'list', 'patch', 'update', 'watch'];
const WRITE_STATUS = ['get', 'patch', 'update'];

interface Subresource {
  readonly name: string;
  readonly group?: string;
  readonly version?: string;
  readonly kind: string;
  readonly verbs: readonly string[];
}

const SUBRESOURCES: Readonly<Record<string, readonly Subresource[]>> = {
  '/pods': [
    { name: 'attach', kind: 'PodAttachOptions', verbs: ['create', 'get'] },
    { name: 'binding', kind: 'Binding', verbs: ['create'] },
    { name: 'eviction', group: 'policy', version: 'v1', kind: 'Eviction', verbs: ['create'] },
    { name: 'exec', kind: 'PodExecOptions', verbs: ['create', 'get'] },
    { name: 'log', kind: 'Pod', verbs: ['get'] },
    { name: 'portforward', kind: 'PodPortForwardOptions', verbs: ['create', 'get'] },
    { name: 'proxy', kind: 'PodProxyOptions', verbs: ['create', 'delete', 'get', 'patch', 'update'] },
  ],
  '/nodes': [{ name: 'proxy', kind: 'NodeProxyOptions', verbs: ['create', 'delete', 'get', 'patch', 'update'] }],
  '/services': [{ name: 'proxy', kind: 'ServiceProxyOptions', verbs: ['create', 'delete', 'get', 'patch', 'update'] }],
  '/serviceaccounts': [{ name: 'token', group: 'authentication.k8s.io', version: 'v1', kind: 'TokenRequest', verbs: ['create'] }],
  '/namespaces': [{ name: 'finalize', kind: 'Namespace', verbs: ['update'] }],
};

/** Kinds that are asked and not stored. */
export const VIRTUAL: readonly {
  readonly group: string;
  readonly version: string;
  readonly plural: string;
  readonly singular: string;
  readonly kind: string;
  readonly namespaced: boolean;
}[] = [
  {
    group: 'authentication.k8s.io',
    version: 'v1',
    plural: 'tokenreviews',
    singular: 'tokenreview',
    kind: 'TokenReview',
    namespaced: false,
  },
  {
    group: 'authentication.k8s.io',
    version: 'v1',
    plural: 'selfsubjectreviews',
    singular: 'selfsubjectreview',
    kind: 'SelfSubjectReview',
    namespaced: false,
  },
  {
    group: 'authorization.k8s.io',
    version: 'v1',
    plural: 'subjectaccessreviews',
    singular: 'subjectaccessreview',
    kind: 'SubjectAccessReview',
    namespaced: false,
  },
  {
    group: 'authorization.k8s.io',
    version: 'v1',
    plural: 'selfsubjectaccessreviews',
    singular: 'selfsubjectaccessreview',
    kind: 'SelfSubjectAccessReview',
    namespaced: false,
  },
  {
    group: 'authorization.k8s.io',
    version: 'v1',
    plural: 'selfsubjectrulesreviews',
    singular: 'selfsubjectrulesreview',
    kind: 'SelfSubjectRulesReview',
    namespaced: false,
  },
  {
    group: 'authorization.k8s.io',
    version: 'v1',
    plural: 'localsubjectaccessreviews',
    singular: 'localsubjectaccessreview',
    kind: 'LocalSubjectAccessReview',
    namespaced: true,
  },
];

export function subresourcesOf(type: ResourceType, version: string): Subresource[] {
  const found: Subresource[] = [];
  if (type.hasStatus(version)) found.push({ name: 'status', kind: type.kind, verbs: WRITE_STATUS });
  if (type.scale(version) !== undefined)
    found.push({ name: 'scale', group: 'autoscaling', version: 'v1', kind: 'Scale', verbs: WRITE_STATUS });
  return [...found, ...(SUBRESOURCES[resourceKey(type)] ?? [])];
}

/** Groups in the order of discovery, each with its versions, the preferred one first. */
export function groupsOf(types: ResourceTypes): Map<string, string[]> {
  const groups = new Map<string, Set<string>>([['', new Set(['v1'])]]);
  const add = (group: string, version: string) => groups.set(group, (groups.get(group) ?? new Set()).add(version));
  for (const type of types.all()) for (const version of type.versions) add(type.group, version);
  for (const { group, version } of VIRTUAL) add(group, version);
  return new Map([...groups].map(([group, versions]) => [group, [...versions]]));
}

/** `/api/v1` and `/apis/<group>/<version>`. Undefined when the version is not served. */
export function resourceList(types: ResourceTypes, group: string, version: string): object | undefined {
  if (groupsOf(types).get(group)?.includes(version) !== true) return undefined;
  const resources: object[] = [];
  for (const type of types.all()) {
    if (type.group !== group || !type.versions.includes(version)) continue;
    resources.push({
      name: type.plural,
      singularName: type.singular,
      namespaced: type.namespaced,
      kind: type.kind,
      verbs: VERBS,
      ...(type.shortNames.length > 0 ? { shortNames: type.shortNames } : {}),
      ...(type.categories.length > 0 ? { categories: type.categories } : {}),
      storageVersionHash: Buffer.from(`${type.group}/${type.version}/${type.kind}`).toString('base64').slice(0, 12),
    });
    for (const { name, kind, verbs, group: subGroup, version: subVersion } of subresourcesOf(type, version)) {
      resources.push({
        name: `${type.plural}/${name}`,
        singularName: '',
        namespaced: type.namespaced,
        ...(subGroup === undefined ? {} : { group: subGroup, version: subVersion }),
        kind,
        verbs,
      });
    }
  }
  for (const virtual of VIRTUAL) {
    if (virtual.group === group && virtual.version === version) {
      resources.push({
        name: virtual.plural,
        singularName: virtual.singular,
        namespaced: virtual.namespaced,
        kind: virtual.kind,
        verbs: ['create'],
      });
    }
  }
  return { kind: 'APIResourceList', apiVersion: 'v1', groupVersion: apiVersionOf(group, version), resources };
}

/** `/apis/<group>`. */
export function groupDocument(types: ResourceTypes, group: string): object | undefined {
  const versions = groupsOf(types).get(group);
  if (versions === undefined || group === '') return undefined;
  const entries = versions.map((version) => ({ groupVersion: `${group}/${version}`, version }));
  return { kind: 'APIGroup', apiVersion: 'v1', name: group, versions: entries, preferredVersion: entries[0] };
}

/** `/apis`. */
export function groupList(types: ResourceTypes): object {
  const groups = [...groupsOf(types).keys()].filter((group) => group !== '').map((group) => groupDocument(types, group));
  return { kind: 'APIGroupList', apiVersion: 'v1', groups: groups.map((group) => ({ ...group, kind: undefined, apiVersion: undefined })) };
}

/** `/api`. */
export const coreVersions = (address: string): object => ({
  kind: 'APIVersions',
  versions: ['v1'],
  serverAddressByClientCIDRs: [{ clientCIDR: '0.0.0.0/0', serverAddress: address }],
});

/** Aggregated discovery (apidiscovery.k8s.io/v2): every group, version and resource in one document. */
export function aggregated(types: ResourceTypes, isCore: boolean, apiVersion: 'v2' | 'v2beta1'): object {
  const kindOf = (group: string, version: string, kind: string) => ({ group, version, kind });
  const items = [...groupsOf(types)]
    .filter(([group]) => (group === '') === isCore)
    .map(([group, versions]) => ({
      metadata: { ...(group === '' ? {} : { name: group }), creationTimestamp: null },
      versions: versions.map((version) => ({
        version,
        freshness: 'Current',
        resources: [
          ...types
            .all()
            .filter((type) => type.group === group && type.versions.includes(version))
            .map((type) => ({
              resource: type.plural,
              responseKind: kindOf(group, version, type.kind),
              scope: type.namespaced ? 'Namespaced' : 'Cluster',
              singularResource: type.singular,
              verbs: VERBS,
              ...(type.shortNames.length > 0 ? { shortNames: type.shortNames } : {}),
              ...(type.categories.length > 0 ? { categories: type.categories } : {}),
              subresources: subresourcesOf(type, version).map((sub) => ({
                subresource: sub.name,
                responseKind: kindOf(sub.group ?? group, sub.version ?? version, sub.kind),
                verbs: sub.verbs,
              })),
            })),
          ...VIRTUAL.filter((virtual) => virtual.group === group && virtual.version === version).map((virtual) => ({
            resource: virtual.plural,
            responseKind: kindOf(group, version, virtual.kind),
            scope: virtual.namespaced ? 'Namespaced' : 'Cluster',
            singularResource: virtual.singular,
            verbs: ['create'],
          })),
        ],
      })),
    }));
  return { kind: 'APIGroupDiscoveryList', apiVersion: `apidiscovery.k8s.io/${apiVersion}`, metadata: {}, items };
}
