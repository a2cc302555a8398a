/** The applications of the soak's servers, one behaviour per port. */
import type { Peer, ServerHandle } from '../ztunnel/apps.ts';
import { echo, serve } from '../ztunnel/apps.ts';
import type { Pod } from '../ztunnel/network.ts';
import { Port } from './mesh.ts';

/** What all payloads are made of. */
export const BLOCK = Buffer.from(Array.from({ length: 1024 }, (_, i) => (i * 31 + (i >> 3)) & 0xff));

/** Whether `chunk`, which begins `position` bytes into endlessly repeated blocks, is what was sent. */
export function isIntact(chunk: Uint8Array, position: number): boolean {
  for (let at = 0; at < chunk.length; ) {
    const from = (position + at) % BLOCK.length;
    const length = Math.min(BLOCK.length - from, chunk.length - at);
    if (BLOCK.compare(chunk, at, at + length, from, from + length) !== 0) return false;
    at += length;
  }
  return true;
}

const LARGE = Buffer.concat(Array.from({ length: 64 }, () => BLOCK));

/** `count` blocks, written whole: back-pressure is the proxies' business and this end's kernel's. */
export function sendBlocks(peer: Peer, count: number): void {
  for (let left = count; left > 0; left -= 64) peer.send(left >= 64 ? LARGE : LARGE.subarray(0, left * BLOCK.length));
}

/** The client sends a line with a number of blocks, and gets them. */
const source = (peer: Peer): void => {
  let line = '';
  peer.handle = (chunk) => {
    line += chunk.toString('latin1');
    if (!line.endsWith('\n')) return;
    sendBlocks(peer, Number(line));
    peer.finish();
  };
};

/** Counts until the client has finished, then says how much it was and whether it was intact. */
const sink = (peer: Peer): void => {
  let received = 0;
  let intact = true;
  peer.handle = (chunk) => {
    intact &&= isIntact(chunk, received);
    received += chunk.length;
  };
  void peer.ended.promise.then(() => {
    if (peer.isClosed) return;
    peer.send(`${received} ${intact}`);
    peer.finish();
  });
};

/** Opens all ports of a server pod. */
export function serveAll(pod: Pod): ServerHandle[] {
  const echoes = [Port.echo, Port.denied, Port.toggled].map((port) => serve(pod, port, echo()));
  return [...echoes, serve(pod, Port.source, source), serve(pod, Port.sink, sink)];
}

/** What handles remember of their connections would grow with the run. */
export function forget(handles: readonly ServerHandle[]): void {
  for (const { peers, sources } of handles) {
    peers.length = 0;
    sources.length = 0;
  }
}
