import { type DenialReport, type PromiseReport, ROUTED, type StageName, type StageReport, type TransitionReport } from './report.ts';
import { judgeSplit, type SplitReport } from './split.ts';

/** A refusal later than this is a broken promise. */
export const DENIAL_LIMIT_MS = 1_000;
/** Small models miss a sentence now and then; fewer right answers than this mean that something else is wrong. */
const CORRECT_SHARE = 0.8;
/** What examples/pipeline/canary-virtualservice.yaml says. */
const CANARY_SHARES = { v1: 0.8, v2: 0.2 };
/** The version that is asked for in `ab-header` and has everything in `shift-100`. */
export const NEW_VERSION = 'v2';
const OLD_VERSION = 'v1';

type Find = (name: StageName) => StageReport | undefined;

/** What the mesh promises, held against what was measured. */
export const judge = (stages: readonly StageReport[], transitions: readonly TransitionReport[], denial: DenialReport): PromiseReport[] => {
  const stage: Find = (name) => stages.find((one) => one.name === name);
  // Sidecars are there to compare with; what they do is nobody's promise here.
  const ours = stages.filter(({ name }) => name !== 'sidecars');
  return [
    noFailedRequest(ours, transitions),
    ...encryptionPromises(ours, stage),
    ...denialPromises(denial),
    ...routingPromises(stage),
    leftTheMesh(stage('unlabelled')),
    modelsAnswer(ours),
  ];
};

const noFailedRequest = (stages: readonly StageReport[], transitions: readonly TransitionReport[]): PromiseReport => {
  const failed = [...stages, ...transitions].filter(({ errors }) => errors > 0);
  const requests = sum(stages, (one) => one.requests);
  return {
    promise: 'no request of the regular load fails, label flips, policy and routes included',
    kept: stages.length > 0 && requests > 0 && failed.length === 0,
    detail:
      failed.length === 0
        ? `0 errors in ${requests} measured requests and ${transitions.length} transitions`
        : failed.map(({ name, errors }) => `${name}: ${errors}`).join(', '),
  };
};

const encryptionPromises = (stages: readonly StageReport[], stage: Find): PromiseReport[] => {
  const plain = stage('plain');
  const inMesh = stages.filter(({ name }) => name === 'ambient' || ROUTED.includes(name));
  const isComplete = ['ambient' as const, ...ROUTED].every((name) => stage(name) !== undefined);
  const readable = sum(inMesh, ({ wire }) => wire.readable_sentences);
  return [
    {
      promise: 'in ambient every pod-to-pod connection is mutual TLS, through the waypoint as well',
      kept: isComplete && inMesh.every((one) => (one.mtls_connections ?? 0) > 0 && one.plaintext_connections === 0),
      detail: `${sum(inMesh, (one) => one.mtls_connections ?? 0)} mutual TLS, ${sum(inMesh, (one) => one.plaintext_connections ?? 0)} plaintext`,
    },
    {
      promise: 'in ambient nothing readable is on the wire between nodes',
      kept:
        isComplete &&
        inMesh.every(({ wire }) => wire.tls_bytes > 0 && wire.plaintext_bytes === 0 && wire.readable_sentences === 0) &&
        (plain?.wire.readable_sentences ?? 0) > 0,
      detail: `sentences readable in the capture: ${plain?.wire.readable_sentences ?? 0} plain, ${readable} ambient; ${sum(inMesh, ({ wire }) => wire.tls_bytes)} of ${sum(inMesh, ({ wire }) => wire.bytes)} bytes were TLS`,
    },
  ];
};

