import { type Static, Type } from 'typebox';
import { labelSelectorSchema, localObjectReferenceSchema, type ObjectMeta, objectMetaSchema } from './meta.ts';
import {
  between,
  boolean,
  choice,
  int32,
  int64,
  intOrString,
  list,
  listMap,
  map,
  object,
  opaque,
  quantity,
  string,
  strings,
} from './schema.ts';

const keySelector = object({ name: string, key: string, optional: boolean }, ['key'], { 'x-kubernetes-map-type': 'atomic' });
const fieldRef = object({ apiVersion: string, fieldPath: string }, ['fieldPath'], { 'x-kubernetes-map-type': 'atomic' });
const resourceFieldRef = object({ containerName: string, resource: string, divisor: quantity }, ['resource'], {
  'x-kubernetes-map-type': 'atomic',
});

const envVar = object(
  {
    name: string,
    value: string,
    valueFrom: object({ fieldRef, resourceFieldRef, configMapKeyRef: keySelector, secretKeyRef: keySelector }),
  },
  ['name'],
);
export type EnvVar = Static<typeof envVar>;

const httpGet = object(
  {
    path: string,
    port: intOrString,
    host: string,
    scheme: choice('HTTP', 'HTTPS'),
    httpHeaders: list(object({ name: string, value: string }, ['name', 'value'])),
  },
  ['port'],
);
export type HttpGet = Static<typeof httpGet>;
const handler = { exec: object({ command: list(string) }), httpGet, tcpSocket: object({ port: intOrString, host: string }, ['port']) };
const probe = object({
  ...handler,
  grpc: object({ port: int32, service: string }, ['port']),
  initialDelaySeconds: int32,
  timeoutSeconds: int32,
  periodSeconds: int32,
  successThreshold: int32,
  failureThreshold: int32,
  terminationGracePeriodSeconds: int64,
});
export type Probe = Static<typeof probe>;
const lifecycleHandler = object({ ...handler, sleep: object({ seconds: int64 }, ['seconds']) });
export type LifecycleHandler = Static<typeof lifecycleHandler>;

const capabilities = object({ add: list(string), drop: list(string) });
const securityContext = object({
  capabilities,
  privileged: boolean,
  runAsUser: int64,
  runAsGroup: int64,
  runAsNonRoot: boolean,
  readOnlyRootFilesystem: boolean,
  allowPrivilegeEscalation: boolean,
  procMount: string,
  seLinuxOptions: opaque,
  windowsOptions: opaque,
  seccompProfile: opaque,
  appArmorProfile: opaque,
});

const resources = object({
  limits: map(quantity),
  requests: map(quantity),
  claims: listMap(object({ name: string, request: string }, ['name']), 'name'),
});

const containerPort = object(
  { name: string, containerPort: between(1, 65535), hostPort: between(0, 65535), hostIP: string, protocol: choice('TCP', 'UDP', 'SCTP') },
  ['containerPort'],
);
const volumeMount = object(
  {
    name: string,
    mountPath: string,
    subPath: string,
    subPathExpr: string,
    readOnly: boolean,
    recursiveReadOnly: string,
    mountPropagation: string,
  },
  ['name', 'mountPath'],
);

const containerFields = {
  name: string,
  image: string,
  command: list(string),
  args: list(string),
  workingDir: string,
  ports: listMap(containerPort, 'containerPort', 'protocol'),
  env: listMap(envVar, 'name'),
  envFrom: list(
    object({
      prefix: string,
      configMapRef: object({ name: string, optional: boolean }),
      secretRef: object({ name: string, optional: boolean }),
    }),
  ),
  resources,
  resizePolicy: list(opaque),
  restartPolicy: string,
  volumeMounts: listMap(volumeMount, 'mountPath'),
  volumeDevices: listMap(object({ name: string, devicePath: string }, ['name', 'devicePath']), 'devicePath'),
  livenessProbe: probe,
  readinessProbe: probe,
  startupProbe: probe,
  lifecycle: object({ postStart: lifecycleHandler, preStop: lifecycleHandler, stopSignal: string }),
  terminationMessagePath: string,
  terminationMessagePolicy: string,
  imagePullPolicy: choice('Always', 'Never', 'IfNotPresent'),
  securityContext,
  stdin: boolean,
  stdinOnce: boolean,
  tty: boolean,
};
const container = object(containerFields, ['name']);
export type Container = Static<typeof container>;
const ephemeralContainer = object({ ...containerFields, targetContainerName: string }, ['name']);

