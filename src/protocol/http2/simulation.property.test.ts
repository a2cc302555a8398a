import { expect, setDefaultTimeout, test } from 'bun:test';
import fc from 'fast-check';
import { Flag } from './frames.ts';
import { Pair, type SimulatedEnd } from './testing/pair.ts';
import {
  CONNECT,
  clientHello,
  concat,
  data,
  frame,
  GET,
  goaway,
  headers,
  OK,
  octets,
  POST,
  ping,
  resetStream,
  serverHello,
  settings,
  windowUpdate,
} from './testing/raw.ts';
import { type Event, Recorder } from './testing/recorder.ts';

// The machine may be busy with other things; no test here measures time.
setDefaultTimeout(60_000);

const action = fc.oneof(
  fc.record({ kind: fc.constant('open' as const), up: fc.nat(120_000), down: fc.nat(120_000) }),
  fc.record({ kind: fc.constant('send' as const), end: fc.boolean(), stream: fc.nat(7), most: fc.nat(50_000) }),
  fc.record({ kind: fc.constant('deliver' as const), end: fc.boolean(), most: fc.integer({ min: 1, max: 40_000 }) }),
  fc.record({ kind: fc.constant('consume' as const), end: fc.boolean(), stream: fc.nat(7), most: fc.nat(60_000) }),
);
const window = fc.constantFrom(2_000, 20_000, 65_535, 100_000, 300_000);

test('every octet arrives once and in order, no end ever holds more than it offered, and nothing stalls', () => {
  fc.assert(
    fc.property(
      fc.array(action, { maxLength: 120 }),
      window,
      window,
      fc.constantFrom(16_384, 50_000),
      (actions, clientWindow, serverWindow, maxFrameSize) => {
        const connectionWindow = 100_000;
        const pair = new Pair(
          { streamWindow: clientWindow, connectionWindow, maxFrameSize },
          { streamWindow: serverWindow, connectionWindow, maxFrameSize },
        );
        const downloads = new Map<number, number>();
        pair.server.recorder.reactions.onHeaders = (streamId) => {
          pair.server.recorder.connection.sendHeaders(streamId, OK, false);
          pair.server.bodies.set(streamId, { length: downloads.get(streamId)!, sent: 0, ended: false });
          pair.server.send(streamId, Number.POSITIVE_INFINITY);
        };
        // The settings are exchanged first; until then the peer may use the default window, whatever was announced.
        pair.settle();
        for (const step of actions) {
          const end: SimulatedEnd = 'end' in step && step.end ? pair.server : pair.client;
          if (step.kind === 'open') {
            const streamId = pair.client.recorder.connection.request(CONNECT, false);
            if (streamId === undefined) continue;
            downloads.set(streamId, step.down);
            pair.client.bodies.set(streamId, { length: step.up, sent: 0, ended: false });
          } else if (step.kind === 'send') end.send(step.stream * 2 + 1, step.most);
          else if (step.kind === 'deliver') pair.deliver(step.end ? 'server' : 'client', step.most);
          else end.consume(step.stream * 2 + 1, step.most);
        }
        // From here on both applications read and write as they can; everything must get through.
        for (let round = 0; round < 500_000; round++) {
          pair.settle();
          let moved = false;
          for (const end of [pair.client, pair.server]) {
            for (const [streamId, held] of end.held) {
              if (held === 0) continue;
              end.consume(streamId, Number.POSITIVE_INFINITY);
              moved = true;
            }
            // A body whose sender was never blocked has nobody to call it.
            if (round === 0) for (const streamId of end.bodies.keys()) end.send(streamId, Number.POSITIVE_INFINITY);
          }
          if (!moved && round > 1) break;
        }
        for (const [end, peer, ownWindow] of [
          [pair.client, pair.server, clientWindow],
          [pair.server, pair.client, serverWindow],
        ] as const) {
          expect(end.problem).toBe('');
          expect(end.mostHeld).toBeLessThanOrEqual(connectionWindow);
          expect(end.mostHeldOfOne).toBeLessThanOrEqual(ownWindow);
          for (const [streamId, body] of end.bodies) {
            expect([streamId, peer.received.get(streamId) ?? 0, peer.finished.has(streamId)]).toEqual([streamId, body.length, true]);
          }
          expect(end.recorder.connection.openStreams).toBe(0);
        }
      },
    ),
    { numRuns: 100 },
  );
});

