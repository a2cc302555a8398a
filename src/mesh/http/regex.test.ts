import { describe, expect, test } from 'bun:test';
import fc from 'fast-check';
import { checkRegex, checkRegexSubstitution, compileRegex, literalPrefix, REGEX_LIMITS } from './regex.ts';

const regex = (pattern: string) => {
  const compiled = compileRegex(pattern);
  if (!compiled.ok) throw new Error(compiled.error);
  return compiled.value;
};

test.each([
  ['a|ab', 'ab', true],
  ['/v[0-9]+', '/v12', true],
  ['/v[0-9]+', '/v12/', false],
  ['/v[0-9]+', 'x/v12', false],
  ['', '', true],
  ['(?i)chrome', 'CHROME', true],
])('%p matches the whole value: %p %p', (pattern, value, matches) => expect(regex(pattern).matches(value)).toBe(matches));

test.each([
  ['('],
  ['a**'],
  ['(?=a)'],
  ['(a)\\1'],
  ['a{1001}'],
  ['x'.repeat(REGEX_LIMITS.patternLength + 1)],
  [`(${'[a-z]'.repeat(700)}){20}`],
])('what RE2 does not have, or what is too large, is refused: %#', (pattern) => expect(checkRegex(pattern)).toBeString());

test('a pattern that is catastrophic for backtracking takes time linear in the value', () => {
  const pattern = regex('(a+)+$');
  const started = performance.now();
  expect(pattern.matches(`${'a'.repeat(10_000)}!`)).toBe(false);
  expect(pattern.replaceAll(`${'a'.repeat(10_000)}!`, '')).toEndWith('a!');
  // A backtracking engine needs 2^10000 steps: any bound tells the two apart.
  expect(performance.now() - started).toBeLessThan(5_000);
});

test.each([
  ['/v([0-9]+)/(\\w+)', '/v1/users/v2/x', '/\\2/\\1', '/users/1/x/2'],
  ['b', 'abcb', '\\0\\0', 'abbcbb'],
  ['b', 'abc', '\\\\', 'a\\c'],
  ['x*', 'abc', '-', '-a-b-c-'],
  ['(a)|b', 'ab', '[\\1]', '[a][]'],
  ['z', 'abc', 'y', 'abc'],
  ['abc', 'abc', '', ''],
])('every occurrence of %p in %p becomes %p', (pattern, value, substitution, result) =>
  expect(regex(pattern).replaceAll(value, substitution)).toBe(result),
);

test('a substitution is refused when it names a group that is not there', () => {
  expect(checkRegexSubstitution('(a)', '\\1')).toBeUndefined();
  expect(checkRegexSubstitution('(a)', '\\2')).toBe('substitution names group 2 of a pattern with 1');
  expect(checkRegexSubstitution('(a)', '\\x')).toBeString();
  expect(checkRegexSubstitution('(a)', 'x\\')).toBeString();
});

describe('the literal a pattern begins with', () => {
  test.each([
    ['/api/v1/.*', '/api/v1/'],
    ['^/a\\.b+', '/a.b'],
    ['/ab?c', '/a'],
    ['/a|/b', ''],
    ['/x/(a|b)', '/x/'],
    ['/a\\(b|c\\)', ''],
    ['(?i)/a', ''],
    ['/a\\d', '/a'],
  ])('%p: %p', (pattern, literal) => expect(literalPrefix(pattern)).toBe(literal));

  test('stands before every value that matches', () => {
    const piece = fc.constantFrom('a', 'b', '/', '.', '*', '?', '+', '(', ')', '|', '[ab]', '\\.', '{0,1}', '^', '\\d', '(?i)', '$');
    const value = fc.string({ unit: fc.constantFrom('a', 'b', '/', '.', '1', 'A'), maxLength: 6 });
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 7 }), fc.array(value, { minLength: 20, maxLength: 40 }), (pieces, values) => {
        const compiled = compileRegex(pieces.join(''));
        if (!compiled.ok) return;
        const literal = literalPrefix(pieces.join(''));
        for (const text of values) if (compiled.value.matches(text)) expect(text).toStartWith(literal);
      }),
      { numRuns: 1_000 },
    );
  });
});
