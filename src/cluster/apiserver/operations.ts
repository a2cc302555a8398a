import type { FieldProblem } from '../../platform/kubernetes/kinds/index.ts';
import { type Context, timestamp } from './context.ts';
import { alreadyExists, badRequest, conflict, invalid, modified, notFound } from './errors.ts';
import { clone, equal, isObject, type JsonObject } from './json.ts';
import { recordUpdate } from './managed-fields.ts';
import { checkType, generatedName, validateMetadata } from './metadata.ts';
import { apiVersionOf, type ResourceType, resourceKey } from './resources.ts';
import type { Entry, StoredObject } from './store.ts';
import { checkNamespace, gracePeriod, prepareCreate, prepareUpdate } from './strategies.ts';
import { check, prune } from './structural.ts';

export type FieldValidation = 'Ignore' | 'Warn' | 'Strict';

export interface WriteOptions {
  readonly dryRun: boolean;
  readonly fieldManager: string;
  readonly fieldValidation: FieldValidation;
  /** `status`, `scale` and the like; empty for the object itself. */
  readonly subresource: string;
  /** Set by server-side apply, which writes its own managed fields. */
  readonly keepManagedFields?: boolean;
  /** Collected for `Warning:` headers. */
  readonly warnings: string[];
}

export interface DeleteOptions {
  readonly dryRun: boolean;
  readonly gracePeriodSeconds?: number;
  readonly propagationPolicy?: string;
  readonly uid?: string;
  readonly resourceVersion?: string;
}

/** The body as an object of the type, pruned and checked for types. Throws 400 for built-in kinds and 422 for custom ones. */
export function decode(
  body: JsonObject,
  type: ResourceType,
  version: string,
  options: Pick<WriteOptions, 'fieldValidation' | 'warnings'>,
): StoredObject {
  const object = body as unknown as StoredObject; // made true by the checks below
  checkType(object, type, version);
  if (!isObject(object.metadata)) object.metadata = {};
  const schema = type.schema(version);
  const unknownFields = prune(object, schema);
  if (unknownFields.length > 0 && options.fieldValidation === 'Strict') {
    throw badRequest(
      `${type.kind} in version "${version}" cannot be handled as a ${type.kind}: strict decoding error: ${unknownFields.map((field) => `unknown field "${field}"`).join(', ')}`,
    );
  }
  if (options.fieldValidation === 'Warn') options.warnings.push(...unknownFields.map((field) => `unknown field "${field}"`));
  // metadata and built-in kinds are decoded into types: a wrong type there is malformed, not invalid
  const wrongTypes = check(object, schema).filter(
    (problem) => problem.reason === 'FieldValueTypeInvalid' && (!type.isCustom || problem.field.startsWith('metadata')),
  );
  if (wrongTypes.length > 0) {
    throw badRequest(
      `${type.kind} in version "${version}" cannot be handled as a ${type.kind}: json: ${wrongTypes.map(({ message }) => message.replace(/^Invalid value: "[a-z]*": /, '')).join('; ')}`,
    );
  }
  object.apiVersion = apiVersionOf(type.group, type.version);
  for (const field of ['labels', 'annotations', 'finalizers', 'ownerReferences'] as const) {
    const value = object.metadata[field];
    if (value !== undefined && Object.keys(value).length === 0) delete object.metadata[field];
  }
  return object;
}

function validateAll(object: StoredObject, type: ResourceType, old: StoredObject | undefined): void {
  const problems: FieldProblem[] = [...validateMetadata(object, type, old), ...check(object, type.schema(type.version))];
  const known = new Set(problems.map((problem) => problem.field));
  // kind-specific rules assume the shape the schema gives; they add only what the schema did not say already
  if (!problems.some((problem) => problem.reason === 'FieldValueTypeInvalid')) {
    problems.push(...type.validate(object, old).filter((problem) => !known.has(problem.field)));
  }
  if (problems.length > 0) throw invalid(type, object.metadata.name ?? '', problems);
}

