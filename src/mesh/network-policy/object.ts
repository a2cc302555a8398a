/** A NetworkPolicy, structurally: the fields of `networking.k8s.io/v1`. */
import type { LabelSelector } from '../label-selector.ts';
import type { ObjectMeta } from '../object.ts';

export interface NetworkPolicyPeerObject {
  readonly podSelector?: LabelSelector | undefined;
  readonly namespaceSelector?: LabelSelector | undefined;
  readonly ipBlock?: { readonly cidr: string; readonly except?: readonly string[] | undefined } | undefined;
}

export interface NetworkPolicyPortObject {
  readonly protocol?: string | undefined;
  readonly port?: number | string | undefined;
  readonly endPort?: number | undefined;
}

export interface NetworkPolicyObject {
  readonly metadata: ObjectMeta;
  readonly spec?:
    | {
        readonly podSelector?: LabelSelector | undefined;
        readonly policyTypes?: readonly string[] | undefined;
        readonly ingress?:
          | readonly {
              readonly from?: readonly NetworkPolicyPeerObject[] | undefined;
              readonly ports?: readonly NetworkPolicyPortObject[] | undefined;
            }[]
          | undefined;
        readonly egress?:
          | readonly {
              readonly to?: readonly NetworkPolicyPeerObject[] | undefined;
              readonly ports?: readonly NetworkPolicyPortObject[] | undefined;
            }[]
          | undefined;
      }
    | undefined;
}
