/** Programs that people use, through a waypoint: curl, h2load, and the SDKs of two inference APIs against a simulated server (no model, fixed words). */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import Anthropic from '@anthropic-ai/sdk';
import OpenAI from 'openai';
import { WaypointLab } from './lab.ts';

const lab = new WaypointLab();
const WORDS = ['The', ' waypoint', ' holds', ' nothing', ' back', '.'];
const MIB = 1024 * 1024;

/** The simulated server says a word only when the test has seen the one before. */
let allowed = 0;
let wake = (): void => {};
const allow = (words: number): void => {
  allowed = words;
  wake();
};
/** Requests whose client left before the end. */
let left = 0;

function spoken(signal: AbortSignal, opening: readonly string[], event: (word: string) => string, closing: readonly string[]): Response {
  const encoder = new TextEncoder();
  return new Response(
    new ReadableStream({
      async start(controller) {
        signal.addEventListener('abort', () => {
          left++;
          wake();
        });
        for (const text of opening) controller.enqueue(encoder.encode(text));
        for (const [index, word] of WORDS.entries()) {
          while (allowed <= index && !signal.aborted) await new Promise<void>((resolve) => (wake = resolve));
          if (signal.aborted) return;
          controller.enqueue(encoder.encode(event(word)));
        }
        for (const text of closing) controller.enqueue(encoder.encode(text));
        controller.close();
      },
    }),
    { headers: { 'content-type': 'text/event-stream', 'cache-control': 'no-cache' } },
  );
}

const openaiChunk = (delta: object, finish: string | null = null): string =>
  `data: ${JSON.stringify({ id: 'chatcmpl-simulated', object: 'chat.completion.chunk', created: 0, model: 'simulated', choices: [{ index: 0, delta, finish_reason: finish }] })}\n\n`;
const anthropicEvent = (type: string, fields: object): string => `event: ${type}\ndata: ${JSON.stringify({ type, ...fields })}\n\n`;

async function simulated(request: Request): Promise<Response> {
  const { pathname } = new URL(request.url);
  if (pathname === '/v1/chat/completions') {
    await request.json();
    return spoken(request.signal, [openaiChunk({ role: 'assistant' })], (content) => openaiChunk({ content }), [
      openaiChunk({}, 'stop'),
      'data: [DONE]\n\n',
    ]);
  }
  if (pathname === '/v1/messages') {
    await request.json();
    const message = {
      id: 'msg_simulated',
      type: 'message',
      role: 'assistant',
      model: 'simulated',
      content: [],
      stop_reason: null,
      stop_sequence: null,
      usage: { input_tokens: 1, output_tokens: 1 },
    };
    return spoken(
      request.signal,
      [
        anthropicEvent('message_start', { message }),
        anthropicEvent('content_block_start', { index: 0, content_block: { type: 'text', text: '' } }),
      ],
      (text) => anthropicEvent('content_block_delta', { index: 0, delta: { type: 'text_delta', text } }),
      [
        anthropicEvent('content_block_stop', { index: 0 }),
        anthropicEvent('message_delta', { delta: { stop_reason: 'end_turn', stop_sequence: null }, usage: { output_tokens: 6 } }),
        anthropicEvent('message_stop', {}),
      ],
    );
  }
  if (pathname === '/echo') return new Response(await request.arrayBuffer());
  return new Response('hello');
}

let port = 0;
let inside = 0;
beforeAll(async () => {
  lab.inside(() => Bun.serve({ hostname: '127.0.0.21', port: 8080, idleTimeout: 60, maxRequestBodySize: 64 * MIB, fetch: simulated }));
  // As people write it: nothing declared.
  await lab.start([
    {
      name: 'llm',
      ports: [
        { port: 80, targetPort: 8080 },
        { port: 81, targetPort: 8080, protocol: 'HTTP11' },
      ],
      endpoints: ['127.0.0.21'],
    },
  ]);
  port = lab.open('llm', 80, 'outside');
  inside = lab.open('llm', 81);
});
afterAll(() => lab.stop());

