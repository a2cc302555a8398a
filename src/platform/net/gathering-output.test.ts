import { expect, test } from 'bun:test';
import type { Socket } from 'bun';
import { GatheringOutput, MAX_CONTROL_BYTES, OUTPUT_HIGH_WATER } from './gathering-output.ts';
import { MAX_QUEUED_BYTES } from './writer.ts';

const HEAD = new Uint8Array(9);
const MIB = 1024 * 1024;

/** A kernel that takes so many octets and then no more. */
function kernel(room: number) {
  let taken = 0;
  const socket = {
    write: (bytes: Uint8Array): number => {
      const count = Math.min(bytes.length, room - taken);
      taken += count;
      return count;
    },
  } as unknown as Socket<unknown>;
  return {
    socket,
    taken: () => taken,
    open: (more: number) => {
      room += more;
    },
  };
}

function full() {
  let overflows = 0;
  const peer = kernel(0);
  const output = new GatheringOutput(() => overflows++);
  output.attach(peer.socket);
  output.writeData(HEAD, new Uint8Array(16_384));
  return { peer, output, overflows: () => overflows };
}

test('small frames beyond the limit, while the peer takes nothing, end the connection once', async () => {
  const { output, overflows } = full();
  const ping = new Uint8Array(17);
  const few = Math.floor(MAX_CONTROL_BYTES / ping.length);
  for (let i = 0; i < few; i++) output.write(ping);
  await Promise.resolve();
  expect(overflows()).toBe(0);
  for (let i = 0; i < 100; i++) output.write(ping);
  // Not within the call: whoever writes is in the middle of using the connection.
  expect(overflows()).toBe(0);
  await Promise.resolve();
  expect(overflows()).toBe(1);
});

test('a peer that takes everything now and then may be sent any number of small frames', async () => {
  const { peer, output, overflows } = full();
  const acknowledgement = new Uint8Array(1024);
  for (let round = 0; round < 5; round++) {
    for (let i = 0; i < 1000; i++) output.write(acknowledgement);
    peer.open(MIB);
    output.drain();
    expect(output.queued).toBe(0);
    output.writeData(HEAD, new Uint8Array(16_384));
  }
  await Promise.resolve();
  expect(overflows()).toBe(0);
});

test('payload holds its source back long before the limit for all octets, which ends the connection', async () => {
  const { output, overflows } = full();
  const source = {
    isPaused: false,
    pause() {
      this.isPaused = true;
    },
    resume() {
      this.isPaused = false;
    },
  };
  expect(output.isCongested).toBe(false);
  while (!output.isCongested) output.writeData(HEAD, new Uint8Array(65_536));
  expect(output.queued).toBeLessThanOrEqual(OUTPUT_HIGH_WATER + 65_536 + HEAD.length);
  output.holdBack(source);
  expect(source.isPaused).toBe(true);
  while (output.queued <= MAX_QUEUED_BYTES) output.writeData(HEAD, new Uint8Array(MIB));
  await Promise.resolve();
  expect(overflows()).toBe(1);
  output.discard();
  expect([source.isPaused, output.queued]).toEqual([false, 0]);
});
