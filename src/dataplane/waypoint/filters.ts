/**
 * What stands between a routed request and its backend. A filter lets the request go on, answers it, or takes its time first (a delay, a question to somebody
 * else). Order matters: who may ask comes before what is done for them; authentication and authorization of requests have their place after CORS, as
 * preflights carry no credentials.
 */
import { corsPreflight, decideFault, type HttpAction, type PathMatch, redirectLocation } from '../../mesh/http/index.ts';
import type { HeaderList } from '../../protocol/index.ts';
import type { Client } from './client.ts';
import type { RequestHead } from './messages.ts';
import type { ResponseFlag } from './response-flags.ts';

/** An answer of the waypoint itself. */
export interface LocalAnswer {
  readonly status: number;
  readonly flag?: ResponseFlag;
  /** Envoy's word for where the answer comes from. */
  readonly details: string;
  readonly body?: string;
  readonly headers?: HeaderList;
  /** For gRPC clients, instead of what `status` means to them. */
  readonly grpcStatus?: number;
}

export interface FilterInput {
  readonly head: RequestHead;
  readonly client: Client;
  readonly action: HttpAction;
  /** The path condition of the rule that was taken. */
  readonly path: PathMatch | undefined;
  readonly random: () => number;
  /** Adds a flag to the log's line. */
  flag(flag: ResponseFlag): void;
}

export type Verdict = LocalAnswer | undefined;
export type Filter = (input: FilterInput) => Verdict | Promise<Verdict>;

const cors: Filter = ({ action, head }) => {
  const answer = action.cors && corsPreflight(action.cors, head);
  return answer && { status: answer.status, details: 'cors_preflight', headers: answer.headers };
};

const fault: Filter = (input) => {
  if (input.action.fault === undefined) return undefined;
  const { delay, abort } = decideFault(input.action.fault, input.random);
  const answer: Verdict = abort && {
    status: abort.httpStatus ?? 200,
    flag: 'FI',
    details: 'fault_filter_abort',
    body: 'fault filter abort',
    ...(abort.grpcStatus === undefined ? {} : { grpcStatus: abort.grpcStatus }),
  };
  if (delay === 0) return answer;
  input.flag('DI');
  return Bun.sleep(delay).then(() => answer);
};

const redirect: Filter = ({ action, head, path, client }) =>
  action.redirect && {
    status: action.redirect.status,
    details: 'redirect',
    headers: [['location', redirectLocation(action.redirect, head, path, client.port)]],
  };

const respond: Filter = ({ action }) => {
  const answer = action.respond;
  if (answer === undefined) return undefined;
  const headers: HeaderList = answer.contentType === undefined ? [] : [['content-type', answer.contentType]];
  return { status: answer.status, details: 'direct_response', body: answer.body, headers };
};

const FILTERS: readonly Filter[] = [cors, fault, redirect, respond];

/** Whether an action asks for any of them: most ask for none. */
export const hasFilters = ({ cors: a, fault: b, redirect: c, respond: d }: HttpAction): boolean =>
  a !== undefined || b !== undefined || c !== undefined || d !== undefined;

/** Runs them in order; `done` gets the first answer, undefined when the request goes on, or why a filter failed. At once, unless one takes its time. */
export function runFilters(input: FilterInput, done: (outcome: Verdict | Error) => void, from = 0): void {
  for (let i = from; i < FILTERS.length; i++) {
    const verdict = FILTERS[i]!(input);
    if (verdict === undefined) continue;
    if (verdict instanceof Promise) {
      verdict.then(
        (answer) => {
          if (answer === undefined) runFilters(input, done, i + 1);
          else done(answer);
        },
        (error: unknown) => done(error instanceof Error ? error : new Error(String(error))),
      );
    } else done(verdict);
    return;
  }
  done(undefined);
}
