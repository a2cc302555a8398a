/** The report of the pipeline's load generator, and how to ask a pod for it. */
import { eventually } from './cluster.ts';
import { isReady, type MeshCluster } from './mesh-cluster.ts';

export interface Window {
  readonly requests: number;
  readonly pending: number;
  readonly errors: number;
  readonly errorsByCode: Readonly<Record<string, number>>;
  readonly firstErrorAt: number | null;
  readonly firstErrorSeenAt: number | null;
  readonly lastSuccessAt: number | null;
}

const CONTROL_PORT = 9090;

export class Load {
  readonly #cluster: MeshCluster;
  readonly #pod: string;

  private constructor(cluster: MeshCluster, pod: string) {
    this.#cluster = cluster;
    this.#pod = pod;
  }

  static async find(cluster: MeshCluster, app: string): Promise<Load> {
    const pod = await eventually(`a ready pod of ${app}`, 60, async () => (await cluster.pods(`app=${app}`, 'ai-clients')).find(isReady));
    return new Load(cluster, pod.metadata?.name ?? '');
  }

  /** Requests that should have started in [from, to), each answered or past its deadline. */
  window(from: number, to: number): Promise<Window> {
    return eventually('answers to every request', 30, async () => {
      const found = JSON.parse(await this.#cluster.fetch('ai-clients', this.#pod, CONTROL_PORT, `/window?from=${from}&to=${to}`)) as Window;
      return found.pending === 0 ? found : undefined;
    });
  }
}
