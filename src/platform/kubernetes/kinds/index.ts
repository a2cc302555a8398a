import { ValidatingAdmissionPolicyBindingKind, ValidatingAdmissionPolicyKind } from './admission.ts';
import { DaemonSetKind, DeploymentKind, JobKind, ReplicaSetKind } from './apps.ts';
import { BackendTlsPolicyKind } from './backend-tls-policy.ts';
import { ConfigMapKind, EventKind, NamespaceKind, NodeKind, SecretKind, ServiceAccountKind } from './core.ts';
import { DestinationRuleKind } from './destination-rule.ts';
import { CustomResourceDefinitionKind } from './extension.ts';
import { GatewayClassKind, GatewayKind, ReferenceGrantKind } from './gateway.ts';
import { AuthorizationPolicyKind, PeerAuthenticationKind } from './istio.ts';
import { EnvoyFilterKind, WasmPluginKind } from './istio-extensions.ts';
import type { Kind } from './kind.ts';
import { EndpointSliceKind, EndpointsKind, NetworkPolicyKind, ServiceKind } from './network.ts';
import { PodKind } from './pod.ts';
import { HorizontalPodAutoscalerKind, LeaseKind, PodDisruptionBudgetKind } from './policy.ts';
import { ClusterRoleBindingKind, ClusterRoleKind, RoleBindingKind, RoleKind } from './rbac.ts';
import { RequestAuthenticationKind } from './request-authentication.ts';
import { GrpcRouteKind } from './routes-grpc.ts';
import { HttpRouteKind } from './routes-http.ts';
import { TcpRouteKind, TlsRouteKind } from './routes-l4.ts';
import { ServiceEntryKind, WorkloadEntryKind } from './service-entry.ts';
import { TelemetryKind } from './telemetry.ts';
import { VirtualServiceKind } from './virtual-service.ts';

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
  ValidatingAdmissionPolicyKind,
  ValidatingAdmissionPolicyBindingKind,
  AuthorizationPolicyKind,
  PeerAuthenticationKind,
  RequestAuthenticationKind,
  GatewayClassKind,
  GatewayKind,
  HttpRouteKind,
  GrpcRouteKind,
  TcpRouteKind,
  TlsRouteKind,
  ReferenceGrantKind,
  BackendTlsPolicyKind,
  VirtualServiceKind,
  DestinationRuleKind,
  ServiceEntryKind,
  WorkloadEntryKind,
  EnvoyFilterKind,
  WasmPluginKind,
  TelemetryKind,
] as readonly Kind[];

export * from './admission.ts';
export * from './apps.ts';
export * from './backend-tls-policy.ts';
export * from './core.ts';
export * from './destination-rule.ts';
export * from './extension.ts';
export * from './gateway.ts';
export {
  type BackendObjectReference,
  type BackendRef,
  GATEWAY_GROUP,
  type GatewayCondition,
  type HttpHeaderFilter,
  type HttpRequestMirrorFilter,
  type ParentReference,
  type RouteParentStatus,
  type SessionPersistence,
} from './gateway-common.ts';
export * from './istio.ts';
export {
  type Destination,
  EXTENSIONS_GROUP,
  type IstioHeaders,
  NETWORKING_GROUP,
  type PolicyTargetReference,
  SECURITY_GROUP,
  type StringMatch,
  TELEMETRY_GROUP,
} from './istio-common.ts';
export * from './istio-extensions.ts';
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
export * from './request-authentication.ts';
export * from './routes-grpc.ts';
export * from './routes-http.ts';
export * from './routes-l4.ts';
export type { IntOrString } from './schema.ts';
export { applySchemaDefaults } from './schema-defaults.ts';
export * from './service-entry.ts';
export * from './telemetry.ts';
export * from './virtual-service.ts';
