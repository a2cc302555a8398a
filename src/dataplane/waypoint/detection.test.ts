import { expect, test } from 'bun:test';
import { Channel, type ChannelEvents } from './channel.ts';
import { Detection } from './detection.ts';

class Still extends Channel {
  readonly isBackedUp = false;
  write(): void {}
  finish(): void {}
  abort(): void {}
  consumed(): void {}
}

/** What is decided, and what the next reader gets. */
function detect(patience: number) {
  const channel = new Still();
  const heard: string[] = [];
  const decided = Promise.withResolvers<string>();
  const next: ChannelEvents = {
    onChannelData: (chunk) => heard.push(Buffer.from(chunk).toString()),
    onChannelEnd: () => heard.push('end'),
    onChannelDrained() {},
    onChannelClosed: () => heard.push('closed'),
  };
  new Detection(channel, patience, (protocol) => {
    channel.events = next;
    decided.resolve(protocol);
  });
  const say = (text: string): void => channel.events.onChannelData(Buffer.from(text));
  return { channel, heard, decided: decided.promise, say };
}

test('decides on as few octets as it takes and hands them on', async () => {
  const { say, decided, heard } = detect(1000);
  say('GE');
  say('T ');
  expect(heard).toEqual([]);
  say('/ HTTP/1.1\r\n');
  expect(await decided).toBe('http1');
  expect(heard).toEqual(['GET / HTTP/1.1\r\n']);
});

test('hands on what came before it gave up waiting', async () => {
  const { say, decided, heard } = detect(1);
  say('GE');
  expect(await decided).toBe('other');
  expect(heard).toEqual(['GE']);
});

test('takes silence for a client that waits to be spoken to', async () => {
  const { decided, heard } = detect(1);
  expect(await decided).toBe('other');
  expect(heard).toEqual([]);
});

test('passes the end on behind what came before it', async () => {
  const { say, channel, decided, heard } = detect(1000);
  say('PRI');
  channel.events.onChannelEnd();
  expect(await decided).toBe('other');
  expect(heard).toEqual(['PRI', 'end']);
});

test('decides nothing for a channel that is gone', async () => {
  const { channel, heard, decided } = detect(1);
  channel.events.onChannelClosed(false, '');
  expect(await Promise.race([decided, Bun.sleep(20).then(() => 'nothing')])).toBe('nothing');
  expect(heard).toEqual([]);
});