const denialPromises = (denial: DenialReport): PromiseReport[] => {
  const closed = denial.open_connections_closed_ms;
  return [
    {
      promise: 'a denied caller is refused within a second, open connections included',
      kept:
        denial.first_refusal_ms !== null &&
        denial.first_refusal_ms <= DENIAL_LIMIT_MS &&
        denial.answered_after_a_second === 0 &&
        denial.open_connections_left === 0 &&
        (closed === null || closed <= DENIAL_LIMIT_MS),
      detail: `first refusal after ${ms(denial.first_refusal_ms)}, open connections closed after ${ms(closed)}, ${denial.open_connections_left} left`,
    },
    {
      promise: 'the access log names the policy',
      kept: denial.log_reason !== null,
      detail: denial.log_reason ?? 'no line of it in the access log',
    },
  ];
};

/** How the route of the stage `split-80-20` divided its requests. */
export const splitOf = (stages: readonly StageReport[]): SplitReport =>
  judgeSplit(stages.find(({ name }) => name === 'split-80-20')?.per_version ?? {}, CANARY_SHARES);

const routingPromises = (stage: Find): PromiseReport[] => {
  const routed = ROUTED.flatMap((name) => stage(name) ?? []);
  const split = judgeSplit(stage('split-80-20')?.per_version ?? {}, CANARY_SHARES);
  const header = stage('ab-header');
  const asked = header?.per_version_asked ?? {};
  const others = without(header?.per_version ?? {}, asked);
  const shifted = judgeSplit(stage('shift-100')?.per_version ?? {}, { [NEW_VERSION]: 1 });
  return [
    {
      promise: 'every request to the models goes through the waypoint',
      kept: routed.length === ROUTED.length && routed.every((one) => (one.waypoint_requests ?? 0) >= one.requests),
      detail: `${sum(routed, (one) => one.waypoint_requests ?? 0)} requests counted there, ${sum(routed, (one) => one.requests)} of the load and the rest of the second caller`,
    },
    {
      promise: 'a route of 80 to 20 divides the requests 80 to 20',
      kept: split.within_limit,
      detail: `${countsText(split.per_version)} of ${split.requests}, ${split.deviation_sigma ?? 'far more than 4.5'} standard deviations off (limit ${split.limit_sigma})`,
    },
    {
      promise: `who asks for ${NEW_VERSION} by header gets it, everyone else ${OLD_VERSION}`,
      kept: judgeSplit(asked, { [NEW_VERSION]: 1 }).within_limit && judgeSplit(others, { [OLD_VERSION]: 1 }).within_limit,
      detail: `asked: ${countsText(asked)}; others: ${countsText(others)}`,
    },
    {
      promise: `after the shift every request is answered by ${NEW_VERSION}`,
      kept: shifted.within_limit,
      detail: countsText(shifted.per_version),
    },
  ];
};

const leftTheMesh = (unlabelled: StageReport | undefined): PromiseReport => ({
  promise: 'without the labels no connection goes through the mesh',
  kept: unlabelled !== undefined && unlabelled.mtls_connections === 0 && unlabelled.requests > 0,
  detail: `${unlabelled?.mtls_connections ?? 0} mutual TLS connections after the labels were removed`,
});

const modelsAnswer = (stages: readonly StageReport[]): PromiseReport => {
  const requests = sum(stages, (one) => one.requests);
  const correct = sum(stages, (one) => one.correct);
  return {
    promise: 'the models answer',
    kept: requests > 0 && correct / requests >= CORRECT_SHARE,
    detail: `${correct} of ${requests} sentences named correctly`,
  };
};

const sum = <T>(items: readonly T[], value: (item: T) => number): number => items.reduce((total, item) => total + value(item), 0);

const without = (all: Readonly<Record<string, number>>, part: Readonly<Record<string, number>>): Record<string, number> =>
  Object.fromEntries(
    Object.entries(all)
      .map(([version, count]) => [version, count - (part[version] ?? 0)] as const)
      .filter(([, count]) => count > 0),
  );

const countsText = (perVersion: Readonly<Record<string, number>>): string =>
  Object.entries(perVersion)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([version, count]) => `${version} ${count}`)
    .join(', ') || 'none';

const ms = (value: number | null | undefined): string => (value === null || value === undefined ? '–' : `${Math.round(value)} ms`);