const keyToPath = object({ key: string, path: string, mode: int32 }, ['key', 'path']);
export type KeyToPath = Static<typeof keyToPath>;
const downwardItem = object({ path: string, fieldRef, resourceFieldRef, mode: int32 }, ['path']);
export type DownwardItem = Static<typeof downwardItem>;
const projection = object({
  secret: object({ name: string, items: list(keyToPath), optional: boolean }),
  configMap: object({ name: string, items: list(keyToPath), optional: boolean }),
  downwardAPI: object({ items: list(downwardItem) }),
  serviceAccountToken: object({ audience: string, expirationSeconds: int64, path: string }, ['path']),
  clusterTrustBundle: opaque,
});
export type VolumeProjection = Static<typeof projection>;
const volume = object(
  {
    name: string,
    emptyDir: object({ medium: string, sizeLimit: quantity }),
    hostPath: object({ path: string, type: string }, ['path']),
    configMap: object({ name: string, items: list(keyToPath), defaultMode: int32, optional: boolean }),
    secret: object({ secretName: string, items: list(keyToPath), defaultMode: int32, optional: boolean }),
    projected: object({ sources: list(projection), defaultMode: int32 }),
    downwardAPI: object({ items: list(downwardItem), defaultMode: int32 }),
    persistentVolumeClaim: object({ claimName: string, readOnly: boolean }, ['claimName']),
    csi: opaque,
    nfs: opaque,
    image: opaque,
    ephemeral: opaque,
  },
  ['name'],
);
export type Volume = Static<typeof volume>;

const toleration = object({
  key: string,
  operator: choice('Exists', 'Equal', ''),
  value: string,
  effect: string,
  tolerationSeconds: int64,
});
export type Toleration = Static<typeof toleration>;

const nodeSelectorRequirement = object(
  { key: string, operator: choice('In', 'NotIn', 'Exists', 'DoesNotExist', 'Gt', 'Lt'), values: list(string) },
  ['key', 'operator'],
);
const nodeSelectorTerm = object({ matchExpressions: list(nodeSelectorRequirement), matchFields: list(nodeSelectorRequirement) });
const podAffinityTerm = object(
  {
    labelSelector: labelSelectorSchema,
    namespaces: list(string),
    topologyKey: string,
    namespaceSelector: labelSelectorSchema,
    matchLabelKeys: list(string),
    mismatchLabelKeys: list(string),
  },
  ['topologyKey'],
);
const podAffinity = object({
  requiredDuringSchedulingIgnoredDuringExecution: list(podAffinityTerm),
  preferredDuringSchedulingIgnoredDuringExecution: list(object({ weight: int32, podAffinityTerm }, ['weight', 'podAffinityTerm'])),
});
const affinity = object({
  nodeAffinity: object({
    requiredDuringSchedulingIgnoredDuringExecution: object({ nodeSelectorTerms: list(nodeSelectorTerm) }, ['nodeSelectorTerms']),
    preferredDuringSchedulingIgnoredDuringExecution: list(
      object({ weight: int32, preference: nodeSelectorTerm }, ['weight', 'preference']),
    ),
  }),
  podAffinity,
  podAntiAffinity: podAffinity,
});

const topologySpread = object(
  {
    maxSkew: int32,
    topologyKey: string,
    whenUnsatisfiable: string,
    labelSelector: labelSelectorSchema,
    minDomains: int32,
    nodeAffinityPolicy: string,
    nodeTaintsPolicy: string,
    matchLabelKeys: list(string),
  },
  ['maxSkew', 'topologyKey', 'whenUnsatisfiable'],
);

