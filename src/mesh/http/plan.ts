/**
 * The route plan: what a waypoint does with the traffic of one service. HTTPRoute, GRPCRoute, TCPRoute and TLSRoute of the Gateway API and VirtualService
 * and DestinationRule of Istio all compile to it; the waypoint executes it, `lateen explain` prints it, migration compares two of them.
 * Plain immutable JSON values: it travels from the control plane to the waypoint as it is. Times are milliseconds, an absent field means "nothing of the kind".
 */

/** Everything about one service: how traffic addressed to it is routed, and how it is treated as a destination. */
export interface ServicePlan {
  /** `namespace/hostname`, the key of the WDS Service. */
  readonly service: string;
  /** At most one per port; a port without an entry uses the one of port 0, if any, else goes to the service itself. */
  readonly ports: readonly PortPlan[];
  /** DestinationRule: for whoever chose this service as its backend. */
  readonly policy?: BackendPolicy;
  readonly subsets?: readonly Subset[];
}

export interface PortPlan {
  /** Service port; 0 stands for every port without an entry of its own. */
  readonly port: number;
  /** For HTTP traffic. Absent: to the service itself. Present without a rule that matches: 404. */
  readonly http?: HttpTable;
  /** Consumer routes (GEP-1426): for clients of this namespace instead of `http`. Sorted by namespace. */
  readonly consumers?: readonly { readonly namespace: string; readonly http: HttpTable }[];
  /** For TLS traffic that is passed through, by server name; first match wins. */
  readonly tls?: readonly TlsRule[];
  /** For any other traffic, and for TLS that no `tls` rule takes; first match wins. */
  readonly tcp?: readonly TcpRule[];
}

/** Rules in the order of precedence: the first that matches is taken. Actions are shared between rules. */
export interface HttpTable {
  readonly rules: readonly HttpRule[];
  readonly actions: readonly HttpAction[];
}

export interface HttpRule {
  readonly match: HttpMatch;
  /** Index into `actions`. */
  readonly action: number;
}

/** All given conditions hold; an empty match always matches. */
export interface HttpMatch {
  readonly path?: PathMatch;
  readonly method?: StringCondition;
  /** Any of them, against the host part of `:authority`, lower case. A leading `*.` stands for one label or more. */
  readonly hosts?: readonly string[];
  /** Against the whole `:authority` (VirtualService `authority`). */
  readonly authority?: StringCondition;
  readonly scheme?: StringCondition;
  readonly headers?: readonly FieldCondition[];
  readonly query?: readonly FieldCondition[];
  /** VirtualService `sourceNamespace`. */
  readonly sourceNamespace?: string;
}

/** Against the path without the query. `segments` is Gateway API's PathPrefix: whole path elements; `prefix` is Istio's: characters. */
export interface PathMatch {
  readonly kind: 'exact' | 'segments' | 'prefix' | 'regex';
  readonly value: string;
  readonly ignoreCase?: boolean;
}

/** Regular expressions have RE2 syntax and match the whole value. */
export interface StringCondition {
  readonly kind: 'exact' | 'prefix' | 'suffix' | 'regex' | 'present';
  readonly value: string;
  readonly ignoreCase?: boolean;
}

/** Of a header (name in lower case; of several fields of the name any one may meet it, or all joined with `,`) or a query parameter (the first of its name). */
export interface FieldCondition {
  readonly name: string;
  readonly condition: StringCondition;
  /** Holds when `condition` does not (VirtualService `withoutHeaders`). */
  readonly isInverted?: boolean;
}

/** What to do with a request. Exactly one of: redirect, respond, or forward to one of the backends. */
export interface HttpAction {
  /** The route rule it comes from, for log, metric, trace and explanation: `HTTPRoute/default/reviews/0`. */
  readonly name: string;
  readonly redirect?: Redirect;
  readonly respond?: { readonly status: number; readonly body: string; readonly contentType?: string };
  /** Chosen by weight. None, or all of weight 0: 500. */
  readonly backends: readonly WeightedBackend[];
  readonly requestHeaders?: HeaderEdit;
  readonly responseHeaders?: HeaderEdit;
  readonly rewrite?: Rewrite;
  readonly mirrors?: readonly Mirror[];
  readonly cors?: Cors;
  readonly timeouts?: Timeouts;
  /** Absent: the default, `ISTIO_DEFAULT_RETRY`. */
  readonly retry?: Retry;
  readonly fault?: Fault;
  readonly session?: SessionPersistence;
}

