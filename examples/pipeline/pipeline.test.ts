import { afterAll, beforeAll, expect, test } from 'bun:test';
import { connect, createServer, type Socket } from 'node:net';
import { create } from '@bufbuild/protobuf';
import { Server, ServerCredentials, type ServerUnaryCall, type sendUnaryData, status } from '@grpc/grpc-js';
import { ChannelPool } from './channel-pool.ts';
import { AnalyzeRequestSchema, type Answer, AnswerSchema, type PredictRequest } from './gen/pipeline_pb.js';
import { inferenceStage } from './inference.ts';
import { corpus } from './load/corpus.ts';
import { handleLoadRequest, LoadGenerator } from './load/load.ts';
import { postprocessingStage } from './postprocessing.ts';
import { preprocessingStage } from './preprocessing.ts';
import { analyze, predict } from './services.ts';
import { type RunningStage, startStage } from './stage.ts';

const anyPort = { PORT: '0', HEALTH_PORT: '0', DRAIN_DELAY_MS: '0' };
const stages: RunningStage[] = [];
let entry = '';

beforeAll(async () => {
  const start = async (options: Parameters<typeof startStage>[0]) => {
    const stage = await startStage(options);
    stages.unshift(stage);
    return `127.0.0.1:${stage.port}`;
  };
  const post = await start(postprocessingStage(anyPort));
  const inference = await start(
    await inferenceStage({ ...anyPort, MODEL: 'fasttext', MODEL_VERSION: 'v2', POD_NAME: 'pod-a', POSTPROCESSING_TARGET: post }),
  );
  entry = await start(preprocessingStage({ ...anyPort, INFERENCE_TARGET: inference }));
});

afterAll(async () => {
  for (const stage of stages) await stage.close();
});

const ask = (pool: ChannelPool, text: string): Promise<Answer> =>
  pool.call(analyze, create(AnalyzeRequestSchema, { id: '7', text }), Date.now() + 5_000);

test('text goes through three services and comes back as a language, with the version and the pod that named it', async () => {
  const pool = new ChannelPool({ target: entry, size: 1, maxAgeMs: 0 });
  const answer = await ask(pool, '<b>Der Bäcker</b> an der Ecke öffnet schon um sechs.');
  expect(answer).toMatchObject({
    id: '7',
    language: 'de',
    languageName: 'German',
    confident: true,
    model: 'fasttext',
    version: 'v2',
    pod: 'pod-a',
  });
  expect(JSON.parse(answer.json)).toMatchObject({ language: 'de', version: 'v2', pod: 'pod-a' });
  pool.close();
});

test('input that is no text is refused with the field and the remedy', async () => {
  const pool = new ChannelPool({ target: entry, size: 1, maxAgeMs: 0 });
  await expect(ask(pool, ' <br> ')).rejects.toMatchObject({
    code: status.INVALID_ARGUMENT,
    details: expect.stringContaining('AnalyzeRequest.text'),
  });
  await expect(ask(pool, 'x'.repeat(20_000))).rejects.toMatchObject({
    code: status.INVALID_ARGUMENT,
    details: expect.stringContaining('20000'),
  });
  pool.close();
});

test('connections are replaced under load without a failed call', async () => {
  const pool = new ChannelPool({ target: entry, size: 3, maxAgeMs: 60 });
  const until = performance.now() + 1_000;
  let answered = 0;
  while (performance.now() < until) {
    const answers = await Promise.all(Array.from({ length: 8 }, (_, index) => ask(pool, corpus[index]!.text)));
    answered += answers.length;
  }
  // More than one round of eight: there was load while connections were replaced.
  expect(answered).toBeGreaterThan(8);
  expect(pool.opened).toBeGreaterThan(8);
  pool.close();
});

test('a connection cut in the middle fails its call at once, and the pool recovers', async () => {
  const [host, port] = entry.split(':') as [string, string];
  const sockets = new Set<Socket>();
  const relay = createServer((client) => {
    const upstream = connect(Number(port), host);
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on('error', () => socket.destroy());
    }
    client.pipe(upstream).pipe(client);
  });
  await new Promise<void>((resolve) => relay.listen(0, '127.0.0.1', resolve));
  const address = relay.address();
  const pool = new ChannelPool({ target: `127.0.0.1:${typeof address === 'object' ? address?.port : ''}`, size: 1, maxAgeMs: 0 });
  await ask(pool, 'The first call opens the connection.');
  for (const socket of sockets) socket.destroy();
  let answer: Answer | undefined;
  for (let attempt = 0; attempt < 50 && answer === undefined; attempt++) {
    answer = await ask(pool, 'Am Abend gingen wir durch den alten Garten nach Hause.').catch(async () => {
      await Bun.sleep(20);
      return undefined;
    });
  }
  expect(answer?.language).toBe('de');
  pool.close();
  relay.close();
  for (const socket of sockets) socket.destroy();
});

