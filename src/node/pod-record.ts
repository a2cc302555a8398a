/** What the agent knows about one pod of its node, and the lock that keeps its steps in order. */
import { closeDescriptor } from '../platform/linux/index.ts';
import type { FoundNamespace } from './netns-finder.ts';
import type { PodView } from './pod-view.ts';

export class PodRecord {
  pod: PodView;
  wanted = false;
  /** The pod object has gone: nothing is left to annotate. */
  isDeleted = false;
  /** The pod's network namespace is being taken down (plugin event); a new one is announced by a new event. */
  sandboxGone = false;
  netns: FoundNamespace | undefined;
  /** Handed to the proxy: part of every snapshot until it is taken back. */
  served = false;
  /** The latest proxy acknowledged it. */
  acked = false;
  /** Marker of the rules known to be in force; `''`: known to have none; `undefined`: not looked yet. */
  rules: string | undefined;
  failures = 0;
  retry: ReturnType<typeof setTimeout> | undefined;
  /** Ends a wait for connections when the pod is wanted again. */
  draining: AbortController | undefined;
  dirty = false;
  busy = false;
  #tail: Promise<unknown> = Promise.resolve();

  constructor(pod: PodView) {
    this.pod = pod;
  }

  /** Runs steps of one pod one after the other. */
  exclusive<T>(step: () => Promise<T>): Promise<T> {
    const run = this.#tail.then(step);
    this.#tail = run.catch(() => {}); // the caller of this step has the error
    return run;
  }

  adopt(netns: FoundNamespace): void {
    if (this.netns && this.netns.inode === netns.inode) {
      closeDescriptor(netns.fd);
      return;
    }
    this.forget();
    this.netns = netns;
  }

  /** Lets go of the namespace and of what is known about it. */
  forget(): void {
    if (this.netns) closeDescriptor(this.netns.fd);
    this.netns = undefined;
    this.rules = undefined;
    this.acked = false;
  }
}
