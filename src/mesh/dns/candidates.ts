/** The names under which a service may be known when a pod asks for one, in the order they are tried (ambient contract 2.9). */

/** A name to look up; all lower case, no final dot. */
export interface Candidate {
  readonly name: string;
  /** The name that was asked for without a search suffix: where the search list of the pod led here, not the application. */
  readonly stripped?: string;
}

/** The search list Kubernetes gives the pods of a namespace. */
export const kubernetesSearch = (namespace: string, clusterDomain: string): readonly string[] => [
  `${namespace}.svc.${clusterDomain}`,
  `svc.${clusterDomain}`,
  clusterDomain,
];

/** `name` itself, its expansions to names of Kubernetes, then the same for what is left without each search suffix. Each once. */
export function candidatesOf(name: string, namespace: string, clusterDomain: string, search: readonly string[]): Candidate[] {
  const found: Candidate[] = [];
  const seen = new Set<string>();
  const add = (candidate: Candidate): void => {
    if (seen.has(candidate.name)) return;
    seen.add(candidate.name);
    found.push(candidate);
  };
  add({ name });
  for (const expanded of kubernetesNames(name, namespace, clusterDomain)) add({ name: expanded });
  for (const suffix of search) {
    if (!name.endsWith(`.${suffix}`)) continue;
    const stripped = name.slice(0, -suffix.length - 1);
    add({ name: stripped, stripped });
    for (const expanded of kubernetesNames(stripped, namespace, clusterDomain)) add({ name: expanded, stripped });
  }
  return found;
}

/** The full names a short one may stand for in Kubernetes: of services, and of pods of headless services. */
export function kubernetesNames(name: string, namespace: string, clusterDomain: string): string[] {
  const endsInSvc = name.endsWith('.svc');
  switch (name.split('.').length) {
    case 1:
      return [`${name}.${namespace}.svc.${clusterDomain}`];
    case 2:
      return [`${name}.svc.${clusterDomain}`, `${name}.${namespace}.svc.${clusterDomain}`];
    case 3:
      return [...(endsInSvc ? [`${name}.${clusterDomain}`] : []), `${name}.svc.${clusterDomain}`];
    case 4:
      return endsInSvc ? [`${name}.${clusterDomain}`] : [];
    default:
      return [];
  }
}

/** `a.b.c`, `*.b.c`, `*.c`: a name and the wildcards that cover it, the closest first. */
export function* withWildcards(name: string): Generator<string> {
  yield name;
  for (let dot = name.indexOf('.'); dot >= 0; dot = name.indexOf('.', dot + 1)) yield `*${name.slice(dot)}`;
}
