import type { Service as KubeService, Pod } from '../../platform/kubernetes/index.ts';
import type { MeshServices } from '../plan/services.ts';
import type { WaypointBinding } from '../wire.ts';
import { type CompileContext, selectsPod } from './service.ts';
import type { NamespacedTable } from './table.ts';
import { isInMesh, uidOfPod } from './workload.ts';

/** What the mesh compiler holds, for the compiler of plans to read. */
export class MeshView implements MeshServices {
  readonly rootNamespace: string;
  readonly clusterDomain: string;
  readonly #context: CompileContext;
  readonly #services: NamespacedTable<KubeService>;
  readonly #pods: NamespacedTable<Pod>;
  readonly #bindings: ReadonlyMap<string, WaypointBinding>;

  constructor(
    context: CompileContext,
    services: NamespacedTable<KubeService>,
    pods: NamespacedTable<Pod>,
    bindings: ReadonlyMap<string, WaypointBinding>,
  ) {
    this.rootNamespace = context.rootNamespace;
    this.clusterDomain = context.clusterDomain;
    this.#context = context;
    this.#services = services;
    this.#pods = pods;
    this.#bindings = bindings;
  }

  service(namespace: string, name: string): KubeService | undefined {
    const service = this.#services.get(`${namespace}/${name}`);
    return service?.spec?.type === 'ExternalName' ? undefined : service;
  }
  *services(): IterableIterator<KubeService> {
    for (const service of this.#services.all()) if (service.spec?.type !== 'ExternalName') yield service;
  }
  binding(key: string): WaypointBinding | undefined {
    return this.#bindings.get(key);
  }
  membersOf(service: KubeService): { readonly uid: string; readonly labels?: Readonly<Record<string, string>> }[] {
    const members: { readonly uid: string; readonly labels?: Readonly<Record<string, string>> }[] = [];
    for (const pod of this.#pods.in(service.metadata.namespace ?? '')) {
      const { labels } = pod.metadata;
      if (selectsPod(service, labels) && isInMesh(pod))
        members.push({ uid: uidOfPod(pod, this.#context), ...(labels !== undefined && { labels }) });
    }
    return members;
  }
}
