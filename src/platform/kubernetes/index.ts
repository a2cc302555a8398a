export { ApiError, isAlreadyExists, isConflict, isGone, isNotFound, isUnreachable } from './api-error.ts';
export { type ApplyResult, applyManifests, ManifestError, parseManifests } from './apply.ts';
export {
  type CallOptions,
  type DeleteOptions,
  KubeClient,
  type ListOptions,
  type PatchOptions,
  type PatchType,
  type TokenReviewStatus,
  type WriteOptions,
} from './client.ts';
export { type DiscoveredResource, Discovery, describeResource } from './discovery.ts';
export { Informer, type InformerHandlers, type InformerOptions, objectKey } from './informer.ts';
export * from './kinds/index.ts';
export {
  type ClientConfig,
  KubeConfigError,
  kubeConfigPaths,
  type LoadOptions,
  loadInCluster,
  loadKubeConfig,
  mergeKubeConfigs,
  resolveContext,
} from './kubeconfig.ts';
export { type ContextEntry, mergeContext, removeContext } from './kubeconfig-write.ts';
export { forwardPort, type LocalForward } from './port-forward.ts';
export {
  type ExecOptions,
  type ExecSession,
  exec,
  type LogOptions,
  openPortForward,
  type PodTarget,
  type PortForwardHandlers,
  type PortForwardStream,
  streamLogs,
} from './streams.ts';
export type { RequestOptions } from './transport.ts';
export {
  apiVersionOf,
  defineResource,
  type KubeList,
  type KubeObject,
  type ObjectMeta,
  type OwnerReference,
  type Resource,
  type ResourcePath,
  type Status,
  type UnknownObject,
} from './types.ts';
export { type WatchEvent, type WatchOptions, watch } from './watch.ts';
