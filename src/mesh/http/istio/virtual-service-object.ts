/** A VirtualService, structurally: every field of `istio.networking.v1alpha3.VirtualService` in its JSON form (v1, v1beta1 and v1alpha3 are alike). */
import type { ObjectMeta } from '../../object.ts';

type Texts = readonly string[] | undefined;
type TextMap = Readonly<Record<string, string>> | undefined;

/** One of the three; none of them asks for presence. */
export interface IstioStringMatch {
  readonly exact?: string | undefined;
  readonly prefix?: string | undefined;
  readonly regex?: string | undefined;
}

/** A null stands for an empty match, as `myheader: {}` does. */
export type IstioStringMatches = Readonly<Record<string, IstioStringMatch | null>> | undefined;

export interface IstioHttpMatch {
  readonly name?: string | undefined;
  readonly uri?: IstioStringMatch | undefined;
  readonly scheme?: IstioStringMatch | undefined;
  readonly method?: IstioStringMatch | undefined;
  readonly authority?: IstioStringMatch | undefined;
  readonly headers?: IstioStringMatches;
  readonly withoutHeaders?: IstioStringMatches;
  readonly queryParams?: IstioStringMatches;
  readonly ignoreUriCase?: boolean | undefined;
  readonly port?: number | undefined;
  readonly sourceLabels?: TextMap;
  readonly sourceNamespace?: string | undefined;
  readonly gateways?: Texts;
  readonly statPrefix?: string | undefined;
}

export interface IstioDestination {
  readonly host: string;
  readonly subset?: string | undefined;
  readonly port?: { readonly number?: number | undefined } | undefined;
}

export interface IstioHeaderOperations {
  readonly set?: TextMap;
  readonly add?: TextMap;
  readonly remove?: Texts;
}

export interface IstioHeaders {
  readonly request?: IstioHeaderOperations | undefined;
  readonly response?: IstioHeaderOperations | undefined;
}

export interface IstioRouteDestination {
  readonly destination: IstioDestination;
  readonly weight?: number | undefined;
  readonly headers?: IstioHeaders | undefined;
}

export interface IstioPercent {
  readonly value?: number | undefined;
}

export interface IstioRedirect {
  readonly uri?: string | undefined;
  readonly authority?: string | undefined;
  readonly port?: number | undefined;
  readonly derivePort?: string | undefined;
  readonly scheme?: string | undefined;
  readonly redirectCode?: number | undefined;
  readonly prefixRewrite?: string | undefined;
}

export interface IstioDirectResponse {
  readonly status: number;
  /** `bytes` is base64. */
  readonly body?: { readonly string?: string | undefined; readonly bytes?: string | undefined } | undefined;
}

export interface IstioRewrite {
  readonly uri?: string | undefined;
  readonly authority?: string | undefined;
  readonly uriRegexRewrite?: { readonly match?: string | undefined; readonly rewrite?: string | undefined } | undefined;
}

export interface IstioRetry {
  readonly attempts?: number | undefined;
  readonly perTryTimeout?: string | undefined;
  readonly retryOn?: string | undefined;
  readonly retryRemoteLocalities?: boolean | null | undefined;
  readonly retryIgnorePreviousHosts?: boolean | null | undefined;
  readonly backoff?: string | undefined;
}

export interface IstioFault {
  readonly delay?:
    | {
        readonly fixedDelay?: string | undefined;
        readonly exponentialDelay?: string | undefined;
        readonly percentage?: IstioPercent | undefined;
        readonly percent?: number | undefined;
      }
    | undefined;
  readonly abort?:
    | {
        readonly httpStatus?: number | undefined;
        readonly grpcStatus?: string | undefined;
        readonly http2Error?: string | undefined;
        readonly percentage?: IstioPercent | undefined;
      }
    | undefined;
}

export interface IstioCorsPolicy {
  readonly allowOrigins?: readonly IstioStringMatch[] | undefined;
  readonly allowOrigin?: Texts;
  readonly allowMethods?: Texts;
  readonly allowHeaders?: Texts;
  readonly exposeHeaders?: Texts;
  readonly maxAge?: string | undefined;
  readonly allowCredentials?: boolean | null | undefined;
  readonly unmatchedPreflights?: string | undefined;
}

export interface IstioHttpRoute {
  readonly name?: string | undefined;
  readonly match?: readonly IstioHttpMatch[] | undefined;
  readonly route?: readonly IstioRouteDestination[] | undefined;
  readonly redirect?: IstioRedirect | undefined;
  readonly directResponse?: IstioDirectResponse | undefined;
  readonly delegate?: { readonly name?: string | undefined; readonly namespace?: string | undefined } | undefined;
  readonly rewrite?: IstioRewrite | undefined;
  readonly timeout?: string | undefined;
  readonly retries?: IstioRetry | undefined;
  readonly fault?: IstioFault | undefined;
  readonly mirror?: IstioDestination | undefined;
  readonly mirrors?: readonly { readonly destination: IstioDestination; readonly percentage?: IstioPercent | undefined }[] | undefined;
  readonly mirrorPercentage?: IstioPercent | undefined;
  readonly mirrorPercent?: number | null | undefined;
  /** The spelling of older clients. */
  readonly mirror_percent?: number | null | undefined;
  readonly corsPolicy?: IstioCorsPolicy | undefined;
  readonly headers?: IstioHeaders | undefined;
}

export interface IstioL4Match {
  readonly destinationSubnets?: Texts;
  readonly port?: number | undefined;
  readonly sourceLabels?: TextMap;
  readonly sourceNamespace?: string | undefined;
  readonly gateways?: Texts;
  readonly sourceSubnet?: string | undefined;
}

export interface IstioTlsMatch extends Omit<IstioL4Match, 'sourceSubnet'> {
  readonly sniHosts: readonly string[];
}

export interface IstioTcpRoute {
  readonly match?: readonly IstioL4Match[] | undefined;
  readonly route?: readonly IstioRouteDestination[] | undefined;
}

export interface IstioTlsRoute {
  readonly match: readonly IstioTlsMatch[];
  readonly route?: readonly IstioRouteDestination[] | undefined;
}

export interface VirtualServiceObject {
  readonly metadata: ObjectMeta;
  readonly spec?:
    | {
        readonly hosts?: Texts;
        readonly gateways?: Texts;
        readonly http?: readonly IstioHttpRoute[] | undefined;
        readonly tls?: readonly IstioTlsRoute[] | undefined;
        readonly tcp?: readonly IstioTcpRoute[] | undefined;
        readonly exportTo?: Texts;
      }
    | undefined;
}
