/**
 * The reasons in the table of expected differences, as rules for requests nobody has written down: why ours may refuse what Envoy takes, and the few ways in
 * which it may take what Envoy refuses.
 */
import { createHttp1Parser, HTTP1_LIMITS, type Http1Head, type Http1ViolationReason } from '../../../src/protocol/index.ts';
import { PROBE } from './rig.ts';

interface Reading {
  readonly heads: readonly Http1Head[];
  readonly violation: Http1ViolationReason | undefined;
}

/** What our codec makes of these octets. */
function readingOf(octets: string): Reading {
  const heads: Http1Head[] = [];
  let violation: Http1ViolationReason | undefined;
  const parser = createHttp1Parser('request', HTTP1_LIMITS, {
    onHead: (head) => heads.push(head),
    onBody() {},
    onEnd() {},
    onViolation({ reason }) {
      violation = reason;
    },
  });
  let rest: Uint8Array = Buffer.from(octets, 'latin1');
  while (rest.length > 0 && violation === undefined && !parser.isTunnel) {
    const taken = parser.push(rest);
    if (taken === 0) break;
    rest = rest.subarray(taken);
  }
  return { heads, violation };
}

/** Where Envoy is more lenient, each with cases of its own in the table. */
const STRICTER: Readonly<Partial<Record<Http1ViolationReason, string>>> = {
  'bare-line-feed': 'LF is no line end',
  'obsolete-folding': 'folded fields are not unfolded',
  'bad-start-line': 'one space between the parts of a request line, nothing around them',
  'bad-version': 'HTTP/1.0 and HTTP/1.1 are the versions there are',
  'bad-target': 'no fragments, no user information, no host but the field’s',
  'bad-host': 'one host, written as RFC 3986 has it, and the same as in the target',
  'bad-header-name': 'CR alone ends no line',
  'bad-header-value': 'CR is not taken out of values; connection names tokens, and none that is for every recipient',
  'bad-content-length': 'no tab behind a length, none over 2^53',
  'conflicting-length': 'one length',
  'bad-transfer-encoding': 'no tab behind a coding, no coding in HTTP/1.0',
  'bad-chunk': 'no white space, nothing but extensions behind a size, and CR LF where it belongs',
  'bad-trailer': 'no framing in trailers',
  'target-too-long': '16 KiB',
  'trailers-too-large': '8 KiB and 100 fields',
};

/** Methods Envoy's HTTP/1 codec knows. */
const METHODS: ReadonlySet<string> = new Set(
  `ACL BIND CHECKOUT CONNECT COPY DELETE GET HEAD LINK LOCK MERGE MKACTIVITY MKCALENDAR MKCOL MOVE MSEARCH NOTIFY OPTIONS PATCH POST PROPFIND PROPPATCH PURGE
   PUT REBIND REPORT SEARCH SOURCE SUBSCRIBE TRACE UNBIND UNLINK UNLOCK UNSUBSCRIBE`.split(/\s+/),
);

/** Where ours takes what Envoy refuses, each with cases of its own in the table. */
const LAXER: readonly (readonly [why: string, holds: (head: Http1Head, octets: string) => boolean])[] = [
  ['methods are tokens, known or not', ({ method }) => !METHODS.has(method)],
  ['an upgrade is an offer that need not be taken up', (_head, octets) => /^upgrade:/im.test(octets)],
  ['HTTP/1.0 needs no Host', ({ minorVersion, headers }) => minorVersion === 0 && !headers.some(([name]) => name === 'host')],
];

/** Statuses of refusals, 403 being Envoy's for upgrades. */
const REFUSALS: ReadonlySet<string> = new Set(['400', '403', '413', '414', '431', '501', '505']);

interface Summary {
  readonly statuses: readonly string[];
  readonly requests: readonly string[];
  readonly isClosed: boolean;
}

/** Statuses in order, and what backends got, without the fields. */
function summaryOf(lines: readonly string[]): Summary {
  return {
    statuses: lines.flatMap((line) => /^response \d+ status (\d+)$/.exec(line)?.[1] ?? []),
    requests: lines.flatMap((line) => /^request \d+ (?:at|body by) .*$/.exec(line)?.[0] ?? []),
    isClosed: lines.includes('connection is closed'),
  };
}

const startsWith = (list: readonly string[], start: readonly string[]): boolean => start.every((item, at) => list[at] === item);

/** What the two outcomes of damaged octets contradict each other in, in words. Undefined: nothing that has no reason. */
export function disagreement(octets: string, ours: readonly string[], envoy: readonly string[]): string | undefined {
  const [a, b] = [summaryOf(ours), summaryOf(envoy)];
  const isRefused = (side: Summary): boolean => (side.statuses.length === 0 ? side.isClosed : REFUSALS.has(side.statuses.at(-1)!));
  const before = (side: Summary): readonly string[] => (isRefused(side) ? side.statuses.slice(0, -1) : side.statuses);
  const isSame = before(a).length === before(b).length && isRefused(a) === isRefused(b) && startsWith(before(a), before(b));
  if (isSame && startsWith(a.requests, b.requests) && startsWith(b.requests, a.requests)) return undefined;
  // Of an early answer's request the plain one behind it may have become the body.
  const { heads, violation } = readingOf(octets + PROBE);
  if (isRefused(a) && startsWith(b.statuses, before(a)) && startsWith(b.requests, a.requests)) {
    const isExplained = violation !== undefined && STRICTER[violation] !== undefined;
    return isExplained ? undefined : `ours refuses (${violation ?? 'nothing that the codec sees'}), Envoy does not`;
  }
  if (LAXER.some(([, holds]) => heads.some((head) => holds(head, octets)))) return undefined;
  return isRefused(b) ? 'Envoy refuses, ours does not' : 'both take it, and see something else';
}

/** The same for fields of HTTP/2, where ours may refuse what Envoy takes, but what both take must reach the backend as one and the same request. */
export function disagreementOfHttp2(ours: readonly string[], envoy: readonly string[]): string | undefined {
  if (ours.includes('refused')) return undefined;
  if (envoy.includes('refused')) return 'Envoy refuses, ours does not';
  const [a, b] = [summaryOf(ours).requests, summaryOf(envoy).requests];
  return startsWith(a, b) && startsWith(b, a) ? undefined : 'both take it, and see something else';
}
