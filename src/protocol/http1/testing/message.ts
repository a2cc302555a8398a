import { latin1 } from '../../bytes.ts';
import type { HeaderList } from '../../http2/types.ts';
import { HTTP1_LIMITS } from '../limits.ts';
import { createHttp1Parser } from '../parser.ts';

/** A message as far as it was read, in a form two parsers can be compared by. */
export interface Message {
  readonly method: string;
  readonly target: string;
  /** 0 in a request. */
  readonly status: number;
  readonly reason: string;
  readonly minorVersion: number;
  readonly isKeptAlive: boolean;
  readonly headers: HeaderList;
  readonly body: string;
  readonly trailers: HeaderList;
  readonly hasHead: boolean;
  readonly isComplete: boolean;
}

export interface Outcome {
  readonly messages: readonly Message[];
  /** Why the input was refused, '' when it was not. */
  readonly problem: string;
}

/** What our parser makes of an input that then ends, under the rules of `readWithLlhttp`. The problem is `reason: detail`. */
export function readWithOurs(kind: 'request' | 'response', bytes: Uint8Array, asked: readonly string[]): Outcome {
  const messages: Message[] = [];
  const waiting = [...asked];
  let problem = '';
  let isClosing = false;
  const change = (changes: Partial<Message>): void => void messages.push({ ...messages.pop()!, ...changes });
  const parser = createHttp1Parser(kind, HTTP1_LIMITS, {
    onHead: (head) => {
      isClosing = !head.isKeptAlive;
      const { method, target, status, reason, minorVersion, isKeptAlive, headers } = head;
      const isComplete = kind === 'response' && status < 200;
      messages.push({
        method,
        target,
        status,
        reason,
        minorVersion,
        isKeptAlive,
        headers,
        body: '',
        trailers: [],
        hasHead: true,
        isComplete,
      });
    },
    onBody: (chunk) => change({ body: messages.at(-1)!.body + latin1(chunk, 0, chunk.length) }),
    onEnd: (trailers) => change({ trailers, isComplete: true }),
    onViolation: (violation) => {
      problem = `${violation.reason}: ${violation.detail}`;
    },
  });
  let rest = bytes;
  while (rest.length > 0 && problem === '') {
    if (parser.isIdle) {
      if (isClosing) return { messages, problem };
      if (kind === 'response') parser.expectResponse(waiting.shift() ?? '');
    }
    const taken = parser.push(rest);
    if (taken === 0) break;
    rest = rest.subarray(taken);
  }
  if (parser.isTunnel) change({ isComplete: true });
  else if (problem === '') parser.end();
  return { messages, problem };
}