/** Joins the DATA of a frame that came in slices, so that only what matters is compared. */
function normalized(events: readonly Event[]): string[] {
  const lines: string[] = [];
  const open = new Map<number, string>();
  for (const event of events) {
    if (event.kind === 'data') {
      open.set(event.streamId, (open.get(event.streamId) ?? '') + event.bytes.toHex() + (event.endStream ? ' end' : ''));
      continue;
    }
    for (const [streamId, hex] of open) lines.push(`data ${streamId} ${hex}`);
    open.clear();
    lines.push(JSON.stringify(event));
  }
  for (const [streamId, hex] of open) lines.push(`data ${streamId} ${hex}`);
  return lines;
}

const END = Flag.END_STREAM | Flag.END_HEADERS;
const streamId = fc.constantFrom(1, 3, 5, 7);
const clientFrame = fc.oneof(
  {
    weight: 3,
    arbitrary: fc
      .tuple(streamId, fc.constantFrom(GET, POST, CONNECT), fc.constantFrom(END, Flag.END_HEADERS))
      .map(([id, list, flags]) => headers(id, list, flags)),
  },
  {
    weight: 3,
    arbitrary: fc.tuple(streamId, fc.nat(300), fc.constantFrom(0, Flag.END_STREAM)).map(([id, length, flags]) => data(id, length, flags)),
  },
  fc
    .tuple(streamId, fc.uint8Array({ maxLength: 30 }), fc.nat(9))
    .map(([id, body, padding]) => frame(0, Flag.PADDED, id, concat(Uint8Array.of(padding), body, octets(padding)))),
  streamId.map((id) => resetStream(id, 8)),
  fc.tuple(streamId, fc.nat(5)).map(([id, size]) => windowUpdate(id, size)),
  fc.constantFrom(ping(), settings(), settings([4, 5]), goaway(0, 0)),
  fc
    .tuple(fc.nat(12), fc.nat(255), fc.nat(8), fc.uint8Array({ maxLength: 20 }))
    .map(([type, flags, id, body]) => frame(type, flags, id, body)),
);

function run(role: 'client' | 'server', bytes: Uint8Array, cuts: readonly number[]): { lines: string[]; end: Recorder } {
  const end = new Recorder(role, { streamWindow: 70_000, connectionWindow: 100_000 });
  if (role === 'client') for (let count = 0; count < 4; count++) end.connection.request(POST, false);
  end.reactions.onData = (id, chunk) => {
    end.connection.consumed(id, chunk.length);
    end.connection.sendData(id, chunk, false);
  };
  if (role === 'server') end.reactions.onHeaders = (id, _headers, endStream) => end.connection.sendHeaders(id, OK, endStream);
  const places = [...cuts.map((cut) => cut % (bytes.length + 1)), 0, bytes.length].sort((a, b) => a - b);
  for (let at = 1; at < places.length; at++) {
    const piece = bytes.slice(places[at - 1]!, places[at]!);
    end.receive(piece);
    piece.fill(0xee);
  }
  return { lines: normalized(end.events), end };
}

for (const role of ['server', 'client'] as const) {
  test(`a ${role} sees the same events however its input is split, and never throws, right or wrong as it is`, () => {
    const hello = role === 'server' ? clientHello() : serverHello();
    fc.assert(
      fc.property(fc.array(clientFrame, { maxLength: 15 }), fc.array(fc.nat(), { maxLength: 15 }), (frames, cuts) => {
        const bytes = concat(hello, ...frames);
        expect(run(role, bytes, cuts).lines).toEqual(run(role, bytes, []).lines);
      }),
      { numRuns: 500 },
    );
  });

  test(`a ${role} never throws on garbage, and resets every stream before it says that the connection is over`, () => {
    const hello = role === 'server' ? clientHello() : serverHello();
    fc.assert(
      fc.property(
        fc.array(clientFrame, { maxLength: 8 }),
        fc.uint8Array({ maxLength: 200 }),
        fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 6 }),
        fc.boolean(),
        (frames, tail, flips, greet) => {
          const bytes = greet ? concat(hello, ...frames, tail) : concat(tail, ...frames);
          for (const [at, value] of flips) if (bytes.length > 0) bytes[at % bytes.length] = value;
          const { end } = run(role, bytes, []);
          end.connection.transportClosed();
          expect(end.events.filter((event) => event.kind === 'close').length).toBe(1);
          expect(end.events.at(-1)?.kind).toBe('close');
          expect(end.connection.openStreams).toBe(0);
        },
      ),
      { numRuns: 1000 },
    );
  });
}
