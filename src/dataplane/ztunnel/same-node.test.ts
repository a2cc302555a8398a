import { expect, test } from 'bun:test';
import { ErrorCode } from '../../protocol/index.ts';
import { type ConnectionEnd, endOf } from '../core/end-reason.ts';
import type { TunnelDependent, TunnelStream } from '../core/tunnel.ts';
import { JOIN_WINDOW, JoinEnd } from './same-node.ts';

/** Writes down what comes; takes data as it is told to. */
class Reader implements TunnelStream {
  readonly events: string[] = [];
  readonly #end: JoinEnd;
  bytes = 0;
  takes = true;

  constructor(end: JoinEnd) {
    this.#end = end;
    end.attach(1, this);
  }

  onTunnelHeaders(headers: readonly (readonly [string, string])[], endStream: boolean): void {
    this.events.push(`headers ${headers[0]?.[1]}${endStream ? ' end' : ''}`);
  }

  onTunnelData(chunk: Uint8Array, endStream: boolean): void {
    this.bytes += chunk.length;
    if (endStream) this.events.push('end');
    if (this.takes) this.#end.consumed(1, chunk.length);
  }

  onTunnelReset(code: number): void {
    this.events.push(`reset ${code}`);
  }

  onTunnelWritable(): void {
    this.events.push('writable');
  }
}

/** What stands on a tunnel. */
class Base {
  readonly dependents = new Set<TunnelDependent>();
  cutOff: ConnectionEnd | undefined;
  depend(dependent: TunnelDependent): void {
    this.dependents.add(dependent);
  }
  undepend(dependent: TunnelDependent): void {
    this.dependents.delete(dependent);
  }
}

function pair(below = [new Base(), new Base()]): { client: JoinEnd; server: JoinEnd; atClient: Reader; atServer: Reader } {
  const client = new JoinEnd(below[0]!);
  const server = new JoinEnd(below[1]!);
  client.connectTo(server);
  return { client, server, atClient: new Reader(client), atServer: new Reader(server) };
}

test('a reader that takes everything never stops its writer', () => {
  const { client, atServer, atClient } = pair();
  const chunk = new Uint8Array(3 * JOIN_WINDOW + 1);
  expect(client.sendData(1, chunk, false)).toBe(chunk.length);
  expect(atServer.bytes).toBe(chunk.length);
  expect(atClient.events).toEqual([]);
});

test('a reader that takes nothing holds its writer at the window, and only that direction', () => {
  const { client, server, atServer, atClient } = pair();
  atServer.takes = false;
  const chunk = new Uint8Array(JOIN_WINDOW);
  expect(client.sendData(1, chunk, false)).toBe(JOIN_WINDOW);
  expect(client.sendData(1, chunk, false)).toBe(0);
  expect(server.sendData(1, chunk, false)).toBe(JOIN_WINDOW);
  server.consumed(1, 1);
  expect(atClient.events).toEqual([]);
  server.consumed(1, JOIN_WINDOW / 2);
  expect(atClient.events).toEqual(['writable']);
  expect(client.sendData(1, chunk, false)).toBe(JOIN_WINDOW / 2 + 1);
});

test('a writer waits as soon as anything is kept, and goes on when nothing is', () => {
  const { client, server, atServer } = pair();
  const calls: string[] = [];
  const source = { pause: () => calls.push('pause'), resume: () => calls.push('resume') };
  client.sendData(1, new Uint8Array(10), false);
  expect(client.isCongested).toBe(false);
  atServer.takes = false;
  client.sendData(1, new Uint8Array(10), false);
  expect(client.isCongested).toBe(true);
  client.holdBack(source);
  client.holdBack(source);
  server.consumed(1, 9);
  expect(calls).toEqual(['pause']);
  server.consumed(1, 1);
  expect(calls).toEqual(['pause', 'resume']);
  expect(client.isHoldingBack(source)).toBe(false);
  atServer.takes = false;
  client.sendData(1, new Uint8Array(1), false);
  client.holdBack(source);
  expect(client.forget(source)).toBe(true);
  server.consumed(1, 1);
  expect(calls).toEqual(['pause', 'resume', 'pause']);
});

