/** The parts of Kubernetes objects the mesh's rules look at. Structural: any type with these fields fits. */
export interface ObjectMeta {
  readonly name?: string | undefined;
  readonly namespace?: string | undefined;
  readonly labels?: Readonly<Record<string, string>> | undefined;
  readonly annotations?: Readonly<Record<string, string>> | undefined;
  readonly creationTimestamp?: string | undefined;
}

export interface WorkloadSelector {
  readonly matchLabels?: Readonly<Record<string, string>> | undefined;
}

/** One `status.conditions[]` entry, without its timestamps. */
export interface Condition {
  readonly type: string;
  readonly status: 'True' | 'False';
  readonly reason: string;
  readonly message: string;
}

/** The labels of a selector that selects something in particular; an absent or empty one is undefined. */
export const selectorLabels = (selector: WorkloadSelector | undefined): Readonly<Record<string, string>> | undefined => {
  const labels = selector?.matchLabels;
  return labels !== undefined && Object.keys(labels).length > 0 ? labels : undefined;
};

export const labelsMatch = (wanted: Readonly<Record<string, string>>, labels: Readonly<Record<string, string>> | undefined): boolean =>
  Object.entries(wanted).every(([key, value]) => labels !== undefined && Object.hasOwn(labels, key) && labels[key] === value);

/** Older objects first; the name decides between those of the same second. */
export const byAge = (a: { readonly metadata: ObjectMeta }, b: { readonly metadata: ObjectMeta }): number => {
  const [x, y] = [a, b].map(({ metadata }) => `${metadata.creationTimestamp ?? ''} ${metadata.name ?? ''}`) as [string, string]; // two in, two out
  return x < y ? -1 : x > y ? 1 : 0;
};
