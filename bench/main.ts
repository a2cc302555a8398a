/** `npm run bench -- NAME [options]`: ratios against real peers, in one run. */
import { parseArgs } from 'node:util';
import { runL4 } from './l4.ts';

const USAGE = `Usage: npm run bench -- l4 [--blocks N] [--seconds S] [--only ARM]… [--json] [--publish]

  --blocks N     blocks per arm and workload (default 8)
  --seconds S    length of a block (default 5)
  --only ARM     measure this arm beside direct (repeatable): relay, lateen, envoy-http, envoy-tcp
  --json         print the blocks instead of the report
  --publish      write bench/RESULTS.md and bench/results-l4.json

Example: npm run bench -- l4 --blocks 4 --only lateen --only envoy-http`;

const { values, positionals } = parseArgs({
  args: process.argv.slice(2),
  allowPositionals: true,
  options: {
    blocks: { type: 'string', default: '8' },
    seconds: { type: 'string', default: '5' },
    only: { type: 'string', multiple: true, default: [] },
    json: { type: 'boolean', default: false },
    publish: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});
if (values.help) {
  console.log(USAGE);
  process.exit(0);
}
if (positionals[0] !== 'l4' || !(Number(values.blocks) >= 1) || !(Number(values.seconds) >= 1)) {
  console.error(USAGE);
  process.exit(2);
}
process.exit(
  await runL4({
    blocks: Number(values.blocks),
    seconds: Number(values.seconds),
    only: values.only,
    json: values.json,
    publish: values.publish,
  }),
);
