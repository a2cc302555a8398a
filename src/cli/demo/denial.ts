import { type KubeClient, streamLogs } from '../../platform/kubernetes/index.ts';
import { fetchDumps } from '../mesh/config-dump.ts';
import type { PodView } from '../pods/choose.ts';
import type { LoadClient } from './load-client.ts';
import { DENY_POLICY } from './pipeline.ts';
import { DENIAL_LIMIT_MS } from './promises.ts';
import type { DenialReport } from './report.ts';

/** One line of a node proxy's access log, as far as the demo reads it. */
export interface AccessLine {
  /** Epoch ms at which the connection ended. */
  readonly at: number;
  readonly durationMs: number;
  readonly direction: string;
  readonly sourceNamespace: string;
  readonly sourceIdentity: string;
  readonly error: string | undefined;
}

const FIELD = /([\w.]+)=(?:"((?:[^"\\]|\\.)*)"|(\S+))/g;

/** Reads the plain and the JSON layout; a line that is no access log entry is undefined. */
export const parseAccessLine = (line: string): AccessLine | undefined => {
  if (line.startsWith('{')) {
    try {
      const entry = JSON.parse(line) as Record<string, unknown>;
      return entry['scope'] === 'access' ? accessLine(String(entry['time']), entry) : undefined;
    } catch {
      return undefined; // cut off, or another program's
    }
  }
  const [time, , target, message] = line.split('\t');
  if (target !== 'access' || message === undefined) return undefined;
  const fields: Record<string, string> = {};
  for (const [, key, quoted, bare] of line.matchAll(FIELD)) fields[key!] = quoted ?? bare ?? '';
  return accessLine(time!, fields);
};

const accessLine = (time: string, fields: Readonly<Record<string, unknown>>): AccessLine => ({
  at: Date.parse(time),
  durationMs: Number(/^(\d+)/.exec(String(fields['duration'] ?? '0'))?.[1] ?? 0),
  direction: String(fields['direction'] ?? ''),
  sourceNamespace: String(fields['src.namespace'] ?? ''),
  sourceIdentity: String(fields['src.identity'] ?? ''),
  error: fields['error'] === undefined ? undefined : String(fields['error']),
});

/** Polls until the denied caller meets its first refusal; returns when it was seen, in epoch ms. */
export const untilRefused = async (intruder: LoadClient, from: number, limitMs: number): Promise<number | null> => {
  const end = performance.now() + limitMs;
  while (performance.now() < end) {
    const { firstErrorSeenAt } = await intruder.look(from, Number.MAX_SAFE_INTEGER);
    if (firstErrorSeenAt !== null) return firstErrorSeenAt;
    await Bun.sleep(25);
  }
  return null;
};

/** What the denial did, from the caller's records, the proxies' access logs and their open connections. */
export const reportDenial = async (
  client: KubeClient,
  proxies: readonly PodView[],
  intruder: LoadClient,
  createdAt: number,
  until: number,
  refusedAt: number | null,
): Promise<DenialReport> => {
  const [late, all, lines, dumps] = await Promise.all([
    intruder.window(createdAt + DENIAL_LIMIT_MS, until),
    intruder.window(createdAt, until),
    accessLines(client, proxies),
    fetchDumps(client, proxies),
  ]);
  const ofIntruder = lines.filter((line) => line.sourceIdentity.endsWith('/sa/intruder') && line.at >= createdAt && line.at <= until);
  // Open when the policy came, ended by it: they began before and carry an error.
  const cut = ofIntruder.filter((line) => line.error !== undefined && line.at - line.durationMs < createdAt);
  const reason = ofIntruder.find(({ error }) => error?.includes(`${DENY_POLICY.namespace}/${DENY_POLICY.name}`) === true)?.error;
  const left = dumps
    .flatMap(({ dump }) => Object.values(dump.workloadState ?? {}).flatMap((state) => state.connections?.inbound ?? []))
    .filter(({ src }) => src.startsWith(`${intruder.address}:`)).length;
  return {
    first_refusal_ms: refusedAt === null ? null : Math.max(0, Math.round(refusedAt - createdAt)),
    open_connections_closed_ms: cut.length === 0 ? null : Math.max(0, Math.round(Math.max(...cut.map(({ at }) => at)) - createdAt)),
    open_connections_left: left,
    answered_after_a_second: late.requests - late.errors - late.pending,
    refused: all.errors,
    log_reason: reason ?? null,
  };
};

const accessLines = async (client: KubeClient, proxies: readonly PodView[]): Promise<AccessLine[]> => {
  const texts = await Promise.all(
    proxies.map(async ({ metadata }) =>
      new Response(await streamLogs(client, { namespace: metadata?.namespace ?? '', pod: metadata?.name ?? '', sinceSeconds: 120 })).text(),
    ),
  );
  return texts.flatMap((text) => text.split('\n').map(parseAccessLine)).filter((line) => line !== undefined);
};