/** A destination: a port of a service, perhaps only a subset of its endpoints. */
export interface Backend {
  /** `namespace/hostname`. */
  readonly service: string;
  /** Service port. */
  readonly port: number;
  readonly subset?: string;
}

export interface WeightedBackend extends Backend {
  readonly weight: number;
  readonly requestHeaders?: HeaderEdit;
  readonly responseHeaders?: HeaderEdit;
  /** Why requests that choose this backend are answered with 500: it does not exist, is of a kind nobody knows, or may not be referred to. */
  readonly invalid?: string;
  /** Filters of the backendRef itself. */
  readonly rewrite?: Rewrite;
  readonly redirect?: Redirect;
  readonly mirrors?: readonly Mirror[];
}

/** Applied in the order remove, set, add. Names in lower case; `host` is set through `Rewrite`. */
export interface HeaderEdit {
  readonly remove: readonly string[];
  readonly set: readonly (readonly [name: string, value: string])[];
  readonly add: readonly (readonly [name: string, value: string])[];
}

export type PathRewrite =
  | { readonly kind: 'full'; readonly value: string }
  /** Replaces what the rule's path match took; only behind a match that took something. */
  | { readonly kind: 'prefix'; readonly match: string; readonly value: string }
  /** RE2 pattern, every occurrence; `\1` names a group. */
  | { readonly kind: 'regex'; readonly pattern: string; readonly substitution: string };

export interface Rewrite {
  readonly path?: PathRewrite;
  readonly host?: string;
}

export interface Redirect {
  readonly status: number;
  readonly scheme?: string;
  readonly host?: string;
  /** Absent: derived from the scheme, else the port the request came for, as the Gateway API says. */
  readonly port?: number;
  readonly path?: PathRewrite;
}

/** A copy of the request goes to `backend` for `numerator` of `denominator` requests; its answer is thrown away. */
export interface Mirror {
  readonly backend: Backend;
  readonly numerator: number;
  readonly denominator: number;
  /** `invalid` as in `WeightedBackend`: such a mirror is skipped. */
  readonly invalid?: string;
}

export interface Cors {
  /** Any of them; `*` alone stands for every origin, `https://*.example.com` for its subdomains. */
  readonly allowOrigins: readonly StringCondition[];
  readonly allowMethods: readonly string[];
  readonly allowHeaders: readonly string[];
  readonly exposeHeaders: readonly string[];
  readonly allowCredentials: boolean;
  readonly maxAgeSeconds?: number;
  /** Whether a preflight of an origin that is not allowed goes on to the backend (Istio `FORWARD`) instead of being answered here. */
  readonly forwardsUnmatchedPreflights: boolean;
}

/** Absent or 0: no limit. */
export interface Timeouts {
  /** The whole exchange as the client sees it, to the end of the response. */
  readonly request?: number;
  /** One attempt, to the end of its response. */
  readonly perTry?: number;
  /** Nothing moved in either direction for this long. */
  readonly idle?: number;
}

export interface Retry {
  /** Attempts beyond the first; 0: none whatever happens. */
  readonly attempts: number;
  readonly perTryTimeout?: number;
  /** Statuses that are tried again. */
  readonly statuses: readonly number[];
  readonly on: readonly RetryCondition[];
  /** Base of the jittered exponential back-off. */
  readonly backoff?: number;
}

/** Envoy's `retry_on` words: what counts besides `statuses`. */
export type RetryCondition =
  | '5xx'
  | 'gateway-error'
  | 'reset'
  | 'reset-before-request'
  | 'connect-failure'
  | 'refused-stream'
  | 'retriable-4xx'
  | 'cancelled'
  | 'deadline-exceeded'
  | 'internal'
  | 'resource-exhausted'
  | 'unavailable';

/** Percentages are 0 to 100. */
export interface Fault {
  readonly delay?: { readonly percentage: number; readonly duration: number };
  readonly abort?: { readonly percentage: number; readonly httpStatus?: number; readonly grpcStatus?: number };
}

/** Keeps a client on the backend and endpoint that first served it (GEP-1619). */
export interface SessionPersistence {
  readonly kind: 'cookie' | 'header';
  readonly name: string;
  /** Absent with a cookie: it lasts as long as the browser's session. */
  readonly absoluteTimeout?: number;
  readonly idleTimeout?: number;
  /** Path attribute of the cookie. */
  readonly path?: string;
}

export interface TlsRule {
  readonly name: string;
  /** Server names; a leading `*.` stands for one label or more. Empty: any. */
  readonly sniHosts: readonly string[];
  readonly sourceNamespace?: string;
  readonly backends: readonly WeightedBackend[];
}

