/** `npm run bench -- NAME [options]`: ratios against real peers, in one run. */
import { parseArgs } from 'node:util';
import { runL4 } from './l4.ts';
import { runWaypointBench } from './waypoint.ts';

const USAGE = `Usage: npm run bench -- l4|waypoint [--blocks N] [--seconds S] [--only ARM]… [--workload NAME]… [--json] [--publish] [--report]

  --blocks N     blocks per arm and workload (default: l4 5, waypoint 8)
  --seconds S    length of a block (default: l4 3, waypoint 5)
  --only ARM     measure this arm beside direct (repeatable)
                 l4: relay, lateen, lateen-tunnel (same node), ztunnel, envoy-http, envoy-tcp
                 waypoint: lateen, ztunnel+envoy, lateen+envoy, envoy-http. Arms with real ztunnels need ZTUNNEL_BIN
  --workload NAME  measure this workload, or for l4 this family of workloads (repeatable)
                 l4: pair (closed-64, closed-4, rate-1000-64, rate-1000-4, rate-500-64, rate-500-4, rate-250-64, rate-250-4, fresh, chain, download, upload),
                 workers (workers-rate-1000, workers-closed), same-node (same-closed, same-rate-1000, same-fresh, same-download), idle, node
                 waypoint: closed, rate-250, rate-500, rate-1000, rate-500-4, chain, sse, grpc-unary, grpc-stream, routes
  --json         print the blocks instead of the report
  --publish      l4: write RESULTS.md and results-l4.json in bench; waypoint: RESULTS-waypoint.md and results-waypoint.json. Workloads that were not
                 measured keep their last figures, so a run can be split
  --report       write the report again from its JSON file, without measuring

With the defaults and a real ztunnel a whole run of l4 takes about 35 minutes. Example: npm run bench -- l4 --workload closed-64 --only lateen --only envoy-http`;

const { values, positionals } = parseArgs({
  args: process.argv.slice(2),
  allowPositionals: true,
  options: {
    blocks: { type: 'string' },
    seconds: { type: 'string' },
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
const benches = {
  l4: { run: runL4, blocks: 5, seconds: 3 },
  waypoint: { run: runWaypointBench, blocks: 8, seconds: 5 },
};
const bench = benches[positionals[0] as keyof typeof benches];
const blocks = Number(values.blocks ?? bench?.blocks);
const seconds = Number(values.seconds ?? bench?.seconds);
if (bench === undefined || !(blocks >= 1) || !(seconds >= 1)) {
  console.error(USAGE);
  process.exit(2);
}
process.exit(
  await bench.run({
    blocks,
    seconds,
    only: values.only,
    workload: values.workload,
    json: values.json,
    publish: values.publish,
    report: values.report,
  }),
);
