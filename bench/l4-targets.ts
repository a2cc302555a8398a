/** The budgets of the node proxy, and whether a measurement meets them: generated, so that no one can round a miss away. */
import { compare, type Pick, ratioBy, ratioOfAdded, type Target } from './compare.ts';
import type { L4Result } from './l4-result.ts';

type Find = (id: string) => L4Result | undefined;
type Bound = readonly ['least' | 'most', number];

const RPS: Pick = (block) => block.rps;
const CPU: Pick = (block) => block.cpuPerRequest;
const WHOLE: Pick = (block) => block.wholeKib ?? Number.NaN;
const QUANTILES = [
  ['P50', (block) => block.p50],
  ['P90', (block) => block.p90],
  ['P99', (block) => block.p99],
] as const satisfies readonly (readonly [string, Pick])[];

const text = ([side, bound]: Bound) => `${side === 'least' ? 'at least' : 'at most'} ${bound.toFixed(2)}×`;

export function l4Targets(find: Find): readonly Target[] {
  const of = (id: string, peer: string, what: string, bound: Bound, ratio: Parameters<typeof compare>[4]) =>
    compare(find(id), ['lateen', peer], `${what}, ${text(bound)} ${peer}`, bound, ratio);
  const added = (id: string, peer: string, bounds: readonly [number, number, number]) =>
    QUANTILES.map(([name, pick], index) =>
      of(id, peer, `added ${name} at ${find(id)?.name ?? id}`, ['most', bounds[index]!], ratioOfAdded(pick)),
    );
  return [
    of('closed-64', 'ztunnel', 'requests/s, 64 connections', ['least', 1.8], ratioBy(RPS)),
    of('closed-64', 'ztunnel', 'CPU per request, 64 connections', ['most', 0.6], ratioBy(CPU)),
    ...added('rate-1000-64', 'ztunnel', [0.9, 0.9, 1]),
    ...added('rate-1000-4', 'ztunnel', [0.9, 0.9, 1]),
    ...added('rate-1000-64', 'envoy-http', [0.4, 0.26, 0.23]),
    ...added('rate-1000-4', 'envoy-http', [0.4, 0.26, 0.23]),
    of('fresh', 'ztunnel', 'new connections/s', ['least', 1.6], ratioBy(RPS)),
    of('download', 'ztunnel', 'one bulk stream, download', ['least', 1.1], ratioBy(RPS)),
    of('upload', 'ztunnel', 'one bulk stream, upload', ['least', 1.1], ratioBy(RPS)),
    of('rate-1000-64', 'envoy-http', 'CPU per request at 1000 rps, 64 connections', ['most', 0.4], ratioBy(CPU)),
    of('rate-1000-4', 'envoy-http', 'CPU per request at 1000 rps, 4 connections', ['most', 0.4], ratioBy(CPU)),
    of('node', 'envoy-http', 'memory of a node with 15 pods, under load', ['most', 0.1], ratioBy(WHOLE)),
    of('same-closed', 'ztunnel', 'same node, joined: requests/s', ['least', 1.6], ratioBy(RPS)),
    of('same-download', 'ztunnel', 'same node, joined: one bulk stream', ['least', 2.5], ratioBy(RPS)),
  ];
}
