/**
 * What a conversation came to, as lines that can be compared. Left out, since both proxies are free in it or it follows from something that is compared:
 * fields a proxy makes itself (`IGNORED_*`), the words of an error it answers by itself, whether a connection is closed by FIN or RST, and the case and
 * order of fields of different names.
 */
import type { Arrival } from './backend.ts';
import type { StreamView } from './http2-frames.ts';
import type { Message } from './message.ts';

/** Of responses. `connection` shows in whether the connection goes on, `transfer-encoding` and `content-length` in the body. */
const IGNORED_OF_RESPONSES: ReadonlySet<string> = new Set([
  'connection',
  'content-length',
  'date',
  'keep-alive',
  'server',
  'transfer-encoding',
  'x-envoy-upstream-service-time',
]);

/** Of requests. What Envoy adds for its own (`x-envoy-*`), the ids each proxy draws, the framing, which is compared as a line of its own. */
const IGNORED_OF_REQUESTS: ReadonlySet<string> = new Set(['content-length', 'traceparent', 'transfer-encoding', 'x-request-id']);

/** Answers to what could not be read: only the status counts. */
const REFUSALS: ReadonlySet<number> = new Set([400, 413, 414, 431, 501, 505]);

const isIgnoredOfRequests = (name: string): boolean => IGNORED_OF_REQUESTS.has(name) || name.startsWith('x-envoy-');

const shown = (body: string): string =>
  body.length <= 200 ? JSON.stringify(body) : `${body.length} octets ${Bun.hash(body).toString(16)} ${JSON.stringify(body.slice(0, 40))}…`;

const shownValue = (value: string): string => (value.length <= 200 ? value : `${value.length} octets ${Bun.hash(value).toString(16)}`);

/** Several fields of one name are one list (RFC 9110 section 5.3), white space around its elements means nothing; `te` goes without saying. */
const listOf = (name: string, values: readonly string[]): string => {
  if (name === 'set-cookie') return values.join(' | ');
  const elements = values.flatMap((value) => value.split(',')).map((element) => element.trim());
  if (name === 'connection')
    return elements
      .map((element) => element.toLowerCase())
      .filter((element) => element !== 'te')
      .join(',');
  return elements.join(',');
};

function fieldLines(prefix: string, fields: Message['headers'], isIgnored: (name: string) => boolean): string[] {
  const byName = new Map<string, string[]>();
  for (const [name, value] of fields) if (!isIgnored(name)) byName.set(name, [...(byName.get(name) ?? []), value]);
  return [...byName]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, values]) => [name, listOf(name, values)] as const)
    .filter(([name, value]) => name !== 'connection' || value !== '')
    .map(([name, value]) => `${prefix} ${name}: ${shownValue(value)}`);
}

/** One response. What a proxy says by itself when something went wrong is its own choice of words. */
export function responseLines(
  place: string,
  status: number,
  headers: Message['headers'],
  body: string,
  trailers: Message['headers'],
): string[] {
  const isOwn = !headers.some(([name]) => name === 'x-backend') && (status >= 400 || headers.some(([name]) => name === 'grpc-status'));
  if (isOwn && REFUSALS.has(status)) return [`${place} status ${status}`];
  const isIgnored = (name: string): boolean =>
    IGNORED_OF_RESPONSES.has(name) || (isOwn && (name === 'content-type' || name === 'grpc-message'));
  return [
    `${place} status ${status}`,
    ...fieldLines(`${place} field`, headers, isIgnored),
    ...(isOwn ? [] : [`${place} body ${shown(body)}`]),
    ...fieldLines(`${place} trailer`, trailers, () => false),
  ];
}

/** The responses in order; interim ones count, too. */
export function conversationLines(messages: readonly Message[], malformed: string | undefined, rest: string): string[] {
  // Whether a 100 comes depends on whether the body was there first.
  const counted = messages.filter(({ startLine }) => !startLine.startsWith('100', 9));
  const lines = counted.flatMap((message, at) => {
    const place = `response ${at + 1}`;
    const status = Number(message.startLine.slice(9, 12));
    return [
      ...responseLines(place, status, message.headers, message.body, message.trailers),
      ...(message.isPartial ? [`${place} is cut short`] : []),
    ];
  });
  if (malformed !== undefined) lines.push(`response ${counted.length + 1} is malformed: ${JSON.stringify(malformed)}`);
  else if (rest !== '') lines.push(`then ${shown(rest)}`);
  return lines;
}

