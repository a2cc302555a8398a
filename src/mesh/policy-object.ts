/** An AuthorizationPolicy, structurally: the fields of Istio's `security.istio.io/v1`. */
import type { ObjectMeta, WorkloadSelector } from './object.ts';

export interface PolicySource {
  readonly principals?: readonly string[] | undefined;
  readonly notPrincipals?: readonly string[] | undefined;
  readonly namespaces?: readonly string[] | undefined;
  readonly notNamespaces?: readonly string[] | undefined;
  readonly serviceAccounts?: readonly string[] | undefined;
  readonly notServiceAccounts?: readonly string[] | undefined;
  readonly ipBlocks?: readonly string[] | undefined;
  readonly notIpBlocks?: readonly string[] | undefined;
  readonly requestPrincipals?: readonly string[] | undefined;
  readonly notRequestPrincipals?: readonly string[] | undefined;
  readonly remoteIpBlocks?: readonly string[] | undefined;
  readonly notRemoteIpBlocks?: readonly string[] | undefined;
  readonly trustDomains?: readonly string[] | undefined;
  readonly notTrustDomains?: readonly string[] | undefined;
}

export interface PolicyOperation {
  readonly ports?: readonly string[] | undefined;
  readonly notPorts?: readonly string[] | undefined;
  readonly hosts?: readonly string[] | undefined;
  readonly notHosts?: readonly string[] | undefined;
  readonly methods?: readonly string[] | undefined;
  readonly notMethods?: readonly string[] | undefined;
  readonly paths?: readonly string[] | undefined;
  readonly notPaths?: readonly string[] | undefined;
}

export interface PolicyCondition {
  readonly key: string;
  readonly values?: readonly string[] | undefined;
  readonly notValues?: readonly string[] | undefined;
}

export interface PolicyRule {
  readonly from?: readonly { readonly source?: PolicySource | undefined }[] | undefined;
  readonly to?: readonly { readonly operation?: PolicyOperation | undefined }[] | undefined;
  readonly when?: readonly PolicyCondition[] | undefined;
}

export interface AuthorizationPolicyObject {
  readonly metadata: ObjectMeta;
  readonly spec?:
    | {
        readonly selector?: WorkloadSelector | undefined;
        readonly targetRef?: unknown;
        readonly targetRefs?: readonly unknown[] | undefined;
        readonly action?: string | undefined;
        readonly rules?: readonly PolicyRule[] | undefined;
      }
    | undefined;
}