test('the end goes with the last octet and not before', () => {
  const { client, server, atServer } = pair();
  atServer.takes = false;
  expect(client.sendData(1, new Uint8Array(JOIN_WINDOW + 5), true)).toBe(JOIN_WINDOW);
  expect(atServer.events).toEqual([]);
  server.consumed(1, JOIN_WINDOW);
  expect(client.sendData(1, new Uint8Array(5), true)).toBe(5);
  expect(atServer.events).toEqual(['end']);
  expect(client.sendData(1, new Uint8Array(5), false)).toBe(0);
  expect(atServer.bytes).toBe(JOIN_WINDOW + 5);
});

test('an end without data is one', () => {
  const { client, atServer } = pair();
  client.sendData(1, new Uint8Array(0), true);
  expect(atServer.events).toEqual(['end']);
});

test('a reset reaches the other side once, and nothing after it does', async () => {
  const { client, server, atServer, atClient } = pair();
  client.reset(1, ErrorCode.CANCEL);
  client.reset(1, ErrorCode.CANCEL);
  server.sendHeaders(1, [[':status', '200']], false);
  expect(server.sendData(1, new Uint8Array(1), false)).toBe(0);
  expect(atServer.events).toEqual([]);
  await Promise.resolve();
  expect(atServer.events).toEqual([`reset ${ErrorCode.CANCEL}`]);
  expect(atClient.events).toEqual([]);
});

test('a reset that answers what ends a stream does not reach the side that is ending it', async () => {
  const { client, server, atServer } = pair();
  const onHeaders = () => client.reset(1, ErrorCode.CANCEL);
  client.attach(1, Object.assign(new Reader(client), { onTunnelHeaders: onHeaders }));
  server.sendHeaders(1, [[':status', '503']], true);
  server.detach();
  server.reset(1, ErrorCode.NO_ERROR);
  await Promise.resolve();
  expect(atServer.events).toEqual([]);
});

test('a reset after both have ended well is none', async () => {
  const { client, server, atServer } = pair();
  client.sendData(1, new Uint8Array(0), true);
  server.sendData(1, new Uint8Array(0), true);
  client.reset(1, ErrorCode.CANCEL);
  await Promise.resolve();
  expect(atServer.events).toEqual(['end']);
});

test('an answer without a stream is its headers and an end', () => {
  const { server, atClient } = pair();
  server.sendHeaders(1, [[':status', '503']], true);
  expect(atClient.events).toEqual(['headers 503 end']);
  expect(server.sendData(1, new Uint8Array(1), false)).toBe(0);
});

test('a tunnel is kept while a join stands on it, and its loss ends both sides of the join, with the reason where there is one', () => {
  const below = [new Base(), new Base()];
  const { client, atServer, atClient } = pair(below);
  expect(below.map(({ dependents }) => dependents.size)).toEqual([1, 1]);
  below[0]!.cutOff = endOf('cert-revoked');
  for (const dependent of below[0]!.dependents) dependent.tunnelLost();
  expect([atClient.events, atServer.events]).toEqual([['reset -1'], ['reset -1']]);
  expect(client.cutOff?.reason).toBe('cert-revoked');
  expect(client.sendData(1, new Uint8Array(1), false)).toBe(0);
  expect(below.map(({ dependents }) => dependents.size)).toEqual([0, 0]);
});

test('a join that is over lets go of its tunnel', async () => {
  const below = [new Base(), new Base()];
  const { client, server } = pair(below);
  client.detach();
  client.reset(1, ErrorCode.CANCEL);
  await Promise.resolve();
  expect(below.map(({ dependents }) => dependents.size)).toEqual([0, 0]);
  server.detach();
  expect(below[1]!.dependents.size).toBe(0);
});
