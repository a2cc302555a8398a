/** Groups of pods: what the selectors of NetworkPolicies select. Equal selectors are one group, whichever policies they stand in. */
import { type LabelSelector, selectorMatches, selectorText } from '../label-selector.ts';

/** Pods of a namespace, or of all namespaces whose labels match. */
export interface PodGroup {
  readonly id: string;
  /** In words; equal for groups that are the same. */
  readonly text: string;
  readonly namespaces: { readonly name: string } | { readonly selector: LabelSelector };
  readonly pods: LabelSelector;
}

/** Shortens texts that are too long to be ids; two texts must not get the same one. */
export type Digest = (text: string) => string;

/** Each pod carries the ids of its groups, and a selector may be as long as an object: longer texts are shortened. */
const ID_LIMIT = 64;
/** The label every namespace has (Kubernetes 1.22). */
const NAMESPACE_NAME_LABEL = 'kubernetes.io/metadata.name';

export const podGroup = (namespaces: PodGroup['namespaces'], pods: LabelSelector, digest: Digest): PodGroup => {
  const scope = 'name' in namespaces ? namespaces.name : `[${selectorText(namespaces.selector)}]`;
  const text = `${scope}: ${selectorText(pods)}`;
  return { id: text.length <= ID_LIMIT ? text : `#${digest(text)}`, text, namespaces, pods };
};

/** A namespace as selectors see it. */
export interface LabelledNamespace {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
}

export const coversNamespace = ({ namespaces }: PodGroup, { name, labels }: LabelledNamespace): boolean =>
  'name' in namespaces
    ? namespaces.name === name
    : selectorMatches(
        namespaces.selector,
        Object.hasOwn(labels, NAMESPACE_NAME_LABEL) ? labels : { ...labels, [NAMESPACE_NAME_LABEL]: name },
      );

/** Whether a pod of this namespace is in the group. */
export const isInGroup = (group: PodGroup, namespace: LabelledNamespace, labels: Readonly<Record<string, string>>): boolean =>
  coversNamespace(group, namespace) && selectorMatches(group.pods, labels);