/**
 * What became of the streams of an HTTP/2 connection. A stream that is refused may be reset, answered with 400 or end with its whole connection (RFC 9113
 * sections 5.4 and 8.1.1): these count as one, and then it does not matter whether the connection goes on.
 */
export function streamLines(
  streams: readonly (readonly [id: number, view: StreamView])[],
  isGivenUp: boolean,
  isProbed: boolean,
): string[] {
  const lines = streams.flatMap(([id, { lists: all, body, isEnded, isReset }]) => {
    const place = `stream ${id}`;
    const lists = all.filter((list) => !list.some(([name, value]) => name === ':status' && value === '100'));
    const isTrailers = lists.length > 1 && !lists.at(-1)!.some(([name]) => name === ':status');
    const shownLists = (isTrailers ? lists.slice(0, -1) : lists).flatMap((list, at) => {
      const status = Number(list.find(([name]) => name === ':status')?.[1]);
      if (REFUSALS.has(status)) return [];
      const isLast = at === lists.length - (isTrailers ? 2 : 1);
      const rest = list.filter(([name]) => !name.startsWith(':'));
      return responseLines(place, status, rest, isLast ? body : '', isLast && isTrailers ? lists.at(-1)! : []);
    });
    if (shownLists.length === 0) return [];
    return [...shownLists, ...(isEnded && !isReset ? [] : [`${place} is cut short`])];
  });
  if (lines.length === 0) return ['refused'];
  return [...lines, isProbed ? 'connection goes on' : isGivenUp ? 'connection is closed' : 'connection hangs'];
}

/** What the backends got: by backend, then in order. */
export function arrivalLines(arrivals: readonly Arrival[]): string[] {
  // A request that was cut short was given up by the proxy; how much of it the backend saw until then is chance.
  const counted = arrivals.filter((arrival) => 'malformed' in arrival || arrival.isWhole);
  const byBackend = counted.toSorted((a, b) => (a.backend < b.backend ? -1 : a.backend > b.backend ? 1 : 0));
  return byBackend.flatMap((arrival, at) => {
    const place = `request ${at + 1}`;
    if ('malformed' in arrival) return [`${place} at ${arrival.backend} is malformed: ${JSON.stringify(arrival.malformed)}`];
    const { message } = arrival;
    return [
      `${place} at ${arrival.backend}: ${shownValue(message.startLine)}`,
      ...fieldLines(`${place} field`, message.headers, isIgnoredOfRequests),
      ...(message.body === '' && message.framing !== 'chunked' ? [] : [`${place} body by ${message.framing} ${shown(message.body)}`]),
      ...fieldLines(`${place} trailer`, message.trailers, () => false),
    ];
  });
}

/** Lines of each that the other has not. */
function difference(ours: readonly string[], envoy: readonly string[]): { readonly ours: string[]; readonly envoy: string[] } {
  const without = (lines: readonly string[], others: readonly string[]): string[] => {
    const left = [...others];
    return lines.filter((line) => {
      const at = left.indexOf(line);
      if (at < 0) return true;
      left.splice(at, 1);
      return false;
    });
  };
  return { ours: without(ours, envoy), envoy: without(envoy, ours) };
}

const STATUS = /^(?:response|stream) \d+ status (\d+)$/;

/** The first answer in words. */
function answerOf(lines: readonly string[]): string {
  for (const line of lines) {
    const status = STATUS.exec(line)?.[1];
    if (status !== undefined) return `answers with ${status}`;
    if (line === 'refused') return 'refuses';
    if (line.includes(' is malformed')) return 'answers with something malformed';
  }
  return 'does not answer';
}

/** What differs, as the table of expected differences words it: the answers when these differ already, else every line. Undefined: nothing does. */
export function contrast(
  ours: readonly string[],
  envoy: readonly string[],
): { readonly ours: string[]; readonly envoy: string[] } | undefined {
  const lines = difference(ours, envoy);
  if (lines.ours.length + lines.envoy.length === 0) return undefined;
  const [first, second] = [answerOf(ours), answerOf(envoy)];
  return first === second ? lines : { ours: [first], envoy: [second] };
}
