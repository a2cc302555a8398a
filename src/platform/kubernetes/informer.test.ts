import { afterEach, expect, test } from 'bun:test';
import fc from 'fast-check';
import { ApiError } from './api-error.ts';
import { KubeClient } from './client.ts';
import { Informer } from './informer.ts';
import { defineResource, type KubeObject } from './types.ts';
import { LineSplitter, parseWatchLine, watch } from './watch.ts';

interface Thing extends KubeObject {
  spec?: { size: number };
}
const THINGS = defineResource<Thing>('example.test/v1', 'Thing', 'things');
const thing = (name: string, version: number, size = 0, uid = `${name}-1`): Thing => ({
  metadata: { name, namespace: 'shop', uid, resourceVersion: String(version) },
  spec: { size },
});
const line = (type: string, object: unknown): string => `${JSON.stringify({ type, object })}\n`;
const gone = { kind: 'Status', status: 'Failure', code: 410, reason: 'Expired', message: 'too old resource version' };

type Step = (url: URL) => Response;
const list =
  (version: number, items: Thing[], next?: string): Step =>
  () =>
    Response.json({
      kind: 'ThingList',
      metadata: { resourceVersion: String(version), ...(next !== undefined && { continue: next }) },
      items,
    });
const stream =
  (lines: string[], stay = false): Step =>
  () =>
    new Response(
      new ReadableStream({
        async start(controller) {
          for (const text of lines) {
            controller.enqueue(new TextEncoder().encode(text));
            await Bun.sleep(0);
          }
          if (!stay) controller.close();
        },
      }),
    );

const cleanup: (() => void)[] = [];
afterEach(() => {
  for (const undo of cleanup.splice(0)) undo();
});

/** An HTTP server that answers the given steps in order; after the last one it refuses with 500. */
function scripted(steps: Step[]): { client: KubeClient; requests: URL[] } {
  const requests: URL[] = [];
  const server = Bun.serve({
    port: 0,
    hostname: '127.0.0.1',
    idleTimeout: 0,
    fetch(request) {
      const url = new URL(request.url);
      requests.push(url);
      return steps.shift()?.(url) ?? new Response('out of steps', { status: 500 });
    },
  });
  cleanup.push(() => server.stop(true));
  return {
    client: new KubeClient({
      server: `http://127.0.0.1:${server.port}`,
      insecureSkipTlsVerify: false,
      namespace: 'default',
      context: 'test',
    }),
    requests,
  };
}

function observe(client: KubeClient, until: string) {
  const abort = new AbortController();
  cleanup.push(() => abort.abort(new Error('test over')));
  const seen: string[] = [];
  const errors: Error[] = [];
  const { promise, resolve } = Promise.withResolvers<void>();
  const note = (text: string) => {
    seen.push(text);
    if (text === until) resolve();
  };
  const informer = new Informer(client, THINGS, {
    signal: abort.signal,
    silenceMs: 400,
    onError: (error) => errors.push(error),
  }).addHandlers({
    onAdd: (object) => note(`+${object.metadata?.name}`),
    onUpdate: (object, previous) => note(`~${object.metadata?.name} ${previous.spec?.size}→${object.spec?.size}`),
    onDelete: (object) => note(`-${object.metadata?.name}`),
    onSync: () => note('synced'),
  });
  return { informer, seen, errors, abort, reached: promise };
}

test('lists in pages, reports everything once, then follows the watch from the list version', async () => {
  const { client, requests } = scripted([
    list(10, [thing('a', 3)], 'page2'),
    list(10, [thing('b', 4)]),
    stream([
      line('ADDED', thing('c', 11)),
      line('MODIFIED', thing('a', 12, 7)),
      line('DELETED', thing('b', 13)),
      line('BOOKMARK', { metadata: { resourceVersion: '20' } }),
    ]),
    stream([line('ADDED', thing('end', 21))], true),
  ]);
  const { informer, seen, reached } = observe(client, '+end');
  await informer.start().synced;
  await reached;
  expect(seen).toEqual(['+a', '+b', 'synced', '+c', '~a 0→7', '-b', '+end']);
  expect(requests.map((url) => url.searchParams.get('continue') ?? url.searchParams.get('resourceVersion'))).toEqual([
    null,
    'page2',
    '10',
    '20',
  ]);
  expect(requests[2]!.searchParams.get('allowWatchBookmarks')).toBe('true');
  expect([...informer.inNamespace('shop')].map((object) => object.metadata?.name)).toEqual(['a', 'c', 'end']);
  expect(informer.get('shop', 'a')?.spec?.size).toBe(7);
});

test.each([
  ['an ERROR event', stream([line('ERROR', gone)])],
  ['the HTTP status', (() => Response.json(gone, { status: 410 })) as Step],
])('a version that is too old (%s) leads to a new list and only the differences are reported', async (_how, refusal) => {
  const { client } = scripted([
    list(10, [thing('same', 1), thing('changed', 2), thing('lost', 3), thing('reborn', 4)]),
    refusal,
    list(50, [thing('same', 1), thing('changed', 40, 5), thing('reborn', 41, 0, 'reborn-2'), thing('new', 42)]),
    stream([line('ADDED', thing('end', 51))], true),
  ]);
  const { informer, seen, reached, errors } = observe(client, '+end');
  informer.start();
  await reached;
  expect(seen.slice(5)).toEqual(['~changed 0→5', '-reborn', '+reborn', '+new', '-lost', '+end']);
  expect(errors).toEqual([]);
});

