/** What the control plane takes from the mesh room and the generated messages, in one place. */
export { DEFAULT_CLUSTER_ID, DEFAULT_TRUST_DOMAIN, formatIdentity, parseIdentity } from '../mesh/identity.ts';
export { canonicalIp, ipToBytes, parseCidr, parseIp, parsePort } from '../mesh/ip.ts';
export { podUid, policyKey, serviceAliases, serviceKey, workloadAliases } from '../mesh/keys.ts';
export type {
  AppProtocol,
  Authorization,
  Cidr,
  Clause,
  GatewayAddress,
  Identity,
  IpFamilies,
  LoadBalancing,
  Locality,
  Match,
  NetworkAddress,
  PolicyScope,
  Rule,
  Service,
  ServiceAccountMatch,
  ServicePort,
  StringMatch,
  Workload,
} from '../mesh/model.ts';
export { fail, ok, type Result } from '../mesh/result.ts';
export {
  ADDRESS_TYPE,
  AUTHORIZATION_TYPE,
  type DeltaDiscoveryRequest,
  DeltaDiscoveryRequestSchema,
  DeltaDiscoveryResponseSchema,
  IstioCertificateRequestSchema,
  IstioCertificateResponseSchema,
} from '../protocol/index.ts';
