/** Workloads of this node that use tunnels get their certificates in advance, and lose them when the last of them leaves. */
import { formatIdentity, type MeshRegistry, type Workload, workloadIdentity } from '../../mesh/index.ts';
import type { CertificateSource } from '../core/certificate-source.ts';

export class OwnIdentities {
  readonly #registry: MeshRegistry;
  readonly #certificates: CertificateSource;
  readonly #nodeName: string;

  constructor(registry: MeshRegistry, certificates: CertificateSource, nodeName: string) {
    this.#registry = registry;
    this.#certificates = certificates;
    this.#nodeName = nodeName;
  }

  start(): void {
    for (const workload of this.#registry.allWorkloads()) this.#prefetch(workload);
    this.#registry.onChange(({ workloads }) => this.#changed(workloads));
  }

  /** Identities of workloads of this node. */
  needed(): Set<string> {
    const mine = this.#registry.allWorkloads().filter((workload) => this.#isMine(workload));
    return new Set(mine.map((workload) => formatIdentity(workloadIdentity(workload))));
  }

  #changed(uids: ReadonlySet<string>): void {
    let mayForget = false;
    for (const uid of uids) {
      const workload = this.#registry.workload(uid);
      if (workload === undefined || !this.#isMine(workload)) mayForget = true;
      else this.#prefetch(workload);
    }
    if (!mayForget) return;
    const needed = this.needed();
    for (const identity of [...this.#certificates.identities()]) if (!needed.has(identity)) this.#certificates.forget(identity);
  }

  #isMine(workload: Workload): boolean {
    return this.#nodeName !== '' && workload.node === this.#nodeName && (workload.tunnelProtocol === 'HBONE' || workload.nativeTunnel);
  }

  #prefetch(workload: Workload): void {
    if (this.#isMine(workload)) this.#certificates.prefetch(formatIdentity(workloadIdentity(workload)));
  }
}
