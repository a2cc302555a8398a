import { latin1 } from '../../bytes.ts';
import type { HeaderList } from '../../http2/types.ts';
import { HTTP1_LIMITS } from '../limits.ts';
import { createHttp1Parser } from '../parser.ts';
import type { Http1Head, Http1Limits, Http1Parser, Http1Violation } from '../types.ts';

/** What a parser said, as plain values; body slices that follow each other are one event. */
export type Event =
  | { readonly head: Http1Head }
  | { readonly body: string }
  | { readonly end: HeaderList }
  | { readonly violation: Http1Violation['reason']; readonly status: number };

export interface Recording {
  readonly parser: Http1Parser;
  readonly events: Event[];
  /** Pushes all of it, going on behind each message; returns what was not taken. `asked` are the methods of the requests a response parser expects. */
  feed(bytes: Uint8Array): Uint8Array;
}

/** A parser whose events are kept. A response parser is told of the next method in `asked` whenever it is between messages. */
export function record(kind: 'request' | 'response', limits: Partial<Http1Limits> = {}, asked: readonly string[] = []): Recording {
  const events: Event[] = [];
  const queue = [...asked];
  const parser = createHttp1Parser(
    kind,
    { ...HTTP1_LIMITS, ...limits },
    {
      onHead: (head) => void events.push({ head: { ...head } }),
      onBody: (chunk) => {
        const text = latin1(chunk, 0, chunk.length);
        const last = events.at(-1);
        if (last !== undefined && 'body' in last) events[events.length - 1] = { body: last.body + text };
        else events.push({ body: text });
      },
      onEnd: (trailers) => {
        events.push({ end: trailers });
        const method = queue.shift();
        if (method !== undefined) parser.expectResponse(method);
      },
      onViolation: ({ reason, status }) => void events.push({ violation: reason, status }),
    },
  );
  const first = queue.shift();
  if (first !== undefined) parser.expectResponse(first);
  return {
    parser,
    events,
    feed(bytes) {
      let rest = bytes;
      while (rest.length > 0) {
        const taken = parser.push(rest);
        if (taken === 0) break;
        rest = rest.subarray(taken);
      }
      return rest;
    },
  };
}

/** Text as octets, one per character. */
export const octets = (text: string): Uint8Array => Uint8Array.from(text, (character) => character.charCodeAt(0));

/** The events of a whole input. */
export function eventsOf(
  kind: 'request' | 'response',
  text: string,
  limits: Partial<Http1Limits> = {},
  asked: readonly string[] = ['GET'],
): Event[] {
  const recording = record(kind, limits, kind === 'request' ? [] : asked);
  recording.feed(octets(text));
  return recording.events;
}

/** The reason an input is refused for, or ''. */
export function refusal(
  kind: 'request' | 'response',
  text: string,
  limits: Partial<Http1Limits> = {},
  asked: readonly string[] = ['GET'],
): string {
  for (const event of eventsOf(kind, text, limits, asked)) if ('violation' in event) return `${event.status} ${event.violation}`;
  return '';
}

/** The first head of an input that must have one. */
export function headOf(kind: 'request' | 'response', text: string, asked: readonly string[] = ['GET']): Http1Head {
  for (const event of eventsOf(kind, text, {}, asked)) if ('head' in event) return event.head;
  throw new Error(`no head in ${JSON.stringify(text)}`);
}