test('reconnects for ever after failures, keeps what it has, and says what went wrong', async () => {
  const { client, requests } = scripted([
    () => new Response('starting', { status: 500 }),
    list(10, [thing('a', 1)]),
    () => new Response('down', { status: 500 }),
    stream([line('ADDED', thing('b', 11)).slice(0, 20)]),
    stream([line('ADDED', thing('b', 11))], true),
  ]);
  const { informer, seen, reached, errors } = observe(client, '+b');
  informer.start();
  await reached;
  expect(seen).toEqual(['+a', 'synced', '+b']);
  expect(errors.length).toBe(3);
  expect(errors[0]!.message).toContain('starting');
  expect(requests.filter((url) => url.searchParams.get('watch') === 'true').map((url) => url.searchParams.get('resourceVersion'))).toEqual([
    '10',
    '10',
    '10',
  ]);
});

test('a connection that falls silent is given up and resumed', async () => {
  const { client } = scripted([list(10, []), stream([line('ADDED', thing('a', 11))], true), stream([line('ADDED', thing('b', 12))], true)]);
  const { informer, seen, reached, errors } = observe(client, '+b');
  informer.start();
  await reached;
  expect(seen).toEqual(['synced', '+a', '+b']);
  expect(errors[0]!.message).toContain('nothing was heard');
});

test('ends with the signal, and rejects synced when it was aborted first', async () => {
  const { client, requests } = scripted([]);
  const { informer, abort } = observe(client, 'never');
  informer.start();
  abort.abort(new Error('stopped'));
  await expect(informer.synced).rejects.toThrow('stopped');
  const count = requests.length;
  await Bun.sleep(150);
  expect(requests.length).toBe(count);
});

test('a handler that throws is reported and does not stop the others', async () => {
  const { client } = scripted([list(10, [thing('a', 1)]), stream([line('ADDED', thing('b', 11))], true)]);
  const { informer, seen, reached, errors } = observe(client, '+b');
  informer.addHandlers({
    onAdd: () => {
      throw new Error('handler bug');
    },
  });
  informer.start();
  await reached;
  expect(seen).toEqual(['+a', 'synced', '+b']);
  expect(errors[0]!.message).toBe('handler bug');
});

test('watch lines come out the same for any split of the bytes', () => {
  fc.assert(
    fc.property(fc.array(fc.string({ unit: 'grapheme' }), { maxLength: 8 }), fc.array(fc.nat(400), { maxLength: 10 }), (names, cuts) => {
      const text = names.map((name) => line('ADDED', { metadata: { name } })).join('');
      const bytes = new TextEncoder().encode(text);
      const splitter = new LineSplitter();
      const at = [...new Set(cuts.map((cut) => Math.min(cut, bytes.length)))].sort((a, b) => a - b);
      const out: string[] = [];
      let from = 0;
      for (const to of [...at, bytes.length]) {
        out.push(...splitter.push(bytes.subarray(from, to)));
        from = to;
      }
      expect(out.map((item) => (parseWatchLine<Thing>(item, 'test').object as Thing).metadata?.name)).toEqual(names);
      expect(splitter.end()).toBe('');
    }),
  );
});

test('refuses an endless line and anything that is not an event', () => {
  expect(() => new LineSplitter(10).push(new TextEncoder().encode('x'.repeat(11)))).toThrow('longer than 10');
  expect(() => parseWatchLine('nonsense', 'watch things')).toThrow('not JSON');
  expect(() => parseWatchLine('{"type":"SURPRISE"}', 'watch things')).toThrow('SURPRISE');
  expect(() => parseWatchLine(JSON.stringify({ type: 'ERROR', object: gone }), 'watch things')).toThrow(ApiError);
});

test('leaving a watch early closes its connection', async () => {
  const closed = Promise.withResolvers<void>();
  const server = Bun.serve({
    port: 0,
    hostname: '127.0.0.1',
    idleTimeout: 0,
    fetch: (request) => {
      request.signal.addEventListener('abort', () => closed.resolve());
      return stream([line('ADDED', thing('a', 1))], true)(new URL(request.url));
    },
  });
  cleanup.push(() => server.stop(true));
  const client = new KubeClient({
    server: `http://127.0.0.1:${server.port}`,
    insecureSkipTlsVerify: false,
    namespace: 'default',
    context: 'test',
  });
  for await (const events of watch(client, THINGS)) {
    expect(events.length).toBe(1);
    break;
  }
  await closed.promise;
});

test('an error carries the Status of the server: code, reason, causes', async () => {
  const status = {
    kind: 'Status',
    status: 'Failure',
    code: 422,
    reason: 'Invalid',
    message: 'Thing "x" is invalid',
    details: { causes: [{ field: 'spec.size', reason: 'FieldValueInvalid', message: 'must be positive' }] },
  };
  const { client } = scripted([() => Response.json(status, { status: 422 }), () => new Response('<html>gateway</html>', { status: 502 })]);
  const error = await client.create(THINGS, thing('x', 1)).catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(ApiError);
  expect(error).toMatchObject({
    code: 422,
    reason: 'Invalid',
    causes: status.details.causes,
    message: 'create Thing in shop: Thing "x" is invalid',
  });
  await expect(client.get(THINGS, 'x', { namespace: 'shop' })).rejects.toMatchObject({
    code: 502,
    message: 'get Thing shop/x: <html>gateway</html>',
  });
  const nobody = new KubeClient({ server: 'http://127.0.0.1:1', insecureSkipTlsVerify: false, namespace: 'default', context: 'test' });
  await expect(nobody.list(THINGS)).rejects.toMatchObject({ code: 0, reason: 'Unreachable' });
});