export function create(
  context: Context,
  type: ResourceType,
  version: string,
  namespace: string,
  body: JsonObject,
  options: WriteOptions,
): StoredObject {
  const object = decode(body, type, version, options);
  const { metadata } = object;
  if ((metadata.resourceVersion ?? '') !== '' && metadata.resourceVersion !== '0')
    throw badRequest('resourceVersion should not be set on objects to be created');
  if (type.namespaced) {
    if ((metadata.namespace ?? '') !== '' && metadata.namespace !== namespace) {
      throw badRequest(`the namespace of the provided object does not match the namespace sent on the request`);
    }
    metadata.namespace = namespace;
  } else delete metadata.namespace;
  if ((metadata.name ?? '') === '' && (metadata.generateName ?? '') !== '') metadata.name = generatedName(metadata.generateName!);
  for (const field of ['deletionTimestamp', 'deletionGracePeriodSeconds', 'selfLink', 'resourceVersion'] as const) delete metadata[field];
  metadata.uid = crypto.randomUUID();
  metadata.creationTimestamp = timestamp(context.now());
  if (type.hasGeneration) metadata.generation = 1;
  else delete metadata.generation;
  if (type.namespaced) checkNamespace(context, type, object);
  type.applyDefaults(object);
  prepareCreate(context, type, version, object);
  if (options.keepManagedFields !== true) recordUpdate(undefined, object, type, version, options, context.now());
  validateAll(object, type, undefined);
  const name = metadata.name ?? '';
  if (context.store.get(resourceKey(type), type.namespaced ? namespace : '', name) !== undefined) throw alreadyExists(type, name);
  if (options.dryRun) return object;
  return context.store.put(resourceKey(type), type.namespaced ? namespace : '', name, object).object;
}

export function existing(context: Context, type: ResourceType, namespace: string, name: string): Entry {
  const entry = context.store.get(resourceKey(type), type.namespaced ? namespace : '', name);
  if (entry === undefined) throw notFound(type, name);
  return entry;
}

/** Replaces an object, or its subresource, with `body`. */
export function update(
  context: Context,
  type: ResourceType,
  version: string,
  namespace: string,
  name: string,
  body: JsonObject,
  options: WriteOptions,
): StoredObject {
  const object = decode(body, type, version, options);
  const { metadata } = object;
  if ((metadata.name ?? '') !== name) {
    throw badRequest(`the name of the object (${metadata.name ?? ''}) does not match the name on the URL (${name})`);
  }
  if (type.namespaced && (metadata.namespace ?? '') !== '' && metadata.namespace !== namespace) {
    throw badRequest('the namespace of the provided object does not match the namespace sent on the request');
  }
  const entry = existing(context, type, namespace, name);
  return replace(context, type, version, entry, object, options);
}

/** The common end of update, patch and apply. `object` may be changed. */
export function replace(
  context: Context,
  type: ResourceType,
  version: string,
  entry: Entry,
  object: StoredObject,
  options: WriteOptions,
): StoredObject {
  const old = entry.object;
  const name = entry.name;
  let { metadata } = object;
  if ((metadata.uid ?? '') !== '' && metadata.uid !== old.metadata.uid) {
    throw conflict(type, name, `Precondition failed: UID in precondition: ${metadata.uid}, UID in object meta: ${old.metadata.uid}`);
  }
  if ((metadata.resourceVersion ?? '') !== '' && metadata.resourceVersion !== old.metadata.resourceVersion) throw modified(type, name);
  const next = options.subresource === 'status' ? withStatus(old, object, type) : object;
  metadata = next.metadata;
  if (options.subresource !== 'status' && type.hasStatus(version)) {
    if (old['status'] === undefined) delete next['status'];
    else next['status'] = old['status'];
  }
  for (const field of [
    'uid',
    'creationTimestamp',
    'deletionTimestamp',
    'deletionGracePeriodSeconds',
    'generation',
    'generateName',
    'selfLink',
  ] as const) {
    const value = old.metadata[field];
    if (value === undefined) delete metadata[field];
    else Object.assign(metadata, { [field]: value });
  }
  metadata.name = name;
  if (type.namespaced) metadata.namespace = entry.namespace;
  else delete metadata.namespace;
  type.applyDefaults(next);
  if (options.subresource === '') prepareUpdate(context, type, next, old);
  if (options.keepManagedFields !== true) recordUpdate(old, next, type, version, options, context.now());
  metadata.resourceVersion = old.metadata.resourceVersion!;
  if (type.hasGeneration && !equal(content(next), content(old))) metadata.generation = (old.metadata.generation ?? 0) + 1;
  if (equal(next, old)) return old;
  validateAll(next, type, old);
  if (options.dryRun) return next;
  const isFinished =
    metadata.deletionTimestamp !== undefined &&
    (metadata.finalizers ?? []).length === 0 &&
    (metadata.deletionGracePeriodSeconds ?? 0) === 0;
  if (isFinished && !isHeldNamespace(type, next)) return context.store.remove(resourceKey(type), entry, next).object;
  return context.store.put(resourceKey(type), entry.namespace, name, next).object;
}

