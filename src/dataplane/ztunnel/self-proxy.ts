/**
 * The node proxy as a workload of its own (ambient contract 1.1): port 15008 in its own namespace, so that its metrics can be scraped through a tunnel and
 * policies decide by whom. Only where the control plane says that it takes tunnels; nothing is redirected to it.
 */
import type { Workload } from '../../mesh/index.ts';
import type { WorkloadInfo } from './config.ts';
import type { ProxyContext } from './context.ts';
import { PodProxy } from './pod-proxy.ts';

export class SelfProxy {
  readonly #context: ProxyContext;
  readonly #info: WorkloadInfo;
  #proxy: PodProxy | undefined;
  #isRefused = false;

  constructor(context: ProxyContext, info: WorkloadInfo) {
    // No rules of this namespace bring answers back that are sent to another's address.
    this.#context = { ...context, config: { ...context.config, originalSource: false } };
    this.#info = info;
  }

  /** undefined while there are no tunnels to itself. */
  get proxy(): PodProxy | undefined {
    return this.#proxy;
  }

  /** To be called whenever the mesh has changed. Once it listens it goes on. */
  listen(): void {
    if (this.#proxy === undefined && !this.#isRefused && takesTunnels(this.#itself())) this.#start();
  }

  #itself(): Workload | undefined {
    const { registry, config } = this.#context;
    const { name, namespace, serviceAccount } = this.#info;
    return registry.workloadByInfo(name, namespace, serviceAccount, config.clusterId);
  }

  #start(): void {
    const { log } = this.#context;
    const proxy = new PodProxy(this.#context, this.#info, undefined);
    try {
      proxy.startTunnels();
      this.#proxy = proxy;
      log.info('takes tunnels to itself', { pod: `${this.#info.namespace}/${this.#info.name}` });
    } catch (error) {
      // Pods are worth more than the operator's tunnel: they are served without it.
      this.#isRefused = true;
      log.warn('takes no tunnels to itself', { error: (error as Error).message });
    }
  }
}

const takesTunnels = (workload: Workload | undefined): boolean =>
  workload !== undefined && (workload.tunnelProtocol === 'HBONE' || workload.nativeTunnel);
