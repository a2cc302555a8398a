import { afterAll, expect, test } from 'bun:test';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { type LogQuery, logQuery, readLog } from './container-log.ts';

const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'lateen-log-'));
afterAll(() => fs.rmSync(dir, { recursive: true }));
const all: LogQuery = { follow: false, timestamps: false, tailLines: undefined, limitBytes: undefined, since: undefined };
const signal = new AbortController().signal;
let next = 0;
function fileOf(content: string): string {
  const file = path.join(dir, `${next++}.log`);
  fs.writeFileSync(file, content);
  return file;
}
async function read(file: string, query: Partial<LogQuery>, isOver = () => true): Promise<string> {
  let text = '';
  for await (const chunk of readLog(file, { ...all, ...query }, isOver, signal)) text += new TextDecoder().decode(chunk);
  return text;
}

test('tail counts lines from the end, with or without a last line break', async () => {
  const closed = fileOf('a\nb\nc\n');
  const open = fileOf('a\nb\nc');
  expect(await Promise.all([0, 1, 2, 9].map((tailLines) => read(closed, { tailLines })))).toEqual(['', 'c\n', 'b\nc\n', 'a\nb\nc\n']);
  expect(await Promise.all([0, 1, 2, 9].map((tailLines) => read(open, { tailLines })))).toEqual(['', 'c', 'b\nc', 'a\nb\nc']);
});

test('tail works across the pieces a large file is read in', async () => {
  const lines = Array.from({ length: 30_000 }, (_, index) => `line ${index}`);
  expect(await read(fileOf(`${lines.join('\n')}\n`), { tailLines: 20_000 })).toBe(`${lines.slice(-20_000).join('\n')}\n`);
});

test('a limit in bytes and timestamps are honoured', async () => {
  const file = fileOf('abcdef\nx\n');
  expect(await read(file, { limitBytes: 3 })).toBe('abc');
  for (const line of (await read(file, { timestamps: true })).trimEnd().split('\n'))
    expect(line).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z (abcdef|x)$/);
});

test('following passes on what is written later, survives a cut file, and ends with the container', async () => {
  const file = fileOf('one\n');
  let over = false;
  let seen = '';
  for await (const chunk of readLog(file, { ...all, follow: true }, () => over, signal)) {
    seen += new TextDecoder().decode(chunk);
    if (seen === 'one\n') fs.appendFileSync(file, 'two\nthree\n');
    else if (seen.endsWith('three\n')) fs.writeFileSync(file, 'four\n');
    else if (seen.endsWith('four\n')) over = true;
  }
  expect(seen).toBe('one\ntwo\nthree\nfour\n');
});

test('lines before the wanted time are left out', async () => {
  const file = fileOf('old\n');
  expect(await read(file, { since: Date.now() + 60_000 })).toBe('');
  expect(await read(file, { since: Date.now() - 60_000 })).toBe('old\n');
});

test('the query is read as kubectl sends it, and nonsense is refused', () => {
  expect(logQuery(new URLSearchParams('follow=true&tailLines=5&sinceSeconds=10&timestamps=true'), 20_000)).toEqual({
    follow: true,
    timestamps: true,
    tailLines: 5,
    limitBytes: undefined,
    since: 10_000,
  });
  expect(() => logQuery(new URLSearchParams('tailLines=-1'), 0)).toThrow('tailLines must be a whole number');
});
