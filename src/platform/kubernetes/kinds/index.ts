import { DaemonSetKind, DeploymentKind, JobKind, ReplicaSetKind } from './apps.ts';
import { ConfigMapKind, EventKind, NamespaceKind, NodeKind, SecretKind, ServiceAccountKind } from './core.ts';
import { CustomResourceDefinitionKind } from './extension.ts';
import { AuthorizationPolicyKind, PeerAuthenticationKind } from './istio.ts';
import type { Kind } from './kind.ts';
import { EndpointSliceKind, EndpointsKind, NetworkPolicyKind, ServiceKind } from './network.ts';
import { PodKind } from './pod.ts';
import { HorizontalPodAutoscalerKind, LeaseKind, PodDisruptionBudgetKind } from './policy.ts';
import { ClusterRoleBindingKind, ClusterRoleKind, RoleBindingKind, RoleKind } from './rbac.ts';

/** Every kind the embedded API server serves by itself. Kinds differ in `T`, so the list holds them with `T` erased. */
export const BUILT_IN_KINDS: readonly Kind[] = [
  NamespaceKind,
  NodeKind,
  PodKind,
  ServiceKind,
  EndpointsKind,
  ServiceAccountKind,
  ConfigMapKind,
  SecretKind,
  EventKind,
  DeploymentKind,
  ReplicaSetKind,
  DaemonSetKind,
  JobKind,
  EndpointSliceKind,
  LeaseKind,
  NetworkPolicyKind,
  PodDisruptionBudgetKind,
  HorizontalPodAutoscalerKind,
  RoleKind,
  RoleBindingKind,
  ClusterRoleKind,
  ClusterRoleBindingKind,
  CustomResourceDefinitionKind,
  AuthorizationPolicyKind,
  PeerAuthenticationKind,
] as readonly Kind[];

export * from './apps.ts';
export * from './core.ts';
export * from './extension.ts';
export * from './istio.ts';
export * from './kind.ts';
export * from './labels.ts';
export * from './meta.ts';
export * from './network.ts';
export * from './pod.ts';
export type {
  Container,
  ContainerState,
  ContainerStatus,
  DownwardItem,
  EnvVar,
  HttpGet,
  KeyToPath,
  LifecycleHandler,
  PodSpec,
  PodTemplateSpec,
  Probe,
  Terminated,
  Toleration,
  Volume,
  VolumeProjection,
} from './pod-spec.ts';
export * from './policy.ts';
export * from './rbac.ts';
export type { IntOrString } from './schema.ts';
