import { forwardPort, type KubeClient, type LocalForward } from '../../platform/kubernetes/index.ts';
import { CliError } from '../exit.ts';
import type { PodView } from '../pods/choose.ts';

const ANSWER_LIMIT_MS = 5_000;
const ATTEMPTS = 3;

/** HTTP to one port inside a pod over one forward that stays open: polling costs no new tunnel. */
export class PodHttp {
  readonly #client: KubeClient;
  readonly #pod: PodView;
  readonly #port: number;
  readonly #forward: LocalForward;
  #failure: Error | undefined;

  constructor(client: KubeClient, pod: PodView, port: number) {
    this.#client = client;
    this.#pod = pod;
    this.#port = port;
    this.#forward = forwardPort(
      this.#client,
      { namespace: pod.metadata?.namespace ?? '', pod: pod.metadata?.name ?? '', port },
      {
        onError: (error) => {
          this.#failure = error;
        },
      },
    );
  }

  /** A POST is made once; anything else is asked again when a kept connection broke. */
  async text(path: string, method: 'GET' | 'POST' = 'GET', limitMs: number = ANSWER_LIMIT_MS): Promise<string> {
    const attempts = method === 'GET' ? ATTEMPTS : 1;
    for (let attempt = 1; ; attempt++) {
      try {
        const response = await fetch(`http://127.0.0.1:${this.#forward.port}${path}`, { method, signal: AbortSignal.timeout(limitMs) });
        const text = await response.text();
        if (!response.ok) throw new CliError(`${this.#name} ${path} answered ${response.status}: ${text.slice(0, 200)}`);
        return text;
      } catch (error) {
        // A kept connection may just have been closed by the other side: asking again opens a new one.
        if (attempt < attempts && !(error instanceof CliError)) continue;
        if (error instanceof CliError) throw error;
        throw new CliError(`${this.#name}${path} cannot be reached: ${(this.#failure ?? (error as Error)).message}`);
      }
    }
  }

  async json<T>(path: string): Promise<T> {
    return JSON.parse(await this.text(path)) as T;
  }

  async post<T>(path: string, limitMs: number = ANSWER_LIMIT_MS): Promise<T> {
    return JSON.parse(await this.text(path, 'POST', limitMs)) as T;
  }

  close(): void {
    this.#forward.close();
  }

  get #name(): string {
    return `pod ${this.#pod.metadata?.namespace}/${this.#pod.metadata?.name} port ${this.#port}`;
  }
}
