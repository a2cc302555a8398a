import { create } from '@bufbuild/protobuf';
import { Metadata, status } from '@grpc/grpc-js';
import { ChannelPool } from '../channel-pool.ts';
import { AnalyzeRequestSchema, type Answer, PredictRequestSchema } from '../gen/pipeline_pb.js';
import { canonicalLanguage } from '../postprocess.ts';
import { analyze, predict } from '../services.ts';
import { readChoice, readNumber, readText } from '../settings.ts';
import { serveHealth, untilAsked } from '../stage.ts';
import { type ChainReport, runChains } from './chain.ts';
import { corpus } from './corpus.ts';
import { OVERLOAD, Records } from './records.ts';
import { Schedule } from './schedule.ts';

/** Ten minutes at 100 requests/s; 18 bytes each. */
const RECORDS = 60_000;
/** Past this many requests without an answer a new one is recorded as failed instead of sent. */
const MAX_IN_FLIGHT = 2_000;
const MAX_RATE = 5_000;
const ERROR_SAMPLES = 20;
/** Calls of one request for chains: a minute of them and more. */
const MAX_CHAIN_CALLS = 10_000;
const NO_HEADERS = new Metadata();

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
  #asking: { readonly headers: Metadata; readonly share: number } = { headers: NO_HEADERS, share: 0 };
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

  /** From now on this share of the requests, evenly spread, asks for a version with the header `x-model-version`. */
  ask(version: string, share: number): void {
    const headers = new Metadata();
    headers.set('x-model-version', version);
    this.#asking = { headers, share };
  }

  /** Sequential calls beside the regular load; they are not in the records. */
  chain(calls: number, chains: number): Promise<ChainReport> {
    return runChains(calls, chains, (index) =>
      this.#call(`chain-${index}`, corpus[index % corpus.length]!.text, Date.now() + this.#options.timeoutMs, NO_HEADERS),
    );
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
    const { headers, share } = this.#asking;
    const asks = Math.floor(this.#sent * share) > Math.floor((this.#sent - 1) * share);
    const ticket = this.records.begin(intended, asks);
    if (this.#inFlight >= MAX_IN_FLIGHT) {
      this.records.end(ticket, 0, OVERLOAD, '', false);
      return;
    }
    this.#inFlight++;
    this.#call(`${this.#sent}`, sample.text, intended + this.#options.timeoutMs, asks ? headers : NO_HEADERS).then(
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

  #call(id: string, text: string, deadline: number, headers: Metadata): Promise<Answer> {
    const { pool, method } = this.#options;
    return method === 'analyze'
      ? pool.call(analyze, create(AnalyzeRequestSchema, { id, text }), deadline, headers)
      : pool.call(predict, create(PredictRequestSchema, { id, text, sentences: 1 }), deadline, headers);
  }
}

/** Epoch ms with a fraction, monotonic. */
const epochNow = (): number => performance.timeOrigin + performance.now();

const badRequest = (message: string): Response => Response.json({ error: message }, { status: 400 });

/** The generator's own HTTP interface: `/window`, `/rate`, `/ask`, `/chain`, `/last`. */
export const handleLoadRequest = async (generator: LoadGenerator, request: Request): Promise<Response> => {
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
  if (url.pathname === '/ask' && request.method === 'POST') {
    const share = number('share', Number.NaN);
    const version = url.searchParams.get('version') ?? '';
    if (Number.isNaN(share) || share < 0 || share > 1 || version === '')
      return badRequest('version: the version to ask for; share: a number from 0 to 1');
    generator.ask(version, share);
    return Response.json({ version, share });
  }
  if (url.pathname === '/chain' && request.method === 'POST') {
    const calls = number('calls', 20);
    const chains = number('chains', 10);
    if (![calls, chains].every((one) => Number.isInteger(one) && one > 0) || calls * chains > MAX_CHAIN_CALLS)
      return badRequest(`calls and chains: whole numbers, together at most ${MAX_CHAIN_CALLS} calls`);
    return Response.json(await generator.chain(calls, chains));
  }
  if (url.pathname === '/last') return Response.json({ last: generator.last ?? null, errors: generator.lastErrors });
  return Response.json(
    { error: 'not found: GET /window?from=&to=, POST /rate?rps=, POST /ask?version=&share=, POST /chain?calls=&chains=, GET /last' },
    { status: 404 },
  );
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
    idleTimeout: 120,
    fetch: (request) => handleLoadRequest(generator, request),
  });
  const health = serveHealth(readNumber(env, 'HEALTH_PORT', 8081, 0, 65_535), () => true);
  console.log(`load generator calls ${target}; its reports are on http://127.0.0.1:${control.port}/window`);
  await asked;
  generator.stop();
  await Promise.all([control.stop(true), health.stop(true)]);
  return 0;
};
