import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test';
import fs from 'node:fs';
import { deleteTracked, inNetworkNamespace, Protocol, runNft, SystemError } from './index.ts';

const NAME = `ct-${process.pid}`;
/** More than one page of the kernel's listing. */
const ENTRIES = 2_000;
setDefaultTimeout(30_000);
let netns: number;

beforeAll(() => {
  expect(Bun.spawnSync(['ip', 'netns', 'add', NAME]).exitCode).toBe(0);
  expect(Bun.spawnSync(['ip', '-n', NAME, 'link', 'set', 'lo', 'up']).exitCode).toBe(0);
  netns = fs.openSync(`/run/netns/${NAME}`, 'r');
});
afterAll(() => {
  fs.closeSync(netns);
  Bun.spawnSync(['ip', 'netns', 'del', NAME]);
});

test('finds nothing where nothing is tracked', async () => {
  expect(await deleteTracked(netns, () => true)).toBe(0);
});

test('deletes the chosen entries of a long table, once, and leaves the others', async () => {
  await runNft(
    'table inet t {\n chain c {\n type filter hook output priority 0;\n ct mark set 0x42\n icmp type destination-unreachable drop\n }\n}\n',
    netns,
  );
  const socket = await inNetworkNamespace(netns, () => Bun.udpSocket({ hostname: '127.0.0.1', socket: { data: () => {} } }));
  for (let port = 10_000; port < 10_000 + ENTRIES; port++) {
    while (!socket.send('x', port, '127.0.0.1')) await Bun.sleep(1);
  }
  socket.close();
  const seen = new Set<number>();
  const even = ({ destinationPort }: { destinationPort: number }) => destinationPort % 2 === 0;
  const deleted = await deleteTracked(netns, (connection) => {
    if (connection.destinationPort >= 10_000) {
      expect(connection).toMatchObject({ protocol: Protocol.UDP, mark: 0x42, zone: 0, isDestinationTranslated: false });
      expect(connection.translatedPort).toBe(connection.destinationPort);
      seen.add(connection.destinationPort);
    }
    return even(connection);
  });
  expect(seen.size).toBe(ENTRIES);
  expect(deleted).toBeGreaterThanOrEqual(ENTRIES / 2);
  const left: number[] = [];
  expect(
    await deleteTracked(netns, ({ destinationPort }) => {
      left.push(destinationPort);
      return false;
    }),
  ).toBe(0);
  expect(left.filter((port) => port >= 10_000).length).toBe(ENTRIES / 2);
  expect(left.some((port) => port >= 10_000 && port % 2 === 0)).toBe(false);
});

test('leaves no descriptor open, also when it fails', async () => {
  const open = () => fs.readdirSync('/proc/self/fd').length;
  const before = open();
  await deleteTracked(netns, () => false);
  await expect(
    deleteTracked(netns, () => {
      throw new Error('no choice');
    }),
  ).rejects.toThrow('no choice');
  const file = fs.openSync('/dev/null', 'r');
  await expect(deleteTracked(file, () => true)).rejects.toBeInstanceOf(SystemError);
  fs.closeSync(file);
  expect(open()).toBe(before);
});