/** A namespace goes only after its contents; `namespaces.ts` sees to that. */
const isHeldNamespace = (type: ResourceType, object: StoredObject): boolean =>
  resourceKey(type) === '/namespaces' && ((object['spec'] as { finalizers?: string[] } | undefined)?.finalizers ?? []).length > 0;

/** Everything a generation counts. */
function content(object: StoredObject): JsonObject {
  const { metadata: _metadata, status: _status, apiVersion: _apiVersion, kind: _kind, ...rest } = object;
  return rest;
}

/** Kinds whose status writers also maintain labels and annotations. */
const STATUS_WRITES_METADATA = new Set(['/pods', '/nodes', '/namespaces', '/services']);

function withStatus(old: StoredObject, object: StoredObject, type: ResourceType): StoredObject {
  const next = clone(old);
  if (object['status'] === undefined) delete next['status'];
  else next['status'] = object['status'];
  if (object.metadata.managedFields !== undefined) next.metadata.managedFields = object.metadata.managedFields;
  if (type.isCustom) return next;
  const fields = STATUS_WRITES_METADATA.has(resourceKey(type)) ? (['labels', 'annotations'] as const) : (['annotations'] as const);
  for (const field of fields) {
    if (object.metadata[field] === undefined) delete next.metadata[field];
    else next.metadata[field] = object.metadata[field];
  }
  return next;
}

/** Deletes now, or marks for deletion when there is grace or a finalizer. Returns what is left, or the final state with `isGone`. */
export function remove(
  context: Context,
  type: ResourceType,
  entry: Entry,
  options: DeleteOptions,
): { object: StoredObject; isGone: boolean } {
  const old = entry.object;
  if (options.uid !== undefined && options.uid !== old.metadata.uid) {
    throw conflict(type, entry.name, `Precondition failed: UID in precondition: ${options.uid}, UID in object meta: ${old.metadata.uid}`);
  }
  if (options.resourceVersion !== undefined && options.resourceVersion !== old.metadata.resourceVersion) {
    throw conflict(
      type,
      entry.name,
      `Precondition failed: ResourceVersion in precondition: ${options.resourceVersion}, ResourceVersion in object meta: ${old.metadata.resourceVersion}`,
    );
  }
  const next = clone(old);
  const { metadata } = next;
  const finalizers = new Set(metadata.finalizers ?? []);
  if (options.propagationPolicy === 'Foreground') finalizers.add('foregroundDeletion');
  if (options.propagationPolicy === 'Orphan') finalizers.add('orphan');
  if (options.propagationPolicy === 'Background') {
    finalizers.delete('foregroundDeletion');
    finalizers.delete('orphan');
  }
  if (finalizers.size > 0) metadata.finalizers = [...finalizers];
  else delete metadata.finalizers;
  let grace = gracePeriod(type, old, options.gracePeriodSeconds);
  if (metadata.deletionGracePeriodSeconds !== undefined) grace = Math.min(grace, metadata.deletionGracePeriodSeconds);
  const isHeld = finalizers.size > 0 || isHeldNamespace(type, next);
  if (grace === 0 && !isHeld) {
    if (!options.dryRun) return { object: context.store.remove(resourceKey(type), entry).object, isGone: true };
    return { object: old, isGone: true };
  }
  if (metadata.deletionTimestamp === undefined || grace !== metadata.deletionGracePeriodSeconds) {
    metadata.deletionTimestamp = timestamp(context.now() + grace * 1000);
    metadata.deletionGracePeriodSeconds = grace;
    if (type.hasGeneration && old.metadata.deletionTimestamp === undefined) metadata.generation = (metadata.generation ?? 0) + 1;
    if (resourceKey(type) === '/namespaces') next['status'] = { ...(next['status'] as JsonObject | undefined), phase: 'Terminating' };
  }
  if (options.dryRun || equal(next, old)) return { object: next, isGone: false };
  return { object: context.store.put(resourceKey(type), entry.namespace, entry.name, next).object, isGone: false };
}
