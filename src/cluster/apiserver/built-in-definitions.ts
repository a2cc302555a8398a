import { BUILT_IN_KINDS, GATEWAY_GROUP, type Kind } from '../../platform/kubernetes/kinds/index.ts';
import type { Context } from './context.ts';
import { equal, isObject, type JsonObject } from './json.ts';
import { create, replace } from './operations.ts';

const CRDS = 'apiextensions.k8s.io/customresourcedefinitions';
/** The release of the Gateway API whose kinds are built in. Its conformance suite compares this with its own release. */
const GATEWAY_BUNDLE = { 'gateway.networking.k8s.io/bundle-version': 'v1.6.3', 'gateway.networking.k8s.io/channel': 'experimental' };

/**
 * Shows built-in kinds that other clusters get from a CustomResourceDefinition by such a definition, because installers and
 * conformance suites look for it. The kinds themselves do not depend on it. A definition that somebody else has written to stays as it is.
 */
export function ensureDefinitions(context: Context): void {
  const type = context.types.byKey(CRDS)!;
  // owned by nobody, so that whoever installs the same definitions finds no conflict
  const options = { dryRun: false, fieldManager: '', fieldValidation: 'Ignore', subresource: '', keepManagedFields: true } as const;
  for (const kind of BUILT_IN_KINDS) {
    if (!kind.isCustom) continue;
    const wanted = definitionOf(kind);
    const entry = context.store.get(CRDS, '', wanted.metadata.name);
    if (entry === undefined) {
      create(context, type, type.version, '', wanted, { ...options, warnings: [] });
      continue;
    }
    const isOurs = (entry.object.metadata.managedFields ?? []).length === 0;
    if (!isOurs || entry.object.metadata.deletionTimestamp !== undefined) continue;
    const next = structuredClone(entry.object);
    next['spec'] = wanted['spec'];
    if (wanted.metadata.annotations !== undefined) next.metadata.annotations = wanted.metadata.annotations;
    type.applyDefaults(next);
    if (!equal(next, entry.object)) replace(context, type, type.version, entry, next, { ...options, warnings: [] });
  }
}

interface Definition extends JsonObject {
  readonly metadata: { readonly name: string; readonly annotations?: Record<string, string> };
}

function definitionOf(kind: Kind): Definition {
  const name = `${kind.plural}.${kind.group}`;
  const openAPIV3Schema = forDefinition(kind.schema) as JsonObject; // an object goes in, an object comes out
  openAPIV3Schema['properties'] = { ...(openAPIV3Schema['properties'] as JsonObject), metadata: { type: 'object' } };
  openAPIV3Schema['description'] = kind.description;
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name, ...(kind.group === GATEWAY_GROUP ? { annotations: GATEWAY_BUNDLE } : {}) },
    spec: {
      group: kind.group,
      names: {
        plural: kind.plural,
        singular: kind.singular,
        kind: kind.kind,
        listKind: `${kind.kind}List`,
        ...(kind.shortNames.length > 0 ? { shortNames: [...kind.shortNames] } : {}),
        ...(kind.categories.length > 0 ? { categories: [...kind.categories] } : {}),
      },
      scope: kind.namespaced ? 'Namespaced' : 'Cluster',
      versions: kind.versions.map((version) => ({
        name: version,
        served: true,
        storage: version === kind.version,
        schema: { openAPIV3Schema },
        ...(kind.hasStatus ? { subresources: { status: {} } } : {}),
      })),
    },
  };
}

/** The schema without the marks that only built-in kinds may have: custom ones have no strategic merge. */
function forDefinition(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(forDefinition);
  if (!isObject(schema)) return schema;
  const kept = Object.entries(schema).filter(([key]) => !key.startsWith('x-kubernetes-patch-'));
  return Object.fromEntries(kept.map(([key, value]) => [key, forDefinition(value)]));
}