const podSecurityContext = object({
  runAsUser: int64,
  runAsGroup: int64,
  runAsNonRoot: boolean,
  fsGroup: int64,
  fsGroupChangePolicy: string,
  supplementalGroups: list(int64),
  supplementalGroupsPolicy: string,
  sysctls: list(object({ name: string, value: string }, ['name', 'value'])),
  seLinuxOptions: opaque,
  seLinuxChangePolicy: string,
  windowsOptions: opaque,
  seccompProfile: opaque,
  appArmorProfile: opaque,
});

export const podSpecSchema = object(
  {
    containers: listMap(container, 'name'),
    initContainers: listMap(container, 'name'),
    ephemeralContainers: listMap(ephemeralContainer, 'name'),
    volumes: listMap(volume, 'name'),
    restartPolicy: choice('Always', 'OnFailure', 'Never'),
    terminationGracePeriodSeconds: int64,
    activeDeadlineSeconds: int64,
    dnsPolicy: choice('ClusterFirst', 'ClusterFirstWithHostNet', 'Default', 'None'),
    dnsConfig: object({ nameservers: list(string), searches: list(string), options: list(object({ name: string, value: string })) }),
    nodeSelector: strings,
    serviceAccountName: string,
    serviceAccount: string,
    automountServiceAccountToken: boolean,
    nodeName: string,
    hostNetwork: boolean,
    hostPID: boolean,
    hostIPC: boolean,
    hostUsers: boolean,
    shareProcessNamespace: boolean,
    securityContext: podSecurityContext,
    imagePullSecrets: listMap(localObjectReferenceSchema, 'name'),
    hostname: string,
    subdomain: string,
    setHostnameAsFQDN: boolean,
    affinity,
    schedulerName: string,
    tolerations: list(toleration),
    hostAliases: listMap(object({ ip: string, hostnames: list(string) }, ['ip']), 'ip'),
    priorityClassName: string,
    priority: int32,
    preemptionPolicy: string,
    readinessGates: list(object({ conditionType: string }, ['conditionType'])),
    schedulingGates: listMap(object({ name: string }, ['name']), 'name'),
    runtimeClassName: string,
    enableServiceLinks: boolean,
    overhead: map(quantity),
    topologySpreadConstraints: listMap(topologySpread, 'topologyKey', 'whenUnsatisfiable'),
    os: object({ name: string }, ['name']),
    resourceClaims: listMap(object({ name: string, resourceClaimName: string, resourceClaimTemplateName: string }, ['name']), 'name'),
    resources,
    hostnameOverride: string,
  },
  ['containers'],
);
export type PodSpec = Static<typeof podSpecSchema>;

/** Not in `required`: a template without a spec is refused for its missing containers, after the defaults have made an empty one. */
export const podTemplateSchema = Type.Unsafe<{ metadata?: ObjectMeta; spec: PodSpec }>(
  object({ metadata: objectMetaSchema, spec: podSpecSchema }),
);
export type PodTemplateSpec = Static<typeof podTemplateSchema>;

const terminated = object(
  { exitCode: int32, signal: int32, reason: string, message: string, startedAt: string, finishedAt: string, containerID: string },
  ['exitCode'],
);
export type Terminated = Static<typeof terminated>;
const containerState = object({ waiting: object({ reason: string, message: string }), running: object({ startedAt: string }), terminated });
export type ContainerState = Static<typeof containerState>;
const containerStatus = object(
  {
    name: string,
    state: containerState,
    lastState: containerState,
    ready: boolean,
    restartCount: int32,
    image: string,
    imageID: string,
    containerID: string,
    started: boolean,
    allocatedResources: map(quantity),
    resources,
    volumeMounts: list(opaque),
    user: opaque,
    stopSignal: string,
  },
  ['name', 'ready', 'restartCount', 'image', 'imageID'],
);
export type ContainerStatus = Static<typeof containerStatus>;
export const containerStatuses = list(containerStatus);
