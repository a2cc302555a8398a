import type { HeaderList } from '../../http2/types.ts';
import { readWithLlhttp } from './llhttp.ts';
import { type Message, type Outcome, readWithOurs } from './message.ts';
import { octets } from './record.ts';

type Kind = 'request' | 'response';

const HOP_BY_HOP: ReadonlySet<string> = new Set(['connection', 'keep-alive', 'proxy-connection', 'transfer-encoding', 'upgrade', 'te']);

const trimmed = (list: HeaderList): HeaderList => list.map(([name, value]) => [name.toLowerCase(), value.replace(/^[ \t]+|[ \t]+$/g, '')]);

const valuesOf = (list: HeaderList, name: string): string[] =>
  list
    .filter((field) => field[0] === name)
    .flatMap((field) =>
      field[1]
        .toLowerCase()
        .split(',')
        .map((element) => element.trim()),
    );

const isTunnel = (message: Message, asked: string): boolean =>
  message.status === 101 || (asked === 'CONNECT' && message.status >= 200 && message.status < 300);

/** A message of llhttp's as ours should tell it: without what concerns the connection, and without a length where it says nothing. */
function expected(message: Message, asked: string): Message {
  const headers = trimmed(message.headers);
  const named = valuesOf(headers, 'connection');
  const isBodiless =
    message.status === 0 ? message.method === 'CONNECT' : message.status < 200 || message.status === 204 || isTunnel(message, asked);
  return {
    ...message,
    isKeptAlive: message.isKeptAlive && !isTunnel(message, asked),
    headers: headers
      .filter(([name]) => !HOP_BY_HOP.has(name) && !named.includes(name) && !(isBodiless && name === 'content-length'))
      .map(([name, value]) => [name, name === 'content-length' ? String(Number(value)) : value]),
    trailers: trimmed(message.trailers).filter(([name]) => name !== 'te'),
  };
}

/** Where the two may disagree whether a connection lasts; see `isKeptAlive` in the table of the test. */
function hasDoubtfulConnection(message: Message): boolean {
  const headers = trimmed(message.headers);
  const options = valuesOf(headers, 'connection');
  return (
    headers.some(([name]) => name === 'proxy-connection') ||
    (message.minorVersion === 0 && options.includes('close') && options.includes('keep-alive'))
  );
}

const isRefusal = (outcome: Outcome): boolean => outcome.problem !== '' && !outcome.problem.startsWith('truncated');

/**
 * The first thing two parsers do not agree on, '' when there is none: `stricter <our reason>`, `looser <llhttp's reason>`, `differ <fields>` for a message
 * both read, or `more`, `fewer` for messages only one of them read without the other refusing the input.
 */
export function difference(kind: Kind, text: string, asked: readonly string[]): string {
  const ours = readWithOurs(kind, octets(text), asked);
  const theirs = readWithLlhttp(kind, octets(text), asked);
  const mine = ours.messages.filter((message) => message.isComplete);
  const yours = theirs.messages.filter((message) => message.isComplete);
  let finals = 0;
  for (let at = 0; ; at++) {
    const a = mine[at];
    const b = yours[at];
    if (a === undefined && b === undefined) break;
    if (a === undefined) return isRefusal(ours) ? `stricter ${ours.problem}` : 'fewer';
    if (b === undefined) return isRefusal(theirs) ? `looser ${theirs.problem}` : 'more';
    const wanted = expected(b, asked[finals] ?? '');
    const isInterim = kind === 'response' && a.status < 200;
    const fields = (Object.keys(a) as (keyof Message)[]).filter((key) => JSON.stringify(a[key]) !== JSON.stringify(wanted[key]));
    const differing = fields.filter((key) => key !== 'isKeptAlive' || !isInterim);
    if (differing.length > 0) return `differ ${differing.join(' ')}${hasDoubtfulConnection(b) ? ' (doubtful connection)' : ''}`;
    // llhttp takes an interim response that says `close` for the last one.
    if (isInterim && !b.isKeptAlive) return '';
    if (!isInterim) finals++;
  }
  if (ours.problem === '' && isRefusal(theirs)) return `looser ${theirs.problem}`;
  if (theirs.problem === '' && ours.problem !== '') return `stricter ${ours.problem}`;
  return ours.problem === '' && theirs.problem !== '' ? 'more' : '';
}
