/** Requests of the corpus, damaged: where a reader goes wrong is mostly one octet away from where it does not. */
import fc from 'fast-check';

/** What parsers stumble over. */
const PIECES = [
  '\r',
  '\n',
  '\r\n',
  '\r\n\r\n',
  '\n\n',
  '\0',
  ' ',
  '\t',
  ':',
  ';',
  ',',
  '"',
  '\\',
  '/',
  '?',
  '#',
  '%',
  '%00',
  '%2e',
  '..',
  '@',
  '[',
  '*',
  '0',
  '5',
  'f',
  '-',
  '+',
  '\x0b',
  '\x7f',
  '\x80',
  '\xff',
  'HTTP/1.1',
  'HTTP/1.0',
  'GET ',
  'chunked',
  'identity',
  'close',
  'upgrade',
  'Host: evil\r\n',
  'Content-Length: 5\r\n',
  'Content-Length: 0\r\n',
  'Transfer-Encoding: chunked\r\n',
  'Transfer-Encoding: identity\r\n',
  'Connection: close\r\n',
  'Connection: x-a\r\n',
  'Expect: 100-continue\r\n',
  'TE: trailers\r\n',
  'X-A: b\r\n',
  ' folded\r\n',
  '0\r\n\r\n',
  '5\r\nhello\r\n',
  'http://app.test',
] as const;

type Mutation = (text: string) => string;

const place = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });
const at = (text: string, where: number): number => Math.floor(where * text.length);

const octet = fc.integer({ min: 0, max: 255 }).map((code) => String.fromCharCode(code));
const piece = fc.oneof({ weight: 3, arbitrary: fc.constantFrom(...PIECES) }, octet);

const insertion = fc.record({ where: place, what: piece }).map(
  ({ where, what }): Mutation =>
    (text) => {
      const index = at(text, where);
      return text.slice(0, index) + what + text.slice(index);
    },
);
const replacement = fc.record({ where: place, what: piece }).map(
  ({ where, what }): Mutation =>
    (text) => {
      const index = at(text, where);
      return text.slice(0, index) + what + text.slice(index + 1);
    },
);
const deletion = fc.record({ where: place, length: fc.integer({ min: 1, max: 6 }) }).map(
  ({ where, length }): Mutation =>
    (text) => {
      const index = at(text, where);
      return text.slice(0, index) + text.slice(index + length);
    },
);
/** Lines, so that fields come twice, late, or in front of the request line. */
const onLines = (change: (lines: string[], where: number, other: number) => void) =>
  fc.record({ where: place, other: place }).map(
    ({ where, other }): Mutation =>
      (text) => {
        const lines = text.split('\r\n');
        change(lines, Math.floor(where * lines.length), Math.floor(other * lines.length));
        return lines.join('\r\n');
      },
  );
const doubling = onLines((lines, where, other) => lines.splice(other, 0, lines[where] ?? ''));
const moving = onLines((lines, where, other) => lines.splice(other, 0, ...lines.splice(where, 1)));
const newLine = fc.record({ where: place, what: fc.constantFrom(...PIECES.filter((one) => one.includes(': '))) }).map(
  ({ where, what }): Mutation =>
    (text) => {
      const lines = text.split('\r\n');
      lines.splice(1 + Math.floor(where * (lines.length - 1)), 0, what.trimEnd());
      return lines.join('\r\n');
    },
);

/** One text of `texts` with one to three mutations. */
export const mutated = (texts: readonly string[]): fc.Arbitrary<string> =>
  fc
    .record({
      text: fc.constantFrom(...texts),
      mutations: fc.array(fc.oneof(insertion, replacement, deletion, doubling, moving, newLine), { minLength: 1, maxLength: 3 }),
    })
    .map(({ text, mutations }) => mutations.reduce((sofar, mutation) => mutation(sofar), text));

type Field = readonly [name: string, value: string];

const fieldMutation = fc
  .record({
    kind: fc.constantFrom('name', 'value', 'value', 'double', 'move', 'drop', 'add'),
    where: place,
    other: place,
    what: piece,
    field: fc.constantFrom<Field>(
      ['content-length', '5'],
      ['content-length', '0'],
      ['transfer-encoding', 'chunked'],
      ['host', 'app.test'],
      ['te', 'trailers'],
      ['connection', 'close'],
      ['cookie', 'a=b'],
      [':path', '/evil'],
      [':protocol', 'x'],
      ['expect', '100-continue'],
    ),
  })
  .map(({ kind, where, other, what, field }) => (fields: readonly Field[]): readonly Field[] => {
    const index = Math.floor(where * fields.length);
    const [name, value] = fields[index] ?? field;
    const spliced = (text: string): string => text.slice(0, at(text, other)) + what + text.slice(at(text, other));
    switch (kind) {
      case 'name':
        return fields.with(index, [spliced(name), value]);
      case 'value':
        return fields.with(index, [name, spliced(value)]);
      case 'double':
        return fields.toSpliced(Math.floor(other * fields.length), 0, [name, value]);
      case 'move':
        return fields.toSpliced(index, 1).toSpliced(Math.floor(other * fields.length), 0, [name, value]);
      case 'drop':
        return fields.toSpliced(index, 1);
      default:
        return fields.toSpliced(Math.floor(other * (fields.length + 1)), 0, field);
    }
  });

/** A list of HTTP/2 fields, with one to three mutations. */
export const mutatedFields = (fields: readonly Field[]): fc.Arbitrary<readonly Field[]> =>
  fc
    .array(fieldMutation, { minLength: 1, maxLength: 3 })
    .map((mutations) => mutations.reduce((sofar, mutation) => (sofar.length === 0 ? sofar : mutation(sofar)), fields));
