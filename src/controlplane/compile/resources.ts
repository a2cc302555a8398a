/** What a compilation puts out: resources by name. */
import { encodeService, encodeWorkload, type Service, serviceAliases, type Workload, workloadAliases } from '../wire.ts';
import type { NewResource } from '../xds/store.ts';
import type { CompiledKind } from './kinds.ts';

/** Undefined: gone. */
export type Resources = Map<string, NewResource | undefined>;

/** Compiles what is marked, by key, and unmarks it. */
export type CompileEach = (marked: Set<string>, kind: CompiledKind, compile: (key: string) => void) => void;

export const serviceResource = (service: Service): NewResource => ({ value: encodeService(service), aliases: serviceAliases(service) });

export const workloadResource = (workload: Workload): NewResource => ({
  value: encodeWorkload(workload),
  aliases: workloadAliases(workload),
  links: [...workload.services.keys()],
});

/** The workloads of objects that make several. */
export class ListedWorkloads {
  /** Object key → uids. */
  readonly #uids = new Map<string, readonly string[]>();

  /** An object's workloads now; those it had and has no more are gone. */
  replace(key: string, workloads: readonly Workload[], into: Resources): void {
    for (const uid of this.#uids.get(key) ?? []) into.set(uid, undefined);
    for (const workload of workloads) into.set(workload.uid, workloadResource(workload));
    if (workloads.length === 0) this.#uids.delete(key);
    else
      this.#uids.set(
        key,
        workloads.map(({ uid }) => uid),
      );
  }
}
