import { TOKEN } from './octets.ts';

/** What `connection` says (RFC 9110 section 7.6.1), `options` lower-cased, without those that have a field here. */
export interface ConnectionOptions {
  readonly isClose: boolean;
  readonly isKeepAlive: boolean;
  readonly isUpgrade: boolean;
  /** Fields to take out of the message. */
  readonly named: ReadonlySet<string> | undefined;
}

const NOTHING: ConnectionOptions = { isClose: false, isKeepAlive: false, isUpgrade: false, named: undefined };
const CLOSE: ConnectionOptions = { ...NOTHING, isClose: true };
const KEEP_ALIVE: ConnectionOptions = { ...NOTHING, isKeepAlive: true };
const UPGRADE: ConnectionOptions = { ...NOTHING, isUpgrade: true };

/**
 * Fields meant for every recipient. A message that names one as its connection's own wants an intermediary to take it out, so that who comes behind sees
 * another message than who checked it; RFC 9110 section 7.6.1 forbids sending that, and it is refused.
 */
const END_TO_END: ReadonlySet<string> = new Set(
  `authorization baggage cache-control content-encoding content-length content-range content-type cookie date expect forwarded grpc-status host location
   max-forwards origin range set-cookie traceparent tracestate via x-envoy-peer-metadata x-envoy-peer-metadata-id x-forwarded-client-cert x-forwarded-for
   x-forwarded-host x-forwarded-port x-forwarded-proto x-real-ip x-request-id`.split(/\s+/),
);

/** Reads the joined values of all `connection` fields; `undefined` when there was none. The answer is the problem when it is a text. */
export function readConnection(value: string | undefined): ConnectionOptions | string {
  switch (value) {
    case undefined:
      return NOTHING;
    case 'close':
      return CLOSE;
    case 'keep-alive':
    case 'Keep-Alive':
      return KEEP_ALIVE;
    case 'Upgrade':
    case 'upgrade':
      return UPGRADE;
    default:
      return readList(value);
  }
}

function readList(value: string): ConnectionOptions | string {
  let isClose = false;
  let isKeepAlive = false;
  let isUpgrade = false;
  let named: Set<string> | undefined;
  for (const element of value.split(',')) {
    const option = element.trim().toLowerCase();
    if (option === '') continue;
    if (option === 'close') isClose = true;
    else if (option === 'keep-alive') isKeepAlive = true;
    else if (option === 'upgrade') isUpgrade = true;
    else if (!isTokenText(option)) return 'an option of connection is not a token';
    else if (END_TO_END.has(option)) return `connection names ${option}`;
    else {
      named ??= new Set();
      named.add(option);
    }
  }
  return { isClose, isKeepAlive, isUpgrade, named };
}

/** Whether a text is a token (RFC 9110 section 5.6.2). */
export function isTokenText(text: string): boolean {
  for (let at = 0; at < text.length; at++) if (TOKEN[text.charCodeAt(at)] !== 1) return false;
  return text !== '';
}
