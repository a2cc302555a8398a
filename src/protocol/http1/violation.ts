import type { Http1Violation, Http1ViolationReason } from './types.ts';

/** A class, so that functions can answer with either a head or a violation and `instanceof` tells them apart. */
export class Violation implements Http1Violation {
  readonly reason: Http1ViolationReason;
  readonly status: number;
  readonly detail: string;

  constructor(reason: Http1ViolationReason, detail: string, status = statusOf(reason)) {
    this.reason = reason;
    this.status = status;
    this.detail = detail;
  }
}

function statusOf(reason: Http1ViolationReason): number {
  switch (reason) {
    case 'target-too-long':
      return 414;
    case 'head-too-large':
    case 'too-many-headers':
    case 'trailers-too-large':
      return 431;
    case 'bad-version':
      return 505;
    default:
      return 400;
  }
}
