import { note, print, style } from '../output.ts';
import { chainLine, comparisonTable } from './comparison.ts';
import type { Progress } from './progress.ts';
import { type DemoReport, type StageReport, stageTable } from './report.ts';

/** A line per step and per stage on standard error. */
export const lineProgress = (): Progress => {
  const started = performance.now();
  const time = () => style.dim(`${((performance.now() - started) / 1000).toFixed(1).padStart(6)} s`);
  return {
    step: (text) => note(`${time()}  ${text}`),
    stage: (report) => note(`${time()}  ${style.bold(stageLine(report))}`),
  };
};

const stageLine = (stage: StageReport): string => {
  const { name, requests, errors, p50_ms, p99_ms, mtls_connections, plaintext_connections, wire } = stage;
  const share = wire.bytes === 0 ? 0 : Math.round((100 * wire.tls_bytes) / wire.bytes);
  const versions = Object.entries(stage.per_version)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([version, count]) => `${version} ${count}`);
  return [
    `${name.padEnd(11)} ${requests} requests (${versions.join(', ')}), ${errors} errors`,
    `p50 ${p50_ms} ms, p99 ${p99_ms} ms`,
    ...(mtls_connections === null ? [] : [`${mtls_connections} mutual TLS and ${plaintext_connections} plaintext connections`]),
    `${share} % of the bytes between nodes TLS`,
    `${wire.readable_sentences} readable sentences`,
  ].join(', ');
};

export const showReport = (report: DemoReport): void => {
  print('');
  print(stageTable(report.stages));
  print('');
  print(comparisonTable(report.comparison));
  const chain = chainLine(report.comparison);
  if (chain !== undefined) print(chain);
  if (report.sidecars_left_out !== undefined) print(`No row for sidecars: ${report.sidecars_left_out}`);
  print('');
  for (const { promise, kept, detail } of report.promises)
    print(`${kept ? style.green('kept  ') : style.red('BROKEN')}  ${promise}: ${detail}`);
  print('');
};

export const showNextSteps = (): void => {
  note(`The namespaces are in the mesh again and the load goes on. ${style.bold('Try next')}, in another terminal:

  kubectl get pods -A -o wide                                  # or: bin/lateen get pods -A -o wide
  bin/lateen ztunnel-config workload                           # who is in the mesh: protocol HBONE
  bin/lateen ztunnel-config connections --workload-namespace ai-inference
  bin/lateen logs -f -l app=ztunnel -n istio-system            # one line per connection, with both identities
  kubectl apply -f examples/pipeline/deny-intruder.yaml        # refuse one caller by identity
  bin/lateen logs deploy/intruder -n ai-clients
  bin/lateen waypoint apply -n ai-inference --enroll-namespace --wait   # layer 7 for the models …
  bin/lateen apply -f examples/pipeline/canary-httproute.yaml  # … and a canary: 80 to 20
  bin/lateen waypoint routes inference-api -n ai-inference
  kubectl label namespace ai-inference istio.io/dataplane-mode-   # out again, under load
  bin/lateen status

${style.bold('Ctrl-C')} ends this view; the cluster stays up. ${style.bold('bin/lateen down')} ends the cluster and leaves nothing behind.`);
};
