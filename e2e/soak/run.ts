/** One soak run: the mesh, the load, the changes, the samples, and what they add up to. */
import os from 'node:os';
import { echo, type ServerHandle, serve } from '../ztunnel/apps.ts';
import type { TestProxy } from '../ztunnel/lab.ts';
import { Causes } from './causes.ts';
import { Churn } from './churn.ts';
import { judge, MAX_LEFT_DESCRIPTORS, type Verdict } from './judge.ts';
import { LogReader } from './logs.ts';
import { Port, startMesh } from './mesh.ts';
import { Pace } from './pace.ts';
import { useOf } from './processes.ts';
import { forget, serveAll } from './servers.ts';
import { Traffic } from './traffic.ts';

export interface SoakOptions {
  readonly minutes: number;
  /** Share of all processors that load and proxies use together, in percent. */
  readonly cpu: number;
  readonly certificateSeconds: number;
  readonly progress: (line: string) => void;
}

/** One proxy at one moment. */
export interface Sample {
  /** Seconds since the load began. */
  readonly at: number;
  readonly privateMib: number;
  readonly rssMib: number;
  readonly descriptors: number;
  readonly openSockets: number;
  readonly openConnections: number;
}

export interface ProxyResult {
  readonly name: string;
  readonly samples: readonly Sample[];
  /** Before the load, and after all of it has ended. */
  readonly idleBefore: Sample;
  readonly idleAfter: Sample;
  readonly opened: number;
  readonly closed: number;
  readonly faults: number;
  readonly refused: Readonly<Record<string, number>>;
  readonly exitCode: number | null;
  readonly logLines: number;
  readonly cpuSeconds: number;
}

export interface SoakResult {
  readonly minutes: number;
  readonly cpuWanted: number;
  readonly cpuUsed: number;
  /** Longest time this process, clients and servers alike, did nothing. */
  readonly longestStallMs: number;
  readonly certificateSeconds: number;
  readonly machine: string;
  readonly bun: string;
  readonly traffic: Readonly<Record<string, number>>;
  readonly churn: Readonly<Record<string, number>>;
  readonly causes: Readonly<Record<string, number>>;
  readonly explained: Readonly<Record<string, number>>;
  readonly unexplained: readonly { readonly at: number; readonly where: string; readonly text: string }[];
  readonly unexplainedCount: number;
  readonly proxies: readonly ProxyResult[];
  readonly verdicts: readonly Verdict[];
}

const SECOND = 1000;
const STALL_TICK_MS = 20;
/** Clients and servers did nothing for this long: whoever waited for them in vain is not to blame. A proxy may not do so even then but for a limit of time. */
const LONG_STALL_MS = 800;
const TIMEOUT = /no .+ for \d+ ms|no answer in time|timed out|deadline has elapsed/;
const SAMPLE_EVERY_S = 2;
const PROGRESS_EVERY_S = 10;
/** For idle tunnels to be released and descriptors to be closed. */
const SETTLE_LIMIT_MS = 60_000;

/** Values of a metric by their `reason` label (empty without), from the proxy's own port. */
async function scrape(proxy: TestProxy): Promise<Map<string, number>> {
  const curl = ['ip', 'netns', 'exec', proxy.node.namespace, 'curl', '-s', '-m', '10', 'http://127.0.0.1:15020/metrics'];
  const text = await new Response(Bun.spawn(curl, { stdin: 'ignore', stdout: 'pipe', stderr: 'ignore' }).stdout).text();
  const sums = new Map<string, number>();
  for (const line of text.split('\n')) {
    const [, name, labels = '', value] = /^([a-z_]+)(\{.*\})? (\S+)$/.exec(line) ?? [];
    if (name === undefined) continue;
    const key =
      name === 'lateen_refused_total' ? `${name} ${/direction="(\w+)"/.exec(labels)?.[1]} ${/reason="([^"]*)"/.exec(labels)?.[1]}` : name;
    sums.set(key, (sums.get(key) ?? 0) + Number(value));
  }
  if (!sums.has('process_open_fds')) throw new Error(`${proxy.node.name}: no metrics on port 15020: ${text.slice(0, 200)}`);
  return sums;
}

