/** Looking at and changing header lists. Names are in lower case. */
import type { HeaderList } from '../../protocol/index.ts';

/** The first field of a name. */
export function headerOf(headers: HeaderList, name: string): string | undefined {
  for (let i = 0; i < headers.length; i++) {
    const field = headers[i]!;
    if (field[0] === name) return field[1];
  }
  return undefined;
}

/** Everything but control characters: what HTTP/1 takes in a value, and less than HTTP/2 does. A tab is none here. */
const CONTROL = /[\x00-\x08\x0a-\x1f\x7f]/;

export const isSendable = (value: string): boolean => !CONTROL.test(value);

/** Framing and routing behind a message: no peer may be led to read it again in that light. */
const REFUSED_TRAILERS: ReadonlySet<string> = new Set(['content-length', 'host', 'te', 'cookie', 'authorization']);

/** HTTP/2 trailers without what no other version would take. */
export function sendableTrailers(trailers: HeaderList): HeaderList {
  if (trailers.every(([name, value]) => !REFUSED_TRAILERS.has(name) && isSendable(value))) return trailers;
  return trailers.filter(([name, value]) => !REFUSED_TRAILERS.has(name) && isSendable(value));
}

/** `grpc-status`, if it is a number. */
export function grpcStatusOf(headers: HeaderList): number | undefined {
  const text = headerOf(headers, 'grpc-status');
  return text !== undefined && /^\d{1,3}$/.test(text) ? Number(text) : undefined;
}