test('the load generator reports what it sent: correct answers, versions and percentiles of a window', async () => {
  const generator = new LoadGenerator({
    method: 'analyze',
    rate: 100,
    timeoutMs: 5_000,
    pool: new ChannelPool({ target: entry, size: 2, maxAgeMs: 200 }),
  });
  await Bun.sleep(600);
  await handleLoadRequest(generator, new Request('http://load/rate?rps=0', { method: 'POST' }));
  let report: Record<string, number>;
  do {
    await Bun.sleep(10);
    report = (await (await handleLoadRequest(generator, new Request('http://load/window'))).json()) as Record<string, number>;
  } while (report['pending']! > 0);
  expect(report['requests']).toBeGreaterThan(30);
  expect(report).toMatchObject({ errors: 0, perVersion: { v2: report['requests'] } });
  expect(report['correct']! / report['requests']!).toBeGreaterThan(0.8);
  for (const wrong of ['rate?rps=fast', 'ask?version=v2&share=2', 'ask?share=1', 'chain?calls=0', 'chain?calls=1000&chains=1000'])
    expect((await handleLoadRequest(generator, new Request(`http://load/${wrong}`, { method: 'POST' }))).status).toBe(400);
  const chain = await handleLoadRequest(generator, new Request('http://load/chain?calls=5&chains=2', { method: 'POST' }));
  expect(await chain.json()).toMatchObject({ calls: 5, chains: 2, errors: 0 });
  generator.stop();
});

test('the version a request asks for is handed on through the stages, and its answers are counted apart', async () => {
  const asked = new Map<string, string | undefined>();
  const server = new Server();
  server.addService(
    { predict },
    {
      predict: (call: ServerUnaryCall<PredictRequest, Answer>, reply: sendUnaryData<Answer>) => {
        const version = call.metadata.get('x-model-version')[0];
        asked.set(call.request.id, version === undefined ? undefined : String(version));
        expect(call.metadata.get('authorization')).toEqual([]);
        reply(null, create(AnswerSchema, { id: call.request.id, version: String(version ?? 'v1'), json: '{}' }));
      },
    },
  );
  const port = await new Promise<number>((resolve, reject) =>
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) => (error ? reject(error) : resolve(bound))),
  );
  const front = await startStage(preprocessingStage({ ...anyPort, INFERENCE_TARGET: `127.0.0.1:${port}` }));
  const pool = new ChannelPool({ target: `127.0.0.1:${front.port}`, size: 1, maxAgeMs: 0 });
  const generator = new LoadGenerator({ method: 'analyze', rate: 100, timeoutMs: 5_000, pool });
  await handleLoadRequest(generator, new Request('http://load/ask?version=v2&share=0.25', { method: 'POST' }));
  while (asked.size < 40) await Bun.sleep(10);
  generator.setRate(0);
  let report = generator.records.report(0, Number.MAX_SAFE_INTEGER);
  while (report.pending > 0) {
    await Bun.sleep(5);
    report = generator.records.report(0, Number.MAX_SAFE_INTEGER);
  }
  for (const [id, version] of asked) expect({ id, version }).toEqual({ id, version: Number(id) % 4 === 0 ? 'v2' : undefined });
  expect(report.perVersionAsked).toEqual({ v2: Math.floor(report.requests / 4) });
  expect(report.perVersion['v1']).toBe(report.requests - Math.floor(report.requests / 4));
  generator.stop();
  await front.close();
  server.forceShutdown();
});

test('a stage that was asked to end answers the call in flight before it closes', async () => {
  const post = await startStage(postprocessingStage(anyPort));
  const slow = await startStage(
    await inferenceStage({
      ...anyPort,
      MODEL: 'cld3',
      MODEL_VERSION: 'v1',
      MODEL_LATENCY_MS: '300',
      POSTPROCESSING_TARGET: `127.0.0.1:${post.port}`,
    }),
  );
  const front = await startStage(preprocessingStage({ ...anyPort, INFERENCE_TARGET: `127.0.0.1:${slow.port}` }));
  const pool = new ChannelPool({ target: `127.0.0.1:${front.port}`, size: 1, maxAgeMs: 0 });
  const inFlight = ask(pool, 'El ayuntamiento quiere plantar más árboles.');
  await Bun.sleep(150);
  const closed = slow.close();
  expect((await inFlight).language).toBe('es');
  await closed;
  pool.close();
  await front.close();
  await post.close();
});

test('a pool closed while it connects leaves no connection behind', async () => {
  const [host, port] = entry.split(':') as [string, string];
  let open = 0;
  let seen = 0;
  const relay = createServer((client) => {
    open++;
    seen++;
    client.on('close', () => open--);
    client.on('error', () => client.destroy());
    // The other end answers late, so that the client is closed before it is connected.
    client.pause();
    setTimeout(() => {
      const upstream = connect(Number(port), host);
      upstream.on('error', () => upstream.destroy());
      client.pipe(upstream).pipe(client);
    }, 200);
  });
  await new Promise<void>((resolve) => relay.listen(0, '127.0.0.1', resolve));
  const address = relay.address();
  const pool = new ChannelPool({ target: `127.0.0.1:${typeof address === 'object' ? address?.port : ''}`, size: 1, maxAgeMs: 50 });
  while (seen === 0) await Bun.sleep(5);
  pool.close();
  for (let waited = 0; open > 0 && waited < 3_000; waited += 20) await Bun.sleep(20);
  expect(open).toBe(0);
  relay.close();
});
