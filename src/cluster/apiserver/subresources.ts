import type { Pod } from '../../platform/kubernetes/kinds/index.ts';
import { spendBudget } from './budgets.ts';
import { type Context, timestamp } from './context.ts';
import { badRequest, conflict, forbidden, invalid, notFound } from './errors.ts';
import { at, clone, isObject, type JsonObject, setAt } from './json.ts';
import { existing, remove, replace, type WriteOptions } from './operations.ts';
import type { User } from './request.ts';
import type { ResourceType } from './resources.ts';
import type { ServiceAccountTokens } from './service-account-tokens.ts';
import type { Entry } from './store.ts';

const POD = { group: '', plural: 'pods', kind: 'Pod' };
const TOKEN_REQUEST = { group: 'authentication.k8s.io', plural: 'tokenrequests', kind: 'TokenRequest' };
const MIN_TOKEN_SECONDS = 600;
const MAX_TOKEN_SECONDS = 2 ** 32;

/** `autoscaling/v1` Scale of an object. */
export function scaleOf(entry: Entry, type: ResourceType, version: string): JsonObject {
  const { specReplicasPath, statusReplicasPath } = type.scale(version)!;
  const { metadata } = entry.object;
  const selector = at(entry.object, '.spec.selector.matchLabels');
  return {
    kind: 'Scale',
    apiVersion: 'autoscaling/v1',
    metadata: {
      name: metadata.name,
      namespace: metadata.namespace,
      uid: metadata.uid,
      resourceVersion: metadata.resourceVersion,
      creationTimestamp: metadata.creationTimestamp,
    },
    spec: { replicas: at(entry.object, specReplicasPath) ?? 0 },
    status: {
      replicas: at(entry.object, statusReplicasPath) ?? 0,
      ...(isObject(selector)
        ? {
            selector: Object.entries(selector)
              .map(([key, value]) => `${key}=${String(value)}`)
              .join(','),
          }
        : {}),
    },
  };
}

export function updateScale(
  context: Context,
  type: ResourceType,
  version: string,
  entry: Entry,
  scale: JsonObject,
  options: WriteOptions,
): JsonObject {
  const replicas = at(scale, '.spec.replicas') ?? 0;
  if (typeof replicas !== 'number' || !Number.isInteger(replicas) || replicas < 0) {
    throw invalid({ group: 'autoscaling', plural: 'scales', kind: 'Scale' }, entry.name, [
      {
        field: 'spec.replicas',
        reason: 'FieldValueInvalid',
        message: `Invalid value: ${JSON.stringify(replicas)}: must be greater than or equal to 0`,
      },
    ]);
  }
  const next = clone(entry.object);
  const expected = at(scale, '.metadata.resourceVersion');
  if (typeof expected === 'string' && expected !== '') next.metadata.resourceVersion = expected;
  setAt(next, type.scale(version)!.specReplicasPath, replicas);
  replace(context, type, version, entry, next, { ...options, subresource: '' });
  return scaleOf(existing(context, type, entry.namespace, entry.name), type, version);
}

/** `pods/binding`: what a scheduler posts. */
export function bind(context: Context, entry: Entry, body: JsonObject, options: WriteOptions): JsonObject {
  const target = at(body, '.target.name');
  if (typeof target !== 'string' || target === '') {
    throw invalid({ group: '', plural: 'bindings', kind: 'Binding' }, entry.name, [
      { field: 'target.name', reason: 'FieldValueRequired', message: 'Required value' },
    ]);
  }
  const next = clone(entry.object);
  const pod = next as unknown as Pod; // checked against the Pod schema when it was stored
  if ((pod.spec.nodeName ?? '') !== '')
    throw conflict(POD, entry.name, `pod ${entry.name} is already assigned to node "${pod.spec.nodeName}"`);
  if (pod.metadata.deletionTimestamp !== undefined)
    throw conflict(POD, entry.name, `pod ${entry.name} is being deleted, cannot be assigned to a host`);
  pod.spec.nodeName = target;
  const conditions = (pod.status?.conditions ?? []).filter((condition) => condition.type !== 'PodScheduled');
  pod.status = {
    ...pod.status,
    conditions: [...conditions, { type: 'PodScheduled', status: 'True', lastTransitionTime: timestamp(context.now()) }],
  };
  const type = context.types.byKey('/pods')!;
  const { status } = pod;
  const bound = replace(context, type, 'v1', entry, next, { ...options, subresource: '' });
  if (!options.dryRun) {
    const again = existing(context, type, entry.namespace, entry.name);
    replace(context, type, 'v1', again, { ...clone(bound), status }, { ...options, subresource: 'status' });
  }
  return success(201);
}

