/** `npm run check`: format, lint, types, import direction, dead exports, unit tests. Side by side where they do not compete; prints what failed, in full. */
const bin = (name: string) => `node_modules/.bin/${name}`;

interface Step {
  readonly name: string;
  readonly command: readonly string[];
}

const steps: readonly Step[] = [
  { name: 'format and lint', command: [bin('biome'), 'check', '--error-on-warnings', '.'] },
  { name: 'types', command: [bin('tsc'), '--noEmit', '-p', '.'] },
  { name: 'import direction', command: [bin('depcruise'), 'src', '--output-type', 'err'] },
  { name: 'dead exports', command: [bin('knip'), '--no-progress', '--no-config-hints'] },
  { name: 'unit tests', command: [bin('bun'), 'test', './src', './examples', './bench', './fuzz'] },
];

async function run(step: Step): Promise<boolean> {
  const started = performance.now();
  const child = Bun.spawn([...step.command], { stdin: 'ignore', stdout: 'pipe', stderr: 'pipe' });
  const [out, err, code] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text(), child.exited]);
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  console.error(`${code === 0 ? 'ok  ' : 'FAIL'} ${step.name} (${seconds} s)`);
  if (code !== 0) console.error(`${out}${err}`.trimEnd());
  return code === 0;
}

const wanted = process.argv.slice(2);
const chosen = wanted.length === 0 ? steps : steps.filter((step) => wanted.some((word) => step.name.includes(word)));
if (chosen.length === 0) {
  console.error(`check: no step is called '${wanted.join(' ')}'. Steps: ${steps.map((step) => step.name).join(', ')}`);
  process.exit(2);
}
const results: boolean[] = [];
for (const step of chosen) results.push(await run(step));
process.exit(results.every(Boolean) ? 0 : 1);
