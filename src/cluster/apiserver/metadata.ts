import {
  dnsLabelProblem,
  type FieldProblem,
  invalid,
  qualifiedNameProblem,
  required,
  subdomainProblem,
  validateLabels,
} from '../../platform/kubernetes/kinds/index.ts';
import { badRequest } from './errors.ts';
import { apiVersionOf, type ResourceType } from './resources.ts';
import type { StoredObject } from './store.ts';

const NAME_CHARS = 'bcdfghjklmnpqrstvwxz2456789';
const SUFFIX_LENGTH = 5;
const ANNOTATIONS_LIMIT = 256 * 1024;

/** A name from `generateName`, with the alphabet Kubernetes uses. */
export function generatedName(prefix: string): string {
  const random = crypto.getRandomValues(new Uint8Array(SUFFIX_LENGTH));
  return prefix.slice(0, 63 - SUFFIX_LENGTH) + [...random].map((byte) => NAME_CHARS[byte % NAME_CHARS.length]).join('');
}

/** Checks that the body is of the type the path says; throws a 400. */
export function checkType(object: StoredObject, type: ResourceType, version: string): void {
  const expected = apiVersionOf(type.group, version);
  if (typeof object.kind !== 'string' || object.kind === '')
    throw badRequest(`Object 'Kind' is missing in '${JSON.stringify(object).slice(0, 200)}'`);
  if (typeof object.apiVersion !== 'string' || object.apiVersion === '')
    throw badRequest(`Object 'apiVersion' is missing in '${JSON.stringify(object).slice(0, 200)}'`);
  if (object.kind !== type.kind)
    throw badRequest(
      `${object.kind} in version "${version}" cannot be handled as a ${type.kind}: the kind in the data (${object.kind}) does not match the expected kind (${type.kind})`,
    );
  if (object.apiVersion !== expected)
    throw badRequest(`the API version in the data (${object.apiVersion}) does not match the expected API version (${expected})`);
}

function nameProblem(type: ResourceType, name: string): string | undefined {
  if (type.plural === 'namespaces') return dnsLabelProblem(name);
  if (type.plural === 'services' && type.group === '')
    return /^[a-z]/.test(name)
      ? dnsLabelProblem(name)
      : "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";
  if (type.group === 'rbac.authorization.k8s.io') {
    if (name === '.' || name === '..') return `may not be '${name}'`;
    return /[/%]/.test(name) ? "may not contain '/' or '%'" : undefined;
  }
  return subdomainProblem(name);
}

/** The rules every object's metadata obeys. */
export function validateMetadata(object: StoredObject, type: ResourceType, old: StoredObject | undefined): FieldProblem[] {
  const { metadata } = object;
  const problems: FieldProblem[] = [];
  const name = metadata.name ?? '';
  if (name === '') problems.push(required('metadata.name', 'name or generateName is required'));
  else if (old === undefined) {
    const problem = nameProblem(type, name);
    if (problem !== undefined) problems.push(invalid('metadata.name', name, problem));
  }
  problems.push(...validateLabels(metadata.labels, 'metadata.labels'));
  let size = 0;
  for (const [key, value] of Object.entries(metadata.annotations ?? {})) {
    const problem = qualifiedNameProblem(key.toLowerCase());
    if (problem !== undefined) problems.push(invalid('metadata.annotations', key, problem));
    size += key.length + value.length;
  }
  if (size > ANNOTATIONS_LIMIT)
    problems.push({
      field: 'metadata.annotations',
      reason: 'FieldValueTooLong',
      message: `Too long: may not be more than ${ANNOTATIONS_LIMIT} bytes`,
    });
  (metadata.ownerReferences ?? []).forEach((owner, index) => {
    for (const field of ['apiVersion', 'kind', 'name', 'uid'] as const) {
      if ((owner[field] ?? '') === '') problems.push(invalid(`metadata.ownerReferences[${index}].${field}`, '', 'must not be empty'));
    }
  });
  if ((metadata.ownerReferences ?? []).filter((owner) => owner.controller === true).length > 1) {
    problems.push(invalid('metadata.ownerReferences', metadata.ownerReferences, 'Only one reference can have Controller set to true'));
  }
  for (const [index, finalizer] of (metadata.finalizers ?? []).entries()) {
    const problem = qualifiedNameProblem(finalizer);
    if (problem !== undefined) problems.push(invalid(`metadata.finalizers[${index}]`, finalizer, problem));
  }
  if (old !== undefined && old.metadata.deletionTimestamp !== undefined) {
    const added = (metadata.finalizers ?? []).filter((finalizer) => !(old.metadata.finalizers ?? []).includes(finalizer));
    if (added.length > 0) {
      problems.push({
        field: 'metadata.finalizers',
        reason: 'FieldValueForbidden',
        message: `Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers []string{${added.map((f) => JSON.stringify(f)).join(', ')}}`,
      });
    }
  }
  return problems;
}