async function sample(proxy: TestProxy, started: number): Promise<Sample> {
  const metrics = await scrape(proxy);
  const use = useOf(proxy.process.pid);
  const of = (name: string): number => metrics.get(name) ?? 0;
  return {
    at: (performance.now() - started) / SECOND,
    privateMib: use.privateKib / 1024,
    rssMib: use.rssKib / 1024,
    descriptors: use.descriptors,
    openSockets: of('istio_tcp_sockets_open'),
    openConnections: of('istio_tcp_connections_opened_total') - of('istio_tcp_connections_closed_total'),
  };
}

/** Waits until nothing is open any more, or long enough. */
async function settled(proxy: TestProxy, started: number, before: Sample): Promise<Sample> {
  const deadline = performance.now() + SETTLE_LIMIT_MS;
  for (;;) {
    const now = await sample(proxy, started);
    const isIdle = now.openConnections === 0 && now.openSockets === 0 && now.descriptors <= before.descriptors + MAX_LEFT_DESCRIPTORS;
    if (isIdle || performance.now() > deadline) return now;
    await Bun.sleep(SECOND);
  }
}

export async function soak(options: SoakOptions): Promise<SoakResult> {
  const causes = new Causes();
  const mesh = await startMesh(options);
  const handles: ServerHandle[] = [...mesh.servers.flatMap(serveAll), serve(mesh.outside, Port.echo, echo())];
  const readers = mesh.proxies.map((proxy) => new LogReader(proxy, causes));
  try {
    await Bun.sleep(2 * SECOND);
    const started = performance.now();
    const before = await Promise.all(mesh.proxies.map((proxy) => sample(proxy, started)));
    const cpuBefore = mesh.proxies.map(({ process }) => useOf(process.pid).cpuMicros);
    const end = new AbortController();
    const pace = new Pace();
    const traffic = new Traffic(mesh, causes, pace, end.signal);
    const churn = new Churn(mesh, causes, end.signal);
    traffic.start();
    churn.start();
    const samples: Sample[][] = mesh.proxies.map(() => []);
    const cpu = new CpuMeter();
    const stalls = new StallMeter((from) => {
      causes.begin('machine-stalled', [''], TIMEOUT, from).until = Date.now();
    });
    let told = 0;
    for (let second = 1; second <= options.minutes * 60; second++) {
      await Bun.sleep(Math.max(0, started + second * SECOND - performance.now()));
      pace.adjust(cpu.tick(), options.cpu / 100);
      for (const reader of readers) reader.read();
      causes.tidy();
      forget(handles);
      mesh.nameserver.take();
      if (second % SAMPLE_EVERY_S === 0) {
        const now = await Promise.all(mesh.proxies.map((proxy) => sample(proxy, started)));
        for (const [i, each] of now.entries()) samples[i]!.push(each);
      }
      if (second % PROGRESS_EVERY_S === 0) options.progress(progressLine(second, cpu.average, pace.rate, samples, traffic, causes));
      for (const { where, text } of causes.unexplained.slice(told)) options.progress(`${second} s: without a cause, ${where}: ${text}`);
      told = causes.unexplained.length;
      if (mesh.proxies.some(({ process }) => process.exitCode !== null)) break;
    }
    const cpuUsed = cpu.average;
    const longestStallMs = stalls.stop();
    end.abort();
    pace.stop();
    await Promise.all([traffic.finished(), churn.finished()]);
    const after = await Promise.all(mesh.proxies.map((proxy, i) => settled(proxy, started, before[i]!)));
    const results: ProxyResult[] = [];
    for (const [i, proxy] of mesh.proxies.entries()) {
      const idleAfter = after[i]!;
      readers[i]!.read();
      const metrics = await scrape(proxy);
      const of = (name: string): number => metrics.get(name) ?? 0;
      const REFUSED = 'lateen_refused_total ';
      results.push({
        name: proxy.node.name,
        samples: samples[i]!,
        idleBefore: before[i]!,
        idleAfter,
        opened: of('istio_tcp_connections_opened_total'),
        closed: of('istio_tcp_connections_closed_total'),
        faults: of('lateen_connection_faults_total'),
        refused: Object.fromEntries(
          [...metrics].filter(([key]) => key.startsWith(REFUSED)).map(([key, value]) => [key.slice(REFUSED.length), value]),
        ),
        exitCode: proxy.process.exitCode,
        logLines: readers[i]!.lines,
        cpuSeconds: (useOf(proxy.process.pid).cpuMicros - cpuBefore[i]!) / 1e6,
      });
    }
    const result: SoakResult = {
      minutes: options.minutes,
      cpuWanted: options.cpu,
      cpuUsed: 100 * cpuUsed,
      longestStallMs,
      certificateSeconds: options.certificateSeconds,
      machine: `${os.cpus()[0]?.model ?? 'unknown'}, ${os.cpus().length} cores, Linux ${os.release()}`,
      bun: Bun.version,
      traffic: traffic.done,
      churn: churn.done,
      causes: causes.injected,
      explained: causes.explained,
      unexplained: causes.unexplained,
      unexplainedCount: causes.unexplainedCount,
      proxies: results,
      verdicts: [],
    };
    return { ...result, verdicts: judge(result) };
  } finally {
    for (const handle of handles) handle.close();
    mesh.nameserver.close();
    mesh.lab.stop();
  }
}

