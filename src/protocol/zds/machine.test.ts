import { expect, test } from 'bun:test';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import fc from 'fast-check';
import { Version } from '../index.ts';
import { AckSchema, WorkloadRequestSchema, WorkloadResponseSchema, ZdsHelloSchema } from '../messages/index.ts';
import { encodeRequest, MAX_QUEUED_REQUESTS, ZDS_DEADLINE_MS, type ZdsInput, ZdsMachine, type ZdsOutput } from './machine.ts';

const hello = (version = Version.V1): ZdsInput => ({
  kind: 'received',
  bytes: toBinary(ZdsHelloSchema, create(ZdsHelloSchema, { version })),
  descriptors: 0,
});
const ack = (error = ''): ZdsInput => {
  const message = create(WorkloadResponseSchema, { payload: { case: 'ack', value: create(AckSchema, { error }) } });
  return { kind: 'received', bytes: toBinary(WorkloadResponseSchema, message), descriptors: 0 };
};
const workload = { uid: 'u', name: 'n', namespace: 'ns', serviceAccount: 'sa' };
const add = (id: number, netns = 7): ZdsInput => ({ kind: 'request', id, request: { kind: 'add', workload, netns } });
const del = (id: number): ZdsInput => ({ kind: 'request', id, request: { kind: 'del', uid: 'u' } });
const kinds = (outputs: readonly ZdsOutput[]) => outputs.map(({ kind }) => kind);

function opened() {
  const machine = new ZdsMachine(0);
  expect(machine.handle(hello(), 0)).toEqual([{ kind: 'hello' }]);
  return machine;
}

test('encodes requests with the field numbers of the contract', () => {
  expect(Buffer.from(encodeRequest({ kind: 'del', uid: 'u' })).toString('hex')).toBe('1203120175');
  expect(Buffer.from(encodeRequest({ kind: 'snapshotSent' })).toString('hex')).toBe('1a00');
  expect(Buffer.from(encodeRequest({ kind: 'keep', uid: 'u' })).toString('hex')).toBe('2a030a0175');
  const decoded = fromBinary(WorkloadRequestSchema, encodeRequest({ kind: 'add', workload, netns: 1 }));
  expect(decoded.payload.value).toMatchObject({ uid: 'u', workloadInfo: { name: 'n', namespace: 'ns', serviceAccount: 'sa' } });
});

test('sends one request at a time, the descriptor with the add only', () => {
  const machine = opened();
  expect(machine.handle(add(1), 0)).toMatchObject([{ kind: 'send', netns: 7 }]);
  expect(machine.handle(del(2), 0)).toEqual([]);
  const next = machine.handle(ack(), 10);
  expect(kinds(next)).toEqual(['settled', 'send']);
  expect(next[0]).toEqual({ kind: 'settled', id: 1 });
  expect(next[1]).not.toHaveProperty('netns');
  expect(machine.handle(ack(), 20)).toEqual([{ kind: 'settled', id: 2 }]);
  expect(machine.nextDeadline()).toBeUndefined();
});

test('passes a refusal on and keeps the connection', () => {
  const machine = opened();
  machine.handle(add(1), 0);
  expect(machine.handle(ack('bind failed'), 0)).toEqual([{ kind: 'settled', id: 1, error: 'bind failed' }]);
  expect(machine.isOpen).toBe(true);
});

test('closes when no hello comes in time', () => {
  const machine = new ZdsMachine(100);
  expect(machine.nextDeadline()).toBe(100 + ZDS_DEADLINE_MS);
  expect(machine.tick(100 + ZDS_DEADLINE_MS - 1)).toEqual([]);
  expect(machine.tick(100 + ZDS_DEADLINE_MS)).toEqual([{ kind: 'close', reason: 'the proxy said no hello within 5 s' }]);
});

test('closes when an answer does not come in time, and fails everything that waits', () => {
  const machine = opened();
  machine.handle(add(1), 1000);
  machine.handle(del(2), 3000);
  expect(machine.nextDeadline()).toBe(1000 + ZDS_DEADLINE_MS);
  const outputs = machine.tick(1000 + ZDS_DEADLINE_MS);
  expect(outputs[0]).toEqual({ kind: 'close', reason: 'the proxy did not answer add within 5 s' });
  expect(outputs.slice(1)).toMatchObject([
    { id: 1, error: expect.any(String) },
    { id: 2, error: expect.any(String) },
  ]);
});

