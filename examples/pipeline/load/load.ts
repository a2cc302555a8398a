import { create } from '@bufbuild/protobuf';
import { status } from '@grpc/grpc-js';
import { ChannelPool } from '../channel-pool.ts';
import { AnalyzeRequestSchema, type Answer, PredictRequestSchema } from '../gen/pipeline_pb.js';
import { canonicalLanguage } from '../postprocess.ts';
import { analyze, predict } from '../services.ts';
import { readChoice, readNumber, readText } from '../settings.ts';
import { serveHealth, untilAsked } from '../stage.ts';
import { corpus } from './corpus.ts';
import { OVERLOAD, Records } from './records.ts';
import { Schedule } from './schedule.ts';

/** Ten minutes at 100 requests/s; 18 bytes each. */
const RECORDS = 60_000;
/** Past this many requests without an answer a new one is recorded as failed instead of sent. */
const MAX_IN_FLIGHT = 2_000;
const MAX_RATE = 5_000;
const ERROR_SAMPLES = 20;

const codeName = (code: number): string => (code === OVERLOAD ? 'OVERLOAD' : (status[code] ?? `CODE_${code}`));

export interface LoadOptions {
  readonly method: 'analyze' | 'predict';
  readonly rate: number;
  readonly timeoutMs: number;
  readonly pool: ChannelPool;
}

/** Sends the corpus at a fixed rate whatever the answers do, and remembers each request. */
export class LoadGenerator {
  readonly records = new Records(RECORDS, codeName);
  /** The latest failures, newest last. */
  readonly lastErrors: { at: number; code: string; message: string }[] = [];
  last: { answer: unknown; at: number; latencyMs: number } | undefined;
  readonly #options: LoadOptions;
  readonly #schedule: Schedule;
  #timer: Timer | undefined;
  #sent = 0;
  #inFlight = 0;

  constructor(options: LoadOptions) {
    this.#options = options;
    this.#schedule = new Schedule(options.rate, epochNow());
    this.#arm();
  }

  setRate(rate: number): void {
    this.#schedule.setRate(rate, epochNow());
    clearTimeout(this.#timer);
    this.#arm();
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#options.pool.close();
  }

  #arm(): void {
    const wait = this.#schedule.msUntilNext(epochNow());
    if (wait !== Number.POSITIVE_INFINITY) this.#timer = setTimeout(() => this.#tick(), Math.min(wait, 60_000));
  }

  #tick(): void {
    for (const intended of this.#schedule.takeDue(epochNow())) this.#send(intended);
    this.#arm();
  }

  #send(intended: number): void {
    const sample = corpus[this.#sent++ % corpus.length]!;
    const ticket = this.records.begin(intended);
    if (this.#inFlight >= MAX_IN_FLIGHT) {
      this.records.end(ticket, 0, OVERLOAD, '', false);
      return;
    }
    this.#inFlight++;
    this.#call(`${this.#sent}`, sample.text, intended + this.#options.timeoutMs).then(
      (answer) => {
        const latencyMs = this.#finish(intended);
        this.records.end(ticket, latencyMs, status.OK, answer.version, answer.language === canonicalLanguage(sample.language));
        this.last = { at: intended, latencyMs, answer: { ...JSON.parse(answer.json), expected: sample.language, text: sample.text } };
      },
      (error: { code?: number; message: string }) => {
        const code = error.code ?? status.UNKNOWN;
        this.records.end(ticket, this.#finish(intended), code, '', false);
        this.lastErrors.push({ at: intended, code: codeName(code), message: error.message });
        if (this.lastErrors.length > ERROR_SAMPLES) this.lastErrors.shift();
      },
    );
  }

  #finish(intended: number): number {
    this.#inFlight--;
    return epochNow() - intended;
  }

  #call(id: string, text: string, deadline: number): Promise<Answer> {
    const { pool, method } = this.#options;
    return method === 'analyze'
      ? pool.call(analyze, create(AnalyzeRequestSchema, { id, text }), deadline)
      : pool.call(predict, create(PredictRequestSchema, { id, text, sentences: 1 }), deadline);
  }
}

/** Epoch ms with a fraction, monotonic. */
const epochNow = (): number => performance.timeOrigin + performance.now();

const badRequest = (message: string): Response => Response.json({ error: message }, { status: 400 });

/** The generator's own HTTP interface: `/window`, `/rate`, `/last`. */
export const handleLoadRequest = (generator: LoadGenerator, request: Request): Response => {
  const url = new URL(request.url);
  const number = (name: string, fallback: number): number => {
    const text = url.searchParams.get(name);
    return text === null || text === '' ? fallback : Number(text);
  };
  if (url.pathname === '/window') {
    const from = number('from', 0);
    const to = number('to', Number.MAX_SAFE_INTEGER);
    if (Number.isNaN(from) || Number.isNaN(to)) return badRequest('from and to: epoch milliseconds');
    return Response.json(generator.records.report(from, to));
  }
  if (url.pathname === '/rate' && request.method === 'POST') {
    const rate = number('rps', Number.NaN);
    if (Number.isNaN(rate) || rate < 0 || rate > MAX_RATE) return badRequest(`rps: a number from 0 to ${MAX_RATE}`);
    generator.setRate(rate);
    return Response.json({ rps: rate });
  }
  if (url.pathname === '/last') return Response.json({ last: generator.last ?? null, errors: generator.lastErrors });
  return Response.json({ error: 'not found: GET /window?from=&to=, POST /rate?rps=, GET /last' }, { status: 404 });
};

/** Runs until asked to end. */
export const runLoad = async (env: NodeJS.ProcessEnv): Promise<number> => {
  const asked = untilAsked();
  const target = readText(env, 'TARGET');
  const generator = new LoadGenerator({
    method: readChoice({ METHOD: 'analyze', ...env }, 'METHOD', ['analyze', 'predict']),
    rate: readNumber(env, 'RATE', 40, 0, MAX_RATE),
    timeoutMs: readNumber(env, 'TIMEOUT_MS', 2_000, 1, 600_000),
    pool: new ChannelPool({
      target,
      size: readNumber(env, 'CHANNELS', 4, 1, 64),
      maxAgeMs: readNumber(env, 'CHANNEL_MAX_AGE_MS', 60_000, 0, 86_400_000),
    }),
  });
  const control = Bun.serve({
    hostname: '127.0.0.1',
    port: readNumber(env, 'CONTROL_PORT', 9090, 0, 65_535),
    fetch: (request) => handleLoadRequest(generator, request),
  });
  const health = serveHealth(readNumber(env, 'HEALTH_PORT', 8081, 0, 65_535), () => true);
  console.log(`load generator calls ${target}; its reports are on http://127.0.0.1:${control.port}/window`);
  await asked;
  generator.stop();
  await Promise.all([control.stop(true), health.stop(true)]);
  return 0;
};