/** How long the event loop was held up at most. */
class StallMeter {
  #last = performance.now();
  #longest = 0;
  readonly #timer: ReturnType<typeof setInterval>;

  /** `onStall` is told when a long one began, in milliseconds since the epoch. */
  constructor(onStall: (from: number) => void) {
    this.#timer = setInterval(() => {
      const now = performance.now();
      const stall = now - this.#last - STALL_TICK_MS;
      this.#longest = Math.max(this.#longest, stall);
      if (stall > LONG_STALL_MS) onStall(Date.now() - stall);
      this.#last = now;
    }, STALL_TICK_MS);
  }

  stop(): number {
    clearInterval(this.#timer);
    return this.#longest;
  }
}

/** Share of all processors used by this process and its children. */
class CpuMeter {
  readonly #cores = os.cpus().length;
  readonly #start = { at: performance.now(), used: useOf(process.pid).cpuMicros };
  #last = this.#start;
  average = 0;

  /** Since the last call; children that ended are lost, so it is a lower bound. */
  tick(): number {
    const now = { at: performance.now(), used: useOf(process.pid).cpuMicros };
    const share = (from: typeof now): number => Math.max(0, now.used - from.used) / ((now.at - from.at) * 1000 * this.#cores);
    const recent = share(this.#last);
    this.average = share(this.#start);
    this.#last = now;
    return recent;
  }
}

const progressLine = (
  second: number,
  cpu: number,
  rate: number,
  samples: readonly (readonly Sample[])[],
  traffic: Traffic,
  causes: Causes,
): string => {
  const last = samples.map((each) => each.at(-1));
  const memory = last.map((each) => `${each?.privateMib.toFixed(1)} MiB/${each?.descriptors} fds/${each?.openConnections} open`).join(', ');
  const explained = Object.values(causes.explained).reduce((sum, n) => sum + n, 0);
  return `${second} s: cpu ${(100 * cpu).toFixed(0)} %, pace ${rate.toFixed(0)}/s, ${traffic.done.request} requests, ${traffic.done.connection} connections; ${memory}; errors: ${explained} explained, ${causes.unexplainedCount} not`;
};
