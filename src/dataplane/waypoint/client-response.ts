/** The response as the client gets it: an endpoint's, edited for the route, or the waypoint's own. */
import type { Affinity } from './affinity.ts';
import type { ExchangeRecord } from './exchange-record.ts';
import type { LocalAnswer } from './filters.ts';
import { localResponse } from './local-response.ts';
import { type Downstream, NO_TRAILERS, type ResponseHead } from './messages.ts';
import { editedResponse } from './routed-head.ts';

/** False: the route sets a field that no peer would take; the client has been told so, and its response is complete. */
export function sendHead(downstream: Downstream, record: ExchangeRecord, affinity: Affinity, head: ResponseHead): boolean {
  try {
    const headers = affinity.marked(editedResponse(record, head.headers));
    downstream.sendResponse(headers === head.headers ? head : { ...head, headers });
    return true;
  } catch (error) {
    record.status = 500;
    record.details = 'invalid_response_head';
    record.failure = (error as Error).message;
    downstream.sendResponse({ status: 500, headers: [], contentLength: 0, upgrade: '' });
    downstream.finishResponse(NO_TRAILERS);
    return false;
  }
}

/** A whole answer of the waypoint itself. */
export function sendAnswer(downstream: Downstream, record: ExchangeRecord, affinity: Affinity, answer: LocalAnswer): void {
  const { status, flag, details, body: text = '', headers = [], grpcStatus } = answer;
  if (flag !== undefined) record.flag(flag);
  record.details = details;
  record.status = status;
  if (record.failure === '' && status >= 500) record.failure = text;
  const { head, body, grpcStatus: sent } = localResponse(status, text, record.isGrpc, headers, grpcStatus);
  record.grpcStatus = sent;
  if (!sendHead(downstream, record, affinity, head)) return;
  if (body !== undefined && record.head.method !== 'HEAD') {
    record.responseBytes = body.length;
    downstream.sendResponseBody(body);
  }
  downstream.finishResponse(NO_TRAILERS);
}
