/** `npm run soak`: a long run of mixed load with everything changing; exit code 1 when anything has no explanation. */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { soakReport } from './report.ts';
import { soak } from './run.ts';

const USAGE = `Usage: npm run soak -- [--minutes N] [--cpu PERCENT] [--certificate-seconds S] [--output DIRECTORY] [--publish]

  --minutes N              length of the load (default 60)
  --cpu PERCENT            share of all processors that load and proxies use together (default 50)
  --certificate-seconds S  lifetime of certificates (default 60): they are renewed at half of it
  --output DIRECTORY       where report.md and result.json go (default: a new directory in the system's temporary one)
  --publish                also write bench/RESULTS-soak.md and bench/results-soak.json

Needs root: the networks are real. Exit code 0: no error without a cause, flat memory, nothing left open; 1: not so; 2: wrong usage.`;

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '60' },
    cpu: { type: 'string', default: '50' },
    'certificate-seconds': { type: 'string', default: '60' },
    output: { type: 'string' },
    publish: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});
const minutes = Number(values.minutes);
const cpu = Number(values.cpu);
const certificateSeconds = Number(values['certificate-seconds']);
if (values.help || !(minutes > 0) || !(cpu > 0 && cpu <= 100) || !(certificateSeconds >= 10)) {
  console.error(USAGE);
  process.exit(values.help ? 0 : 2);
}
const result = await soak({ minutes, cpu, certificateSeconds, progress: (line) => console.error(line) });
const report = soakReport(result);
// Samples are for machines: one line each.
const json = `${JSON.stringify(result, (key, value) => (key === 'samples' ? value.map((each: object) => Object.values(each).map((n) => Math.round(n * 10) / 10)) : value), 1)}\n`;
const output = values.output ?? fs.mkdtempSync(path.join(os.tmpdir(), 'lateen-soak-'));
fs.mkdirSync(output, { recursive: true });
fs.writeFileSync(path.join(output, 'report.md'), report);
fs.writeFileSync(path.join(output, 'result.json'), json);
if (values.publish) {
  const bench = path.resolve(import.meta.dir, '../../bench');
  fs.writeFileSync(path.join(bench, 'RESULTS-soak.md'), report);
  fs.writeFileSync(path.join(bench, 'results-soak.json'), json);
}
console.log(report);
console.error(`report: ${output}/report.md, samples: ${output}/result.json`);
process.exit(result.verdicts.every(({ passed }) => passed) ? 0 : 1);
