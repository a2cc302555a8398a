import { expect, test } from 'bun:test';
import fc from 'fast-check';
import { stringify } from 'yaml';
import { Refusal } from './errors.ts';
import { difference, type FieldSet, fieldsOf, intersection, isEmptySet, union } from './field-set.ts';
import { clone, equal, isObject } from './json.ts';
import { jsonPatch, mergePatch } from './patches.ts';
import { decodeProtobuf } from './protobuf.ts';
import { parseBody, parseJson, parseYaml } from './request.ts';
import { parseFieldSelector, parseLabelSelector } from './selectors.ts';
import { strategicMerge } from './strategic-merge.ts';
import { check, prune, type StructuralSchema } from './structural.ts';

/** Runs a parser: it answers, or refuses with a 4xx; anything else is a bug. */
function refusesCleanly(run: () => unknown): void {
  try {
    run();
  } catch (error) {
    expect(error).toBeInstanceOf(Refusal);
    expect((error as Refusal).status.code).toBeWithin(400, 500);
  }
}

const json = fc.jsonValue({ maxDepth: 4 }).map((value) => JSON.parse(JSON.stringify(value).replaceAll('__proto__', 'proto')) as unknown);
const jsonObject = fc.dictionary(fc.stringMatching(/^[a-z]{1,4}$/), json, { maxKeys: 5 }).map((value) => ({ ...value }));
const label = fc.stringMatching(/^[a-z]([a-z0-9-]{0,8}[a-z0-9])?$/);

test('garbage bodies are refused and never throw anything else', () => {
  fc.assert(fc.property(fc.string({ unit: 'binary' }), (text) => refusesCleanly(() => parseJson(text))));
  fc.assert(fc.property(fc.string({ unit: 'binary' }), (text) => refusesCleanly(() => parseYaml(text))));
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => refusesCleanly(() => parseBody(Buffer.from(bytes), 'application/yaml'))),
  );
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) =>
      refusesCleanly(() =>
        decodeProtobuf(
          Buffer.concat([
            Buffer.from('k8s\0\n\x0f\n\x02v1\x12\x09Namespace\x12', 'latin1'),
            Buffer.from([bytes.length]),
            Buffer.from(bytes),
          ]),
        ),
      ),
    ),
  );
});

test('YAML and JSON of the same value parse to the same value', () => {
  fc.assert(fc.property(jsonObject, (value) => expect(parseYaml(stringify(value))).toEqual(parseJson(JSON.stringify(value)))));
});

test('a body nested too deeply is refused before anything walks it', () => {
  expect(() => parseJson(`${'['.repeat(50_000)}${']'.repeat(50_000)}`)).toThrow('nested deeper');
});

test('YAML aliases cannot expand without bound', () => {
  const bomb = [
    'a: &a [x,x,x,x,x,x,x,x,x]',
    ...'bcdefgh'.split('').map((name, index) => `${name}: &${name} [${Array(9).fill(`*${'abcdefg'[index]}`).join(',')}]`),
  ].join('\n');
  expect(() => parseYaml(bomb)).toThrow(Refusal);
});

test('any text is a selector or a clean 400', () => {
  const text = fc.oneof(fc.string(), fc.stringMatching(/^[a-z!=<>(), in]{0,20}$/));
  fc.assert(fc.property(text, (value) => refusesCleanly(() => parseLabelSelector(value))));
  fc.assert(fc.property(text, (value) => refusesCleanly(() => parseFieldSelector(value, 'pods'))));
});

test('a label selector means what Kubernetes says it means', () => {
  const labels = fc.dictionary(label, label, { maxKeys: 4 });
  fc.assert(
    fc.property(labels, label, label, label, (owned, key, one, two) => {
      const object = { metadata: { labels: { ...owned } } };
      const has = Object.hasOwn(object.metadata.labels, key);
      const value = object.metadata.labels[key];
      const matches = (selector: string) => parseLabelSelector(selector)!(object);
      expect(matches(key)).toBe(has);
      expect(matches(`!${key}`)).toBe(!has);
      expect(matches(`${key}=${one}`)).toBe(value === one);
      expect(matches(`${key}!=${one}`)).toBe(value !== one);
      expect(matches(`${key} in (${one}, ${two})`)).toBe(has && (value === one || value === two));
      expect(matches(`${key} notin (${one},${two})`)).toBe(!(has && (value === one || value === two)));
      expect(matches(`${key},${key}=${one}`)).toBe(value === one);
    }),
  );
});

test('a merge patch of the difference gives the target, and never changes its inputs', () => {
  fc.assert(
    fc.property(jsonObject, jsonObject, (target, patch) => {
      const before = clone(target);
      const result = mergePatch(target, patch);
      expect(target).toEqual(before);
      expect(mergePatch(result, patch)).toEqual(result);
      refusesCleanly(() => strategicMerge(target, patch, undefined));
      expect(target).toEqual(before);
    }),
  );
});

test('any list of operations is applied or refused, and the document stays as it was', () => {
  const pointer = fc
    .array(fc.oneof(label, fc.constantFrom('0', '1', '-', '')), { maxLength: 3 })
    .map((parts) => parts.map((part) => `/${part}`).join(''));
  const operation = fc.record(
    { op: fc.constantFrom('add', 'remove', 'replace', 'move', 'copy', 'test', 'no'), path: pointer, from: pointer, value: json },
    { requiredKeys: ['op', 'path'] },
  );
  fc.assert(
    fc.property(jsonObject, fc.array(operation, { maxLength: 4 }), (document, operations) => {
      const before = clone(document);
      refusesCleanly(() => jsonPatch(document, operations));
      expect(document).toEqual(before);
    }),
  );
});

test('field sets obey the laws of sets', () => {
  const schema: StructuralSchema = { type: 'object', additionalProperties: { 'x-kubernetes-preserve-unknown-fields': true } };
  const set = jsonObject.map((value): FieldSet => fieldsOf(value, schema));
  fc.assert(
    fc.property(set, set, (a, b) => {
      expect(isEmptySet(difference(a, a))).toBe(true);
      expect(equal(union(a, a), a)).toBe(true);
      expect(equal(intersection(a, a), a)).toBe(true);
      expect(isEmptySet(difference(a, union(a, b)))).toBe(true);
      expect(isEmptySet(intersection(difference(a, b), b))).toBe(true);
    }),
  );
});

test('pruning leaves only what the schema knows, and checking never throws', () => {
  const schema: StructuralSchema = {
    type: 'object',
    properties: {
      a: { type: 'string', minLength: 1 },
      b: { type: 'integer' },
      c: { type: 'array', items: { type: 'object', properties: { a: { type: 'boolean' } } } },
    },
  };
  fc.assert(
    fc.property(json, (value) => {
      const pruned = clone(value);
      prune(pruned, schema);
      if (isObject(pruned)) expect(Object.keys(pruned).every((key) => ['a', 'b', 'c'].includes(key))).toBe(true);
      check(pruned, schema);
      expect(prune(clone(pruned), schema)).toEqual([]);
    }),
  );
});
