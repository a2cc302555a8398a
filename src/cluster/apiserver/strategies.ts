import type { Namespace, Node, Pod, PodSpec, ServiceAccount } from '../../platform/kubernetes/kinds/index.ts';
import type { Context } from './context.ts';
import { forbidden, notFound, Refusal } from './errors.ts';
import { generatedName } from './metadata.ts';
import { type ResourceType, resourceKey } from './resources.ts';
import type { StoredObject } from './store.ts';

const NAMESPACES = { group: '', plural: 'namespaces' };
const PODS = { group: '', plural: 'pods' };
const TOKEN_MOUNT = '/var/run/secrets/kubernetes.io/serviceaccount';

/** A namespaced object needs its namespace, and one that is not going away. */
export function checkNamespace(context: Context, type: ResourceType, object: StoredObject): void {
  const namespace = object.metadata.namespace ?? '';
  const found = context.store.get('/namespaces', '', namespace);
  if (found === undefined) throw notFound(NAMESPACES, namespace);
  if (found.object.metadata.deletionTimestamp === undefined) return;
  const refusal = forbidden(
    type,
    object.metadata.name ?? '',
    `unable to create new content in namespace ${namespace} because it is being terminated`,
  );
  throw new Refusal(403, 'Forbidden', refusal.message, {
    ...refusal.status.details,
    causes: [{ reason: 'NamespaceTerminating', message: `namespace ${namespace} is being terminated`, field: 'metadata.namespace' }],
  });
}

/** What Kubernetes' strategies and admission plugins do to a new object of some kinds. */
export function prepareCreate(context: Context, type: ResourceType, version: string, object: StoredObject): void {
  switch (resourceKey(type)) {
    case '/pods':
      preparePod(context, object as unknown as Pod); // checked against the Pod schema
      return;
    case '/namespaces': {
      const namespace = object as unknown as Namespace;
      namespace.spec = { finalizers: ['kubernetes'] };
      namespace.status = { phase: 'Active' };
      return;
    }
    case '/nodes':
      return; // a node registers together with its status
    case '/services':
      delete object['status'];
      object['status'] = { loadBalancer: {} };
      context.addresses.assign(object, undefined);
      return;
    default:
      if (!type.hasStatus(version)) return;
      // built-in kinds always show a status, as Go's structs do: clients compare with it
      if (type.isCustom) {
        delete object['status'];
        type.applyDefaults(object); // a status may have defaults, too
      } else object['status'] = initialStatus(object);
  }
}

/** ReplicaSets say how many replicas they have from the start. */
const initialStatus = (object: StoredObject): object => (object.kind === 'ReplicaSet' ? { replicas: 0 } : {});

export function prepareUpdate(context: Context, type: ResourceType, object: StoredObject, old: StoredObject): void {
  if (resourceKey(type) === '/services') context.addresses.assign(object, old);
  if (resourceKey(type) === '/namespaces') object['spec'] = old['spec'];
  if (resourceKey(type) === '/nodes') (object as unknown as Node).spec ??= {};
}

function preparePod(context: Context, pod: Pod): void {
  const namespace = pod.metadata.namespace ?? '';
  const spec = pod.spec;
  if ((spec.serviceAccountName ?? '') === '') spec.serviceAccountName = 'default';
  spec.serviceAccount = spec.serviceAccountName!;
  const name = spec.serviceAccountName!;
  const account = context.store.get('/serviceaccounts', namespace, name)?.object as unknown as ServiceAccount | undefined;
  if (account === undefined) {
    throw forbidden(
      PODS,
      pod.metadata.name ?? '',
      `error looking up service account ${namespace}/${name}: serviceaccount "${name}" not found`,
    );
  }
  if (spec.automountServiceAccountToken ?? account.automountServiceAccountToken ?? true) mountToken(spec);
  spec.imagePullSecrets ??= account.imagePullSecrets ?? [];
  if (spec.imagePullSecrets.length === 0) delete spec.imagePullSecrets;
  spec.preemptionPolicy ??= 'PreemptLowerPriority';
  spec.priority ??= 0;
  const tolerations = spec.tolerations ?? [];
  for (const key of ['node.kubernetes.io/not-ready', 'node.kubernetes.io/unreachable']) {
    if (!tolerations.some((toleration) => (toleration.key ?? '') === '' || toleration.key === key)) {
      tolerations.push({ key, operator: 'Exists', effect: 'NoExecute', tolerationSeconds: 300 });
    }
  }
  spec.tolerations = tolerations;
  pod.status = { phase: 'Pending', qosClass: qosClass(spec) };
}

/** The projected volume every pod gets: token, CA and namespace at the usual place. */
function mountToken(spec: PodSpec): void {
  const containers = [...spec.containers, ...(spec.initContainers ?? [])];
  const lacking = containers.filter((container) => !(container.volumeMounts ?? []).some((mount) => mount.mountPath === TOKEN_MOUNT));
  if (lacking.length === 0) return;
  const name = generatedName('kube-api-access-');
  const volume = {
    name,
    projected: {
      defaultMode: 0o644,
      sources: [
        { serviceAccountToken: { expirationSeconds: 3607, path: 'token' } },
        { configMap: { name: 'kube-root-ca.crt', items: [{ key: 'ca.crt', path: 'ca.crt' }] } },
        { downwardAPI: { items: [{ path: 'namespace', fieldRef: { apiVersion: 'v1', fieldPath: 'metadata.namespace' } }] } },
      ],
    },
  };
  spec.volumes = [...(spec.volumes ?? []), volume];
  for (const container of lacking)
    container.volumeMounts = [...(container.volumeMounts ?? []), { name, readOnly: true, mountPath: TOKEN_MOUNT }];
}

function qosClass(spec: PodSpec): string {
  const containers = [...spec.containers, ...(spec.initContainers ?? [])];
  let isGuaranteed = true;
  let hasAny = false;
  for (const { resources } of containers) {
    const limits = resources?.limits ?? {};
    const requests = resources?.requests ?? {};
    for (const resource of ['cpu', 'memory']) {
      if (limits[resource] !== undefined || requests[resource] !== undefined) hasAny = true;
      if (limits[resource] === undefined || String(requests[resource] ?? limits[resource]) !== String(limits[resource]))
        isGuaranteed = false;
    }
  }
  if (!hasAny) return 'BestEffort';
  return isGuaranteed ? 'Guaranteed' : 'Burstable';
}

/** The grace a deletion gives, in seconds; only pods have one. */
export function gracePeriod(type: ResourceType, object: StoredObject, asked: number | undefined): number {
  if (resourceKey(type) !== '/pods') return 0;
  const pod = object as unknown as Pod;
  if ((pod.spec.nodeName ?? '') === '') return 0;
  if (pod.status?.phase === 'Succeeded' || pod.status?.phase === 'Failed') return 0;
  return Math.max(0, asked ?? pod.spec.terminationGracePeriodSeconds ?? 30);
}