describe('SDKs against a simulated server', () => {
  test('openai gets each word when it is said', async () => {
    const client = new OpenAI({ apiKey: 'simulated', baseURL: `http://127.0.0.1:${port}/v1`, maxRetries: 0 });
    allow(1);
    const words: string[] = [];
    const stream = await client.chat.completions.create({
      model: 'simulated',
      stream: true,
      messages: [{ role: 'user', content: 'Speak.' }],
    });
    for await (const chunk of stream) {
      const word = chunk.choices[0]?.delta.content;
      if (!word) continue;
      words.push(word);
      allow(words.length + 1);
    }
    expect(words).toEqual(WORDS);
  });

  test('@anthropic-ai/sdk gets each word when it is said', async () => {
    const client = new Anthropic({ apiKey: 'simulated', baseURL: `http://127.0.0.1:${port}`, maxRetries: 0 });
    allow(1);
    const words: string[] = [];
    const stream = client.messages.stream({ model: 'simulated', max_tokens: 16, messages: [{ role: 'user', content: 'Speak.' }] });
    stream.on('text', (word) => {
      words.push(word);
      allow(words.length + 1);
    });
    const message = await stream.finalMessage();
    expect(words).toEqual(WORDS);
    expect(message.stop_reason).toBe('end_turn');
  });

  test('a client that aborts stops the server’s work', async () => {
    const client = new OpenAI({ apiKey: 'simulated', baseURL: `http://127.0.0.1:${port}/v1`, maxRetries: 0 });
    left = 0;
    allow(2);
    const stream = await client.chat.completions.create({
      model: 'simulated',
      stream: true,
      messages: [{ role: 'user', content: 'Speak.' }],
    });
    for await (const chunk of stream) if (chunk.choices[0]?.delta.content === WORDS[1]) stream.controller.abort();
    const start = performance.now();
    while (left === 0 && performance.now() - start < 5000) await Bun.sleep(5);
    expect(left).toBe(1);
  });

  test('a hundred streams at once each get their own words', async () => {
    const client = new OpenAI({ apiKey: 'simulated', baseURL: `http://127.0.0.1:${port}/v1`, maxRetries: 0 });
    allow(WORDS.length);
    const texts = await Promise.all(
      Array.from({ length: 100 }, async () => {
        const stream = await client.chat.completions.create({
          model: 'simulated',
          stream: true,
          messages: [{ role: 'user', content: 'Speak.' }],
        });
        let text = '';
        for await (const chunk of stream) text += chunk.choices[0]?.delta.content ?? '';
        return text;
      }),
    );
    expect(new Set(texts)).toEqual(new Set([WORDS.join('')]));
  });
});

for (const version of ['--http1.0', '--http1.1', '--http2-prior-knowledge'])
  describe(`curl ${version}`, () => {
    const curl = (...argv: string[]): Promise<string> => lab.run('curl', '-sS', '-m', '20', version, ...argv);
    test('gets, posts and uploads', async () => {
      expect(await curl(`http://127.0.0.1:${inside}/`)).toBe('hello');
      expect(await curl('-d', 'some=data', `http://127.0.0.1:${inside}/echo`)).toBe('some=data');
      const file = `${lab.directory}/upload`;
      await Bun.write(
        file,
        new Uint8Array(20 * MIB).map((_, i) => (i * 31) & 255),
      );
      const sum = `curl -sS -m 20 ${version} -T ${file} -X POST http://127.0.0.1:${inside}/echo | cmp - ${file} && echo same`;
      expect(await lab.run('sh', '-c', sum)).toBe('same\n');
    });
    // curl 7.88 breaks off the second HTTP/2 request of a connection, whatever server it asks.
    if (version !== '--http1.1') return;
    test('uses its connection again', async () => {
      const out = await curl(
        '-w',
        '%{num_connects}\n',
        '-o',
        '/dev/null',
        `http://127.0.0.1:${inside}/`,
        '-o',
        '/dev/null',
        `http://127.0.0.1:${inside}/`,
      );
      expect(out).toBe('1\n0\n');
    });
  });

const hasH2load = Bun.which('h2load') !== null;
for (const [what, argv] of [
  ['HTTP/1.1', ['--h1', '-m1']],
  ['HTTP/2', ['-m20']],
] as const)
  if (!hasH2load) test.skip(`h2load, ${what}: not run, h2load is not installed`, () => {});
  else
    test(`h2load, ${what}: no request fails`, async () => {
      const out = await lab.run('h2load', '-n2000', '-c10', ...argv, `http://127.0.0.1:${inside}/`);
      expect(out).toMatch(/2000 total, 2000 started, 2000 done, 2000 succeeded, 0 failed, 0 errored, 0 timeout/);
      expect(out).toMatch(/status codes: 2000 2xx/);
    }, 30_000);
