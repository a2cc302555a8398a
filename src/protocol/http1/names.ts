import { LOWER } from './octets.ts';

/** Fields the codec itself reads. The first six concern one connection and never reach `Http1Head.headers`. */
export const Field = {
  CONNECTION: 0,
  KEEP_ALIVE: 1,
  PROXY_CONNECTION: 2,
  TRANSFER_ENCODING: 3,
  UPGRADE: 4,
  TE: 5,
  CONTENT_LENGTH: 6,
  HOST: 7,
  EXPECT: 8,
  /** Names from here on mean nothing to the codec. */
  FIRST_PLAIN: 9,
} as const;

const SPECIAL = 'connection keep-alive proxy-connection transfer-encoding upgrade te content-length host expect';
const PLAIN = `accept accept-charset accept-encoding accept-language accept-ranges access-control-allow-credentials access-control-allow-headers
 access-control-allow-methods access-control-allow-origin access-control-expose-headers access-control-max-age access-control-request-headers
 access-control-request-method age allow alt-svc authorization b3 baggage cache-control content-disposition content-encoding content-language
 content-location content-range content-security-policy content-type cookie date dnt end-user etag forwarded from grpc-accept-encoding grpc-encoding
 grpc-message grpc-status grpc-timeout http2-settings if-match if-modified-since if-none-match if-range if-unmodified-since last-modified link location
 max-forwards openai-organization openai-processing-ms openai-version origin pragma priority proxy-authenticate proxy-authorization range referer
 referrer-policy retry-after sec-ch-ua sec-ch-ua-mobile sec-ch-ua-platform sec-fetch-dest sec-fetch-mode sec-fetch-site sec-fetch-user sec-websocket-accept
 sec-websocket-extensions sec-websocket-key sec-websocket-protocol sec-websocket-version server server-timing set-cookie strict-transport-security
 traceparent tracestate trailer upgrade-insecure-requests user-agent vary via warning www-authenticate x-api-key x-b3-flags x-b3-parentspanid
 x-b3-sampled x-b3-spanid x-b3-traceid x-content-type-options x-envoy-attempt-count x-envoy-decorator-operation x-envoy-expected-rq-timeout-ms
 x-envoy-external-address x-envoy-internal x-envoy-original-path x-envoy-peer-metadata x-envoy-peer-metadata-id x-envoy-upstream-service-time
 x-forwarded-client-cert x-forwarded-for x-forwarded-host x-forwarded-port x-forwarded-proto x-frame-options x-powered-by x-ratelimit-limit
 x-ratelimit-remaining x-ratelimit-reset x-real-ip x-request-id x-requested-with x-user x-xss-protection`;

/** Names common enough to be recognised from their octets, so that every message shares one string for each. The index is the name's id. */
export const NAMES: readonly string[] = [...SPECIAL.split(/\s+/), ...PLAIN.split(/\s+/)];

/** Ids by hash, -1 where there is none; sparse, so that most look-ups need one step. */
const SLOTS = 1024;
const ids = new Int16Array(SLOTS).fill(-1);
const OFFSETS = new Uint16Array(NAMES.length + 1);
const TEXT = new Uint8Array(NAMES.reduce((total, name) => total + name.length, 0));

/** Length and three characters tell the known names apart well enough, and need no pass over the name. */
const slotOf = (length: number, first: number, middle: number, last: number): number =>
  (length * 37 + first * 131 + middle * 523 + last * 59) & (SLOTS - 1);

NAMES.forEach((name, id) => {
  const start = OFFSETS[id]!;
  OFFSETS[id + 1] = start + name.length;
  for (let at = 0; at < name.length; at++) TEXT[start + at] = name.charCodeAt(at);
  let slot = slotOf(name.length, TEXT[start]!, TEXT[start + (name.length >> 1)]!, TEXT[start + name.length - 1]!);
  while (ids[slot] !== -1) slot = (slot + 1) & (SLOTS - 1);
  ids[slot] = id;
});

/** The id of the name in `bytes`, in any case, or -1 when it is none of `NAMES`. The octets must be a token already. */
export function nameId(bytes: Uint8Array, start: number, end: number): number {
  const length = end - start;
  let slot = slotOf(length, LOWER[bytes[start]!]!, LOWER[bytes[start + (length >> 1)]!]!, LOWER[bytes[end - 1]!]!);
  for (let id = ids[slot]!; id !== -1; id = ids[slot]!) {
    const from = OFFSETS[id]!;
    if (OFFSETS[id + 1]! - from === length) {
      let at = 0;
      while (at < length && TEXT[from + at] === LOWER[bytes[start + at]!]) at++;
      if (at === length) return id;
    }
    slot = (slot + 1) & (SLOTS - 1);
  }
  return -1;
}
