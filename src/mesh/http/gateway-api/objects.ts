/** HTTPRoute, GRPCRoute, TCPRoute, TLSRoute and ReferenceGrant, structurally: the fields of `gateway.networking.k8s.io` v1 (release 1.6, standard and experimental). */
import type { ObjectMeta } from '../../object.ts';

export interface ParentReference {
  readonly group?: string | undefined;
  readonly kind?: string | undefined;
  readonly namespace?: string | undefined;
  readonly name: string;
  readonly sectionName?: string | undefined;
  readonly port?: number | undefined;
}

export interface BackendReference {
  readonly group?: string | undefined;
  readonly kind?: string | undefined;
  readonly namespace?: string | undefined;
  readonly name: string;
  readonly port?: number | undefined;
}

export interface WeightedBackendReference extends BackendReference {
  readonly weight?: number | undefined;
  readonly filters?: readonly RouteFilter[] | undefined;
}

export interface NamedValue {
  readonly name: string;
  readonly value: string;
}

export interface NamedMatch extends NamedValue {
  readonly type?: string | undefined;
}

export interface HeaderModifier {
  readonly set?: readonly NamedValue[] | undefined;
  readonly add?: readonly NamedValue[] | undefined;
  readonly remove?: readonly string[] | undefined;
}

export interface PathModifier {
  readonly type: string;
  readonly replaceFullPath?: string | undefined;
  readonly replacePrefixMatch?: string | undefined;
}

export interface RequestRedirectFilter {
  readonly scheme?: string | undefined;
  readonly hostname?: string | undefined;
  readonly path?: PathModifier | undefined;
  readonly port?: number | undefined;
  readonly statusCode?: number | undefined;
}

export interface UrlRewriteFilter {
  readonly hostname?: string | undefined;
  readonly path?: PathModifier | undefined;
}

export interface RequestMirrorFilter {
  readonly backendRef: BackendReference;
  readonly percent?: number | undefined;
  readonly fraction?: { readonly numerator: number; readonly denominator?: number | undefined } | undefined;
}

export interface CorsFilter {
  readonly allowOrigins?: readonly string[] | undefined;
  readonly allowCredentials?: boolean | undefined;
  readonly allowMethods?: readonly string[] | undefined;
  readonly allowHeaders?: readonly string[] | undefined;
  readonly exposeHeaders?: readonly string[] | undefined;
  readonly maxAge?: number | undefined;
}

/** `type` says which of the other fields it has. Of a GRPCRoute only header modifiers, mirrors and extensions. */
export interface RouteFilter {
  readonly type: string;
  readonly requestHeaderModifier?: HeaderModifier | undefined;
  readonly responseHeaderModifier?: HeaderModifier | undefined;
  readonly requestRedirect?: RequestRedirectFilter | undefined;
  readonly urlRewrite?: UrlRewriteFilter | undefined;
  readonly requestMirror?: RequestMirrorFilter | undefined;
  readonly cors?: CorsFilter | undefined;
  readonly extensionRef?: { readonly group: string; readonly kind: string; readonly name: string } | undefined;
}

/** `sessionName` and `cookieConfig` are the fields of release 1.6, `cookie` and `header` those that follow it. */
export interface SessionPersistenceObject {
  readonly type?: string | undefined;
  readonly sessionName?: string | undefined;
  readonly absoluteTimeout?: string | undefined;
  readonly idleTimeout?: string | undefined;
  readonly cookieConfig?: { readonly lifetimeType?: string | undefined } | undefined;
  readonly cookie?:
    | { readonly name?: string | undefined; readonly path?: string | undefined; readonly lifetimeType?: string | undefined }
    | undefined;
  readonly header?: { readonly name?: string | undefined } | undefined;
}

export interface HttpRouteMatch {
  readonly path?: { readonly type?: string | undefined; readonly value?: string | undefined } | undefined;
  readonly headers?: readonly NamedMatch[] | undefined;
  readonly queryParams?: readonly NamedMatch[] | undefined;
  readonly method?: string | undefined;
}

export interface HttpRouteRule {
  readonly name?: string | undefined;
  readonly matches?: readonly HttpRouteMatch[] | undefined;
  readonly filters?: readonly RouteFilter[] | undefined;
  readonly backendRefs?: readonly WeightedBackendReference[] | undefined;
  readonly timeouts?: { readonly request?: string | undefined; readonly backendRequest?: string | undefined } | undefined;
  readonly retry?:
    | { readonly codes?: readonly number[] | undefined; readonly attempts?: number | undefined; readonly backoff?: string | undefined }
    | undefined;
  readonly sessionPersistence?: SessionPersistenceObject | undefined;
}

export interface GrpcRouteMatch {
  readonly method?:
    | { readonly type?: string | undefined; readonly service?: string | undefined; readonly method?: string | undefined }
    | undefined;
  readonly headers?: readonly NamedMatch[] | undefined;
}

export interface GrpcRouteRule {
  readonly name?: string | undefined;
  readonly matches?: readonly GrpcRouteMatch[] | undefined;
  readonly filters?: readonly RouteFilter[] | undefined;
  readonly backendRefs?: readonly WeightedBackendReference[] | undefined;
  readonly sessionPersistence?: SessionPersistenceObject | undefined;
}

export interface L4RouteRule {
  readonly name?: string | undefined;
  readonly backendRefs?: readonly WeightedBackendReference[] | undefined;
}

interface RouteObject<Rule> {
  readonly metadata: ObjectMeta;
  readonly spec?:
    | {
        readonly parentRefs?: readonly ParentReference[] | undefined;
        readonly hostnames?: readonly string[] | undefined;
        readonly rules?: readonly Rule[] | undefined;
      }
    | undefined;
}

/** The kinds that compile to a route plan, and what their objects look like. */
export interface RouteObjects {
  readonly HTTPRoute: RouteObject<HttpRouteRule>;
  readonly GRPCRoute: RouteObject<GrpcRouteRule>;
  readonly TLSRoute: RouteObject<L4RouteRule>;
  readonly TCPRoute: RouteObject<L4RouteRule>;
}

export type RouteKind = keyof RouteObjects;

export interface ReferenceGrantObject {
  readonly metadata: ObjectMeta;
  readonly spec?:
    | {
        readonly from: readonly { readonly group: string; readonly kind: string; readonly namespace: string }[];
        readonly to: readonly { readonly group: string; readonly kind: string; readonly name?: string | undefined }[];
      }
    | undefined;
}