test.each([
  ['another version', hello(Version.NOT_USED), 'version 0'],
  ['garbage instead of hello', { kind: 'received', bytes: new Uint8Array([0xff, 0xff]), descriptors: 0 }, 'no ZdsHello'],
  ['a descriptor', { ...hello(), descriptors: 1 } as ZdsInput, 'descriptor'],
  ['the end', { kind: 'ended' }, 'closed the connection'],
] as [string, ZdsInput, string][])('closes a connection that begins with %s', (_, input, reason) => {
  const machine = new ZdsMachine(0);
  expect(machine.handle(input, 0)).toEqual([{ kind: 'close', reason: expect.stringContaining(reason) }]);
  expect(machine.handle(hello(), 0)).toEqual([]);
});

test.each([
  ['garbage', { kind: 'received', bytes: new Uint8Array([0xff]), descriptors: 0 }, 'no WorkloadResponse'],
  ['an empty response', { kind: 'received', bytes: new Uint8Array(), descriptors: 0 }, 'empty WorkloadResponse'],
  ['a descriptor', { ...ack(), descriptors: 1 } as ZdsInput, 'descriptor'],
  ['the end', { kind: 'ended' }, 'closed'],
] as [string, ZdsInput, string][])('closes on %s instead of an answer, and fails the request', (_, input, reason) => {
  const machine = opened();
  machine.handle(add(1), 0);
  const outputs = machine.handle(input, 0);
  expect(kinds(outputs)).toEqual(['close', 'settled']);
  expect((outputs[0] as { reason: string }).reason).toContain(reason);
});

test('closes on an acknowledgement nobody asked for', () => {
  expect(opened().handle(ack(), 0)).toEqual([{ kind: 'close', reason: expect.stringContaining('no request is outstanding') }]);
});

test('fails requests before the hello, after the end, and past the limit of the queue', () => {
  expect(new ZdsMachine(0).handle(add(1), 0)).toEqual([{ kind: 'settled', id: 1, error: expect.stringContaining('not open') }]);
  const machine = opened();
  for (let i = 0; i <= MAX_QUEUED_REQUESTS; i++) expect(machine.handle(del(i), 0).filter(({ kind }) => kind === 'settled')).toEqual([]);
  expect(machine.handle(del(-1), 0)).toMatchObject([
    { kind: 'settled', id: -1, error: expect.stringContaining(`more than ${MAX_QUEUED_REQUESTS}`) },
  ]);
  machine.handle({ kind: 'ended' }, 0);
  expect(machine.handle(add(-2), 0)).toMatchObject([{ kind: 'settled', id: -2 }]);
});

test('settles every request exactly once and never throws, whatever the proxy sends', () => {
  const input = fc.oneof(
    fc.constant(hello()),
    fc.constant(ack()),
    fc.constant(ack('no')),
    fc.constant<ZdsInput>({ kind: 'ended' }),
    fc.record({
      kind: fc.constant('received' as const),
      bytes: fc.uint8Array({ maxLength: 20 }),
      descriptors: fc.constantFrom(0, 0, 0, 1),
    }),
    fc.constant('request' as const),
    fc.constant('tick' as const),
  );
  fc.assert(
    fc.property(fc.array(input, { maxLength: 30 }), (inputs) => {
      const machine = new ZdsMachine(0);
      const settled: number[] = [];
      let asked = 0;
      let now = 0;
      const all = [hello(), ...inputs, { kind: 'ended' } as ZdsInput];
      for (const one of all) {
        if (one === 'tick') now += 3_000;
        const outputs = one === 'tick' ? machine.tick(now) : machine.handle(one === 'request' ? add(asked++) : one, now);
        for (const output of outputs) if (output.kind === 'settled') settled.push(output.id);
      }
      expect(settled.sort((a, b) => a - b)).toEqual(Array.from({ length: asked }, (_, i) => i));
    }),
  );
});
