/**
 * The reasons in the table of expected differences, as rules for requests nobody has written down: why ours may refuse what Envoy takes, and the few ways in
 * which it may take what Envoy refuses.
 */
import { createHttp1Parser, HTTP1_LIMITS, type Http1ViolationReason } from '../../../src/protocol/index.ts';

/** What our codec refuses these octets for; undefined: nothing. */
export function violationOf(octets: string): Http1ViolationReason | undefined {
  let found: Http1ViolationReason | undefined;
  const parser = createHttp1Parser('request', HTTP1_LIMITS, {
    onHead() {},
    onBody() {},
    onEnd() {},
    onViolation({ reason }) {
      found = reason;
    },
  });
  let rest: Uint8Array = Buffer.from(octets, 'latin1');
  while (rest.length > 0 && found === undefined && !parser.isTunnel) {
    const taken = parser.push(rest);
    if (taken === 0) break;
    rest = rest.subarray(taken);
  }
  return found;
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
export const mayRefuse = (reason: Http1ViolationReason | undefined): boolean => reason !== undefined && STRICTER[reason] !== undefined;
