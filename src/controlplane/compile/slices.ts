/** EndpointSlices in, the workloads of endpoints that are no pods out. */
import { type EndpointSlice, type Service as KubeService, objectKey } from '../../platform/kubernetes/index.ts';
import { type CompileEach, ListedWorkloads, type Resources } from './resources.ts';
import type { CompileContext } from './service.ts';
import { NamespacedTable } from './table.ts';
import { compileSlice } from './workload.ts';

const SERVICE_NAME_LABEL = 'kubernetes.io/service-name';

export class SliceCompiler {
  readonly #context: CompileContext;
  readonly #services: NamespacedTable<KubeService>;
  readonly #slices = new NamespacedTable<EndpointSlice>();
  readonly #workloads = new ListedWorkloads();
  readonly #dirty = new Set<string>();

  constructor(context: CompileContext, services: NamespacedTable<KubeService>) {
    this.#context = context;
    this.#services = services;
  }

  get isDirty(): boolean {
    return this.#dirty.size > 0;
  }

  set(key: string, slice: EndpointSlice | undefined): void {
    this.#slices.set(key, slice);
    this.#dirty.add(key);
  }

  serviceChanged(namespace: string, name: string): void {
    for (const slice of this.#slices.in(namespace))
      if (slice.metadata.labels?.[SERVICE_NAME_LABEL] === name) this.#dirty.add(objectKey(slice));
  }

  flush(into: Resources, each: CompileEach): void {
    each(this.#dirty, 'EndpointSlice', (key) => this.#compile(key, into));
  }

  #compile(key: string, into: Resources): void {
    const slice = this.#slices.get(key);
    const serviceName = slice?.metadata.labels?.[SERVICE_NAME_LABEL];
    const service = serviceName === undefined ? undefined : this.#services.get(`${key.slice(0, key.indexOf('/'))}/${serviceName}`);
    this.#workloads.replace(key, slice === undefined ? [] : compileSlice(slice, service, this.#context), into);
  }
}
