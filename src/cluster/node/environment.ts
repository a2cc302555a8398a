/** A container's environment: values, references, and `$(NAME)` expansion. */
import type { ConfigMap, Container, Pod, Secret } from '../../platform/kubernetes/index.ts';

export interface Lookup {
  configMap(namespace: string, name: string): ConfigMap | undefined;
  secret(namespace: string, name: string): Secret | undefined;
}
export interface PodFacts {
  readonly podIP: string | undefined;
  readonly hostIP: string;
  readonly nodeName: string;
}

/** A reference that cannot be resolved: the container waits with reason CreateContainerConfigError until it can. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
}

export function containerEnvironment(
  pod: Pod,
  container: Container,
  facts: PodFacts,
  lookup: Lookup,
  base: Readonly<Record<string, string>>,
): Record<string, string> {
  const namespace = pod.metadata?.namespace ?? 'default';
  const env: Record<string, string> = { ...base };
  for (const source of container.envFrom ?? []) {
    const data = source.configMapRef
      ? lookup.configMap(namespace, source.configMapRef.name ?? '')?.data
      : source.secretRef
        ? decodeSecret(lookup.secret(namespace, source.secretRef.name ?? ''))
        : {};
    if (data === undefined) {
      const reference = source.configMapRef ?? source.secretRef;
      if (reference?.optional === true) continue;
      throw new ConfigError(`${source.configMapRef ? 'configmap' : 'secret'} "${reference?.name ?? ''}" not found`);
    }
    for (const [key, value] of Object.entries(data)) env[`${source.prefix ?? ''}${key}`] = value;
  }
  for (const { name, value, valueFrom } of container.env ?? []) {
    if (valueFrom === undefined) env[name] = expand(value ?? '', env);
    else {
      const found = resolveReference(pod, container, valueFrom, facts, lookup);
      if (found !== undefined) env[name] = found;
    }
  }
  return env;
}

function resolveReference(
  pod: Pod,
  container: Container,
  from: NonNullable<NonNullable<Container['env']>[number]['valueFrom']>,
  facts: PodFacts,
  lookup: Lookup,
): string | undefined {
  const namespace = pod.metadata?.namespace ?? 'default';
  if (from.fieldRef) return fieldValue(pod, from.fieldRef.fieldPath, facts);
  if (from.resourceFieldRef)
    return resourceValue(pod, from.resourceFieldRef.containerName ?? container.name, from.resourceFieldRef.resource);
  const reference = from.configMapKeyRef ?? from.secretKeyRef;
  if (reference === undefined) throw new ConfigError(`env of container "${container.name}" has a valueFrom without a source`);
  const kind = from.configMapKeyRef ? 'configmap' : 'secret';
  const data = from.configMapKeyRef
    ? lookup.configMap(namespace, reference.name ?? '')?.data
    : decodeSecret(lookup.secret(namespace, reference.name ?? ''));
  const value = data?.[reference.key];
  if (value !== undefined || reference.optional === true) return value;
  throw new ConfigError(
    data === undefined
      ? `${kind} "${reference.name}" not found`
      : `couldn't find key ${reference.key} in ${kind} ${namespace}/${reference.name}`,
  );
}

function decodeSecret(secret: Secret | undefined): Record<string, string> | undefined {
  if (secret === undefined) return undefined;
  return Object.fromEntries(Object.entries(secret.data ?? {}).map(([key, value]) => [key, Buffer.from(value, 'base64').toString('utf8')]));
}

/** The fields Kubernetes' downward API offers. */
export function fieldValue(pod: Pod, path: string, facts: PodFacts): string {
  const key = /^metadata\.(labels|annotations)\['(.+)'\]$/.exec(path);
  if (key !== null) return pod.metadata?.[key[1] as 'labels' | 'annotations']?.[key[2]!] ?? '';
  switch (path) {
    case 'metadata.name':
      return pod.metadata?.name ?? '';
    case 'metadata.namespace':
      return pod.metadata?.namespace ?? 'default';
    case 'metadata.uid':
      return pod.metadata?.uid ?? '';
    case 'metadata.labels':
      return pairs(pod.metadata?.labels);
    case 'metadata.annotations':
      return pairs(pod.metadata?.annotations);
    case 'spec.nodeName':
      return facts.nodeName;
    case 'spec.serviceAccountName':
      return pod.spec?.serviceAccountName ?? 'default';
    case 'status.hostIP':
    case 'status.hostIPs':
      return facts.hostIP;
    case 'status.podIP':
    case 'status.podIPs':
      return facts.podIP ?? '';
    default:
      throw new ConfigError(`unsupported fieldPath: ${path}`);
  }
}

const pairs = (map: Readonly<Record<string, string>> | undefined): string =>
  Object.entries(map ?? {})
    .map(([key, value]) => `${key}=${JSON.stringify(value)}`)
    .join('\n');

function resourceValue(pod: Pod, containerName: string, resource: string): string {
  const container = [...(pod.spec?.containers ?? []), ...(pod.spec?.initContainers ?? [])].find(({ name }) => name === containerName);
  const [kind, name] = resource.split('.');
  const list = kind === 'requests' ? container?.resources?.requests : container?.resources?.limits;
  return quantity(String(list?.[name ?? ''] ?? '0'), name === 'cpu');
}

/** Whole units, rounded up: cores for cpu, bytes otherwise. */
export function quantity(text: string, _cpu: boolean): string {
  const match = /^([0-9.]+)([A-Za-z]*)$/.exec(text);
  if (match === null) return '0';
  const units: Record<string, number> = {
    '': 1,
    m: 1e-3,
    k: 1e3,
    M: 1e6,
    G: 1e9,
    T: 1e12,
    Ki: 2 ** 10,
    Mi: 2 ** 20,
    Gi: 2 ** 30,
    Ti: 2 ** 40,
  };
  return String(Math.ceil(Number(match[1]) * (units[match[2] ?? ''] ?? 1)));
}

/** `$(NAME)` becomes the value, `$$(NAME)` the text `$(NAME)`, an unknown name stays as it is. */
export function expand(text: string, env: Readonly<Record<string, string>>): string {
  return text.replace(/\$\$|\$\(([^()]+)\)/g, (whole, name: string | undefined) => (name === undefined ? '$' : (env[name] ?? whole)));
}
