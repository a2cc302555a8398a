/**
 * Our waypoint beside Envoy as Istio configures it, with the same routes: a corpus of valid, odd and hostile requests through both. They must come to the
 * same, but for what `expected-differences.ts` explains; what is explained there and no longer so is an error, too.
 */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { HTTP1, HTTP2 } from './corpus/index.ts';
import { SCRIPTS } from './corpus/scripts.ts';
import { ENVOY_VERSION, findEnvoy, NO_ENVOY } from './envoy.ts';
import { EXPECTED } from './expected-differences.ts';
import { contrast } from './outcome.ts';
import { Rig } from './rig.ts';

const envoy = findEnvoy();

const explained = EXPECTED.flatMap(({ differences }) => differences);
const expected = new Map(
  explained.flatMap(({ cases, ours, envoy: theirs }) => cases.map((name) => [name, { ours, envoy: theirs }] as const)),
);

describe.skipIf(envoy === undefined)(envoy === undefined ? NO_ENVOY : `beside Envoy ${ENVOY_VERSION}`, () => {
  const rig = new Rig();
  beforeAll(() => rig.start(envoy!, SCRIPTS), 60_000);
  afterAll(() => rig.stop());

  const compare = (name: string, run: () => ReturnType<Rig['run']>): void =>
    test(name, async () => expect(contrast(...(await run()))).toEqual<unknown>(expected.get(name)), 30_000);
  for (const one of HTTP1) compare(one.name, () => rig.run(one));
  for (const one of HTTP2) compare(one.name, () => rig.runHttp2(one));
});

test('every case has a name of its own, and only cases there are have differences', () => {
  const names = [...HTTP1, ...HTTP2].map(({ name }) => name);
  expect(names.filter((name, at) => names.indexOf(name) !== at)).toEqual([]);
  expect([...expected.keys()].filter((name) => !names.includes(name))).toEqual([]);
  const listed = explained.flatMap(({ cases }) => cases);
  expect(listed.filter((name, at) => listed.indexOf(name) !== at)).toEqual([]);
});
