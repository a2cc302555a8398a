/** `npm run bench -- NAME [options]`: ratios against real peers, in one run. */
import { parseArgs } from 'node:util';
import { runL4 } from './l4.ts';
import { runWaypointBench } from './waypoint.ts';

const USAGE = `Usage: npm run bench -- l4|waypoint [--blocks N] [--seconds S] [--only ARM]… [--workload NAME]… [--json] [--publish] [--report]

  --blocks N     blocks per arm and workload (default 8)
  --seconds S    length of a block (default 5)
  --only ARM     measure this arm beside direct (repeatable): relay, lateen, envoy-http, envoy-tcp, ztunnel;
                 waypoint: lateen, ztunnel+envoy, lateen+envoy, envoy-http. Arms with real ztunnels need ZTUNNEL_BIN
  --workload NAME  waypoint: measure this workload (repeatable): closed, rate-250, rate-500, rate-1000, rate-500-4, chain, sse, grpc-unary, grpc-stream, routes
  --json         print the blocks instead of the report
  --publish      write bench/RESULTS.md and bench/results-l4.json; waypoint: RESULTS-waypoint.md and results-waypoint.json, where workloads that
                 were not measured keep their last figures
  --report       waypoint: write RESULTS-waypoint.md again from results-waypoint.json, without measuring

Example: npm run bench -- l4 --blocks 4 --only lateen --only envoy-http`;

const { values, positionals } = parseArgs({
  args: process.argv.slice(2),
  allowPositionals: true,
  options: {
    blocks: { type: 'string', default: '8' },
    seconds: { type: 'string', default: '5' },
    only: { type: 'string', multiple: true, default: [] },
    workload: { type: 'string', multiple: true, default: [] },
    json: { type: 'boolean', default: false },
    publish: { type: 'boolean', default: false },
    report: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});
if (values.help) {
  console.log(USAGE);
  process.exit(0);
}
const benches = { l4: runL4, waypoint: runWaypointBench };
const bench = benches[positionals[0] as keyof typeof benches];
if (bench === undefined || !(Number(values.blocks) >= 1) || !(Number(values.seconds) >= 1)) {
  console.error(USAGE);
  process.exit(2);
}
process.exit(
  await bench({
    blocks: Number(values.blocks),
    seconds: Number(values.seconds),
    only: values.only,
    workload: values.workload,
    json: values.json,
    publish: values.publish,
    report: values.report,
  }),
);