/** `pods/eviction`: a graceful deletion, unless a disruption budget forbids it. */
export function evict(context: Context, entry: Entry, body: JsonObject, options: WriteOptions): JsonObject {
  const grace = at(body, '.deleteOptions.gracePeriodSeconds');
  spendBudget(context, entry, options);
  remove(context, context.types.byKey('/pods')!, entry, {
    dryRun: options.dryRun,
    ...(typeof grace === 'number' ? { gracePeriodSeconds: grace } : {}),
  });
  return success(201);
}

const success = (code: number): JsonObject => ({ kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success', code });

/** `serviceaccounts/token`: a TokenRequest. A node may only ask on behalf of pods that run on it. */
export async function requestToken(
  context: Context,
  tokens: ServiceAccountTokens,
  entry: Entry,
  body: JsonObject,
  user: User,
): Promise<JsonObject> {
  const spec = isObject(body['spec']) ? body['spec'] : {};
  const seconds = spec['expirationSeconds'] ?? 3600;
  if (typeof seconds !== 'number' || !Number.isInteger(seconds) || seconds < MIN_TOKEN_SECONDS || seconds > MAX_TOKEN_SECONDS) {
    const detail =
      typeof seconds === 'number' && seconds > MAX_TOKEN_SECONDS
        ? 'may not specify a duration larger than 2^32 seconds'
        : 'may not specify a duration less than 10 minutes';
    throw invalid(TOKEN_REQUEST, '', [
      { field: 'spec.expirationSeconds', reason: 'FieldValueInvalid', message: `Invalid value: ${JSON.stringify(seconds)}: ${detail}` },
    ]);
  }
  const asked = spec['audiences'];
  if (asked !== undefined && !(Array.isArray(asked) && asked.every((audience) => typeof audience === 'string')))
    throw badRequest('spec.audiences must be a list of strings');
  const audiences = (asked as string[] | undefined) ?? [];
  const bound = boundObject(context, entry, spec['boundObjectRef']);
  const nodeName = user.groups.includes('system:nodes') ? user.name.slice('system:node:'.length) : undefined;
  if (nodeName !== undefined) {
    const pod =
      bound?.kind === 'Pod' ? (context.store.get('/pods', entry.namespace, bound.name)?.object as unknown as Pod | undefined) : undefined;
    if (pod === undefined) throw forbidden({ group: '', plural: 'serviceaccounts' }, entry.name, 'node requested token not bound to a pod');
    if (pod.spec.nodeName !== nodeName)
      throw forbidden(
        { group: '', plural: 'serviceaccounts' },
        entry.name,
        'node requested token bound to a pod scheduled on a different node',
      );
  }
  const account = { namespace: entry.namespace, name: entry.name, uid: entry.object.metadata.uid ?? '' };
  const { token, expiresAt } = await tokens.issue(account, audiences.length === 0 ? [tokens.issuer] : audiences, seconds, bound);
  return {
    kind: 'TokenRequest',
    apiVersion: 'authentication.k8s.io/v1',
    metadata: { name: entry.name, namespace: entry.namespace, creationTimestamp: timestamp(context.now()) },
    spec: {
      audiences: audiences.length === 0 ? [tokens.issuer] : audiences,
      expirationSeconds: seconds,
      boundObjectRef: spec['boundObjectRef'] ?? null,
    },
    status: { token, expirationTimestamp: timestamp(expiresAt) },
  };
}

function boundObject(context: Context, account: Entry, reference: unknown): { kind: string; name: string; uid: string } | undefined {
  if (!isObject(reference)) return undefined;
  const { kind, name, uid } = reference;
  if (kind !== 'Pod' && kind !== 'Secret')
    throw badRequest(`cannot bind token for serviceaccount "${account.name}" to object of kind ${JSON.stringify(kind)}: use Pod or Secret`);
  const target = { group: '', plural: kind === 'Pod' ? 'pods' : 'secrets', kind };
  const found = context.store.get(`/${target.plural}`, account.namespace, String(name));
  if (found === undefined) throw notFound(target, String(name));
  if (uid !== undefined && uid !== '' && uid !== found.object.metadata.uid) {
    throw conflict(
      target,
      found.name,
      `the UID in the bound object reference (${String(uid)}) does not match the UID in record. The object might have been deleted and then recreated`,
    );
  }
  const accountName = (found.object as unknown as Pod).spec?.serviceAccountName;
  if (kind === 'Pod' && accountName !== account.name) {
    throw badRequest(`cannot bind token for serviceaccount "${account.name}" to pod running with different serviceaccount name`);
  }
  return { kind, name: found.name, uid: found.object.metadata.uid ?? '' };
}
