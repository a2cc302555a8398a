import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { ROUTES } from './corpus/routes.ts';
import { findEnvoy } from './envoy.ts';
import { Rig } from './rig.ts';

const envoy = findEnvoy();
const rig = new Rig();
describe.skipIf(envoy === undefined)('x', () => {
  beforeAll(() => rig.start(envoy!, {}));
  afterAll(() => rig.stop());
  for (const one of ROUTES)
    test(one.name, async () => {
      const [ours, theirs] = await rig.run(one);
      console.log(ours.join('\n'));
      expect(ours).toEqual(theirs);
    });
});
