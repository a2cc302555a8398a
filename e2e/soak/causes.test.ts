import { expect, test } from 'bun:test';
import { Causes, GRACE_MS } from './causes.ts';

const injected = () => {
  const causes = new Causes();
  const cause = causes.begin('pod-removal', ['10.1.2.3:'], /drained|reset/, 1_000);
  return { causes, cause };
};

test('an error of the pod that was removed, while it was, is explained', () => {
  const { causes, cause } = injected();
  causes.report('log', 'dst=10.1.2.3:8080 connection drained', 2_000);
  cause.until = 3_000;
  causes.report('client', '10.1.2.3:8080 reset', 3_000 + GRACE_MS);
  expect(causes.unexplainedCount).toBe(0);
  expect(causes.explained).toEqual({ 'pod-removal (log)': 1, 'pod-removal (client)': 1 });
});

test.each([
  ['before it', 'dst=10.1.2.3:8080 connection drained', 999],
  ['too long after it', 'dst=10.1.2.3:8080 connection drained', 3_001 + GRACE_MS],
  ['of another pod', 'dst=10.1.2.30:8080 connection drained', 2_000],
  ['of another kind', 'dst=10.1.2.3:8080 tls error: bad record', 2_000],
])('an error %s is not', (_, text, at) => {
  const { causes, cause } = injected();
  cause.until = 3_000;
  causes.report('log', text, at);
  expect(causes.unexplained).toEqual([{ at, where: 'log', text }]);
});