export interface TcpRule {
  readonly name: string;
  readonly sourceNamespace?: string;
  readonly backends: readonly WeightedBackend[];
}

/** A DestinationRule subset, its selector already applied: the workloads that belong to it. */
export interface Subset {
  readonly name: string;
  /** Workload uids, sorted. */
  readonly workloads: readonly string[];
  readonly policy?: BackendPolicy;
}

/** How connections and requests to a destination are treated: DestinationRule `trafficPolicy`. Absent parts have the waypoint's defaults. */
export interface BackendPolicy {
  readonly loadBalancer?: LoadBalancerPolicy;
  readonly locality?: LocalityPolicy;
  readonly warmup?: { readonly duration: number; readonly minimumPercent: number; readonly aggression: number };
  readonly connectionPool?: ConnectionPoolPolicy;
  readonly outlier?: OutlierPolicy;
  readonly tls?: BackendTls;
  /** PROXY protocol version in front of each connection. */
  readonly proxyProtocol?: 1 | 2;
  /** Instead of all of the above, for a port. */
  readonly ports?: readonly { readonly port: number; readonly policy: BackendPolicy }[];
}

export type LoadBalancerPolicy =
  | { readonly kind: 'least-request' | 'round-robin' | 'random' }
  | { readonly kind: 'ring-hash'; readonly hash: HashSource; readonly minimumRingSize: number }
  | { readonly kind: 'maglev'; readonly hash: HashSource; readonly tableSize: number };

export type HashSource =
  | { readonly kind: 'header'; readonly name: string }
  /** With `ttl` (milliseconds; 0: the browser's session) a cookie is made where there is none. */
  | { readonly kind: 'cookie'; readonly name: string; readonly path?: string; readonly ttl?: number }
  | { readonly kind: 'query'; readonly name: string }
  | { readonly kind: 'source-ip' };

/** DestinationRule `localityLbSetting`; region, zone and subzone are written `region/zone/subzone`. */
export interface LocalityPolicy {
  readonly isEnabled: boolean;
  readonly distribute?: readonly {
    readonly from: string;
    readonly to: readonly { readonly locality: string; readonly weight: number }[];
  }[];
  readonly failover?: readonly { readonly from: string; readonly to: string }[];
  readonly failoverPriority?: readonly string[];
}

/** Absent: the waypoint's default, see `LIMITS` there. */
export interface ConnectionPoolPolicy {
  readonly maxConnections?: number;
  readonly connectTimeout?: number;
  readonly tcpIdleTimeout?: number;
  readonly maxConnectionDuration?: number;
  readonly maxPendingRequests?: number;
  readonly maxRequests?: number;
  readonly maxRequestsPerConnection?: number;
  readonly maxRetries?: number;
  readonly idleTimeout?: number;
  readonly maxConcurrentStreams?: number;
  /** Speak to the endpoint what the client spoke / HTTP/2 in any case. */
  readonly useClientProtocol?: boolean;
  readonly h2Upgrade?: boolean;
}

/** Passive health: ejects endpoints by what they answered. Percentages are 0 to 100. */
export interface OutlierPolicy {
  readonly consecutive5xx?: number;
  readonly consecutiveGatewayErrors?: number;
  readonly consecutiveLocalOriginFailures?: number;
  readonly splitExternalLocalOrigin: boolean;
  readonly interval: number;
  readonly baseEjectionTime: number;
  readonly maxEjectionPercent: number;
  readonly minHealthPercent: number;
}

/** TLS to the endpoint. Absent: the mesh's own mutual TLS where the endpoint speaks HBONE, else plain text. */
export interface BackendTls {
  readonly mode: 'disable' | 'simple' | 'mutual' | 'mesh';
  readonly sni?: string;
  readonly subjectAltNames?: readonly string[];
  readonly insecureSkipVerify?: boolean;
  /** Name of the Secret, in the waypoint's namespace, with `ca.crt` and, for `mutual`, `tls.crt` and `tls.key`. */
  readonly credentialName?: string;
  /** Paths in the waypoint's own file system. */
  readonly caCertificates?: string;
  readonly clientCertificate?: string;
  readonly privateKey?: string;
}

/** Request as routing sees it. */
export interface RequestView {
  readonly method: string;
  /** With the query. */
  readonly path: string;
  readonly authority: string;
  readonly scheme: string;
  /** Names in lower case; no pseudo-headers needed. */
  readonly headers: readonly (readonly [name: string, value: string])[];
}
