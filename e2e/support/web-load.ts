/**
 * Open-loop HTTP load, run inside a pod: requests start when they should, whatever became of those before, and none is ever tried again.
 *   web-load.ts RATE HOST:PORT H2_HOST:PORT      RATE requests per second in each way
 * Reports on its control port: `/window?from=&to=` (epoch ms), `/open?way=&path=&count=` begins streams and `/streams` tells about all, `/once?way=&path=`
 * answers with one exchange.
 */
import { Http1Connections } from './web-http1.ts';
import { Http2Connections } from './web-http2.ts';
import { CONTROL_PORT, LAST_EVENT, type StreamReport, WAYS, type Way, type WebAnswer, type WebWindow } from './web-wire.ts';

/** From the intended start. */
const DEADLINE_MS = 10_000;
const MOST_RECORDS = 60_000;

/** Asks for a path; gives pieces of the body, and throws why there is no whole answer. */
export interface WebClient {
  get(path: string, onBody: (text: string) => void, signal: AbortSignal): Promise<void>;
}

interface Record_ {
  readonly at: number;
  readonly way: Way;
  seenAt: number;
  name: string;
  reason: string;
}

const [rate = '10', target = '', h2Target = ''] = process.argv.slice(2);
const clients: Readonly<Record<Way, WebClient>> = {
  fresh: new Http1Connections(target, 'fresh'),
  kept: new Http1Connections(target, 'kept'),
  h2: new Http2Connections(h2Target),
};

const records: Record_[] = [];

async function exchange(way: Way, path: string): Promise<WebAnswer> {
  let body = '';
  await clients[way].get(
    path,
    (text) => {
      body += text;
    },
    AbortSignal.timeout(DEADLINE_MS),
  );
  return JSON.parse(body) as WebAnswer;
}

async function measure(way: Way, at: number): Promise<void> {
  const record: Record_ = { at, way, seenAt: 0, name: '', reason: '' };
  records.push(record);
  if (records.length > MOST_RECORDS) records.splice(0, MOST_RECORDS / 10);
  try {
    record.name = (await exchange(way, '/')).name;
  } catch (error) {
    record.reason = (error as Error).message || String(error);
  }
  record.seenAt = Date.now();
}

/** Every way begins its requests at its own phase. */
function run(way: Way, phase: number): void {
  const interval = 1000 / Number(rate);
  let next = Date.now() + phase * interval;
  setInterval(() => {
    for (const now = Date.now(); next <= now; next += interval) void measure(way, next);
  }, 5);
}

const count = (of: readonly string[]): Record<string, number> => {
  const all: Record<string, number> = {};
  for (const one of of) all[one] = (all[one] ?? 0) + 1;
  return all;
};

function windowOf(from: number, to: number): WebWindow {
  const found = records.filter(({ at }) => at >= from && at < to);
  const done = found.filter(({ seenAt }) => seenAt > 0);
  return {
    requests: found.length,
    pending: found.length - done.length,
    failures: done.filter(({ reason }) => reason !== '').map(({ at, way, seenAt, reason }) => ({ at, way, seenAt, reason })),
    byName: count(done.flatMap(({ name }) => (name === '' ? [] : [name]))),
    byWay: { fresh: 0, kept: 0, h2: 0, ...count(found.map(({ way }) => way)) },
    slowest: Math.max(0, ...done.map(({ at, seenAt }) => seenAt - at)),
  };
}

const streams: StreamReport[] = [];

async function stream(way: Way, path: string): Promise<void> {
  const index = streams.length;
  const begun = Date.now();
  let report: StreamReport = { way, events: 0, longestGap: 0, durationMs: 0, state: 'open' };
  const set = (change: Partial<StreamReport>): void => {
    report = { ...report, ...change, durationMs: Date.now() - begun };
    streams[index] = report;
  };
  set({});
  let last = begun;
  let isWhole = false;
  let left = '';
  try {
    await clients[way].get(
      path,
      (text) => {
        const now = Date.now();
        const parts = (left + text).split('\n\n');
        left = parts.pop() ?? '';
        isWhole ||= parts.some((part) => part.endsWith(LAST_EVENT));
        set({
          events: report.events + parts.filter((part) => part.includes('data: ')).length,
          longestGap: Math.max(report.longestGap, now - last),
        });
        last = now;
      },
      new AbortController().signal,
    );
    set({ state: isWhole ? 'whole' : 'ended before its last event' });
  } catch (error) {
    set({ state: (error as Error).message });
  }
}

const wayIn = (url: URL): Way => WAYS.find((way) => way === url.searchParams.get('way')) ?? 'fresh';

Bun.serve({
  port: CONTROL_PORT,
  hostname: '0.0.0.0',
  async fetch(request) {
    const url = new URL(request.url);
    const word = (name: string): string => url.searchParams.get(name) ?? '';
    switch (url.pathname) {
      case '/window':
        return Response.json(windowOf(Number(word('from')), Number(word('to'))));
      case '/open':
        for (let left = Number(word('count')); left > 0; left--) void stream(wayIn(url), word('path'));
        return Response.json(streams.length);
      case '/streams':
        return Response.json(streams);
      case '/once':
        return Response.json(
          await exchange(wayIn(url), word('path')).then(
            (answer) => answer,
            (error: Error) => ({ reason: error.message }),
          ),
        );
      default:
        return new Response('no such report', { status: 404 });
    }
  },
});

WAYS.forEach((way, index) => {
  run(way, index / WAYS.length);
});
