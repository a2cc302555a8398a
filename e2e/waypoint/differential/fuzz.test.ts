/**
 * Damaged requests through both proxies: they must agree on which are requests, and on what these say. Ours may refuse more, for the reasons the table of
 * expected differences gives; what it takes and Envoy refuses is a finding. `LATEEN_FUZZ_RUNS` says how many (default 300), `LATEEN_FUZZ_SEED` which.
 */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import fc from 'fast-check';
import type { Case } from './case.ts';
import { disagreement, disagreementOfHttp2 } from './classes.ts';
import { HTTP1 } from './corpus/index.ts';
import { SCRIPTS } from './corpus/scripts.ts';
import { ENVOY_VERSION, findEnvoy, NO_ENVOY } from './envoy.ts';
import { data, type Fields, headers } from './http2-frames.ts';
import { mutated, mutatedFields } from './mutate.ts';
import { Rig } from './rig.ts';

const RUNS = Number(process.env['LATEEN_FUZZ_RUNS'] ?? 300);
const SEED = Number(process.env['LATEEN_FUZZ_SEED'] ?? 4);

/** Requests worth damaging: short, in one piece, and not about what backends say or do later. */
const texts = HTTP1.filter(
  ({ name, send }) => !/^(response|flow|upgrade|action: (timeout|retry))/.test(name) && send.every((part) => typeof part === 'string'),
)
  .map(({ send }) => send.join(''))
  .filter(({ length }) => length > 0 && length < 2000);

const caseOf = (octets: string): Case => ({
  name: 'fuzz',
  send: [octets],
  responses: 0,
  methods: [/^(HEAD|CONNECT) /.exec(octets)?.[1] ?? 'GET'],
  ends: false,
  // Behind everything else: its answer says that all before it was dealt with.
  probes: true,
  arrivals: 0,
  patience: 700,
});

/** A POST with most that a request may have. */
const FIELDS: Fields = [
  [':method', 'POST'],
  [':scheme', 'http'],
  [':authority', 'app.test'],
  [':path', '/seg/a?b=c'],
  ['content-type', 'text/plain'],
  ['x-a', 'b'],
];

const envoy = findEnvoy();
describe.skipIf(envoy === undefined)(envoy === undefined ? NO_ENVOY : `damaged requests beside Envoy ${ENVOY_VERSION}`, () => {
  const rig = new Rig();
  beforeAll(() => rig.start(envoy!, SCRIPTS), 60_000);
  afterAll(() => rig.stop());

  test(
    `${RUNS} of seed ${SEED}`,
    () =>
      fc.assert(
        fc.asyncProperty(mutated(texts), async (octets) => {
          const [ours, envoy] = await rig.run(caseOf(octets));
          expect(disagreement(octets, ours, envoy)).toBeUndefined();
        }),
        { numRuns: RUNS, seed: SEED, interruptAfterTimeLimit: RUNS * 1000, markInterruptAsFailure: true },
      ),
    RUNS * 2000,
  );

  test(
    `${RUNS} of seed ${SEED} in HTTP/2`,
    () =>
      fc.assert(
        fc.asyncProperty(mutatedFields(FIELDS), async (fields) => {
          const [ours, envoy] = await rig.runHttp2({ name: 'fuzz', send: headers(1, fields, false) + data(1, 'hello', true) });
          expect(disagreementOfHttp2(ours, envoy)).toBeUndefined();
        }),
        { numRuns: RUNS, seed: SEED, interruptAfterTimeLimit: RUNS * 1000, markInterruptAsFailure: true },
      ),
    RUNS * 2000,
  );
});
