import type { KubeClient } from '../../platform/kubernetes/index.ts';
import { CliError, EXIT } from '../exit.ts';
import { podsMatching } from '../pods/choose.ts';
import { PodHttp } from './pod-http.ts';

/** What the pipeline's load generator reports about a span of time. */
export interface Window {
  readonly requests: number;
  readonly pending: number;
  readonly errors: number;
  readonly p50_ms: number | null;
  readonly p90_ms: number | null;
  readonly p99_ms: number | null;
  readonly errorsByCode: Readonly<Record<string, number>>;
  readonly correct: number;
  readonly perVersion: Readonly<Record<string, number>>;
  /** Of the requests that asked for a version. */
  readonly perVersionAsked: Readonly<Record<string, number>>;
  readonly firstErrorAt: number | null;
  readonly firstErrorSeenAt: number | null;
  readonly lastSuccessAt: number | null;
}

const CONTROL_PORT = 9090;
/** Requests have a deadline of two seconds; after this none can be waiting. */
const PENDING_LIMIT_MS = 4_000;
const CHAIN_LIMIT_MS = 60_000;

/** What the generator reports about chains of calls. */
export interface Chain {
  readonly errors: number;
  readonly p50_ms: number | null;
}

/** A load generator pod. */
export class LoadClient {
  readonly #http: PodHttp;
  readonly address: string;

  private constructor(http: PodHttp, address: string) {
    this.#http = http;
    this.address = address;
  }

  static async find(client: KubeClient, namespace: string, app: string): Promise<LoadClient> {
    const pod = (await podsMatching(client, namespace, `app=${app}`)).find(({ status }) => status?.phase === 'Running');
    if (pod === undefined) throw new CliError(`no running pod of ${app} in ${namespace}`, EXIT.notFound, `lateen get pods -n ${namespace}`);
    return new LoadClient(new PodHttp(client, pod, CONTROL_PORT), pod.status?.podIP ?? '');
  }

  /** As it is now; requests without an answer are counted as pending. */
  look(from: number, to: number): Promise<Window> {
    return this.#http.json<Window>(`/window?from=${from}&to=${to}`);
  }

  /** Waits until every request of the window has its answer or its deadline. */
  async window(from: number, to: number): Promise<Window> {
    const end = performance.now() + PENDING_LIMIT_MS;
    for (;;) {
      const found = await this.look(from, to);
      if (found.pending === 0 || performance.now() > end) return found;
      await Bun.sleep(50);
    }
  }

  /** A share of the requests asks for the version from now on; 0 ends that. */
  async ask(version: string, share: number): Promise<void> {
    await this.#http.post(`/ask?version=${version}&share=${share}`);
  }

  async setRate(perSecond: number): Promise<void> {
    await this.#http.post(`/rate?rps=${perSecond}`);
  }

  /** Calls one after another, beside the regular load. */
  chain(calls: number, chains: number): Promise<Chain> {
    return this.#http.post<Chain>(`/chain?calls=${calls}&chains=${chains}`, CHAIN_LIMIT_MS);
  }

  close(): void {
    this.#http.close();
  }
}
