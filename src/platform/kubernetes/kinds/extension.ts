import type { Static } from 'typebox';
import { column, defineKind, type FieldProblem, invalid, nameColumn, required } from './kind.ts';
import { conditions, kindSchema } from './meta.ts';
import { boolean, choice, int32, list, object, opaque, string } from './schema.ts';

const names = object(
  { plural: string, singular: string, shortNames: list(string), kind: string, listKind: string, categories: list(string) },
  ['plural', 'kind'],
);
const printerColumn = object({ name: string, type: string, format: string, description: string, priority: int32, jsonPath: string }, [
  'name',
  'type',
  'jsonPath',
]);
const crdVersion = object(
  {
    name: string,
    served: boolean,
    storage: boolean,
    deprecated: boolean,
    deprecationWarning: string,
    schema: object({ openAPIV3Schema: opaque }),
    subresources: object({
      status: opaque,
      scale: object({ specReplicasPath: string, statusReplicasPath: string, labelSelectorPath: string }),
    }),
    additionalPrinterColumns: list(printerColumn),
    selectableFields: list(object({ jsonPath: string }, ['jsonPath'])),
  },
  ['name', 'served', 'storage'],
);
export type CustomResourceDefinitionVersion = Static<typeof crdVersion>;
const crdSchema = kindSchema(
  {
    spec: object(
      {
        group: string,
        names,
        scope: choice('Cluster', 'Namespaced'),
        versions: list(crdVersion),
        conversion: object({ strategy: choice('None', 'Webhook'), webhook: opaque }),
        preserveUnknownFields: boolean,
      },
      ['group', 'names', 'scope', 'versions'],
    ),
    status: object({ conditions, acceptedNames: names, storedVersions: list(string) }),
  },
  ['spec'],
);
export type CustomResourceDefinition = Static<typeof crdSchema>;

export const CustomResourceDefinitionKind = defineKind<CustomResourceDefinition>({
  apiVersion: 'apiextensions.k8s.io/v1',
  kind: 'CustomResourceDefinition',
  plural: 'customresourcedefinitions',
  shortNames: ['crd', 'crds'],
  scope: 'Cluster',
  status: true,
  description: 'CustomResourceDefinition represents a resource that should be exposed on the API server.',
  schema: crdSchema,
  columns: [nameColumn, column('Created At', 'When it was created')],
  cells: ({ metadata }) => [metadata.name ?? '', metadata.creationTimestamp ?? ''],
  defaults: ({ spec }) => {
    if (spec?.names === undefined) return;
    spec.names.singular ??= (spec.names.kind ?? '').toLowerCase();
    spec.names.listKind ??= `${spec.names.kind}List`;
    spec.conversion ??= { strategy: 'None' };
  },
  validate: validateDefinition,
});

function validateDefinition(definition: CustomResourceDefinition, old?: CustomResourceDefinition): FieldProblem[] {
  const { spec } = definition;
  const problems: FieldProblem[] = [];
  const expected = `${spec.names?.plural}.${spec.group}`;
  if (definition.metadata.name !== expected)
    problems.push(invalid('metadata.name', definition.metadata.name, `must be spec.names.plural+"."+spec.group`));
  const versions = spec.versions ?? [];
  if (versions.filter((version) => version.storage).length !== 1)
    problems.push(
      invalid(
        'spec.versions',
        versions.map((v) => v.name),
        'must have exactly one version marked as storage version',
      ),
    );
  if (!versions.some((version) => version.served))
    problems.push(
      invalid(
        'spec.versions',
        versions.map((v) => v.name),
        'must have at least one served version',
      ),
    );
  versions.forEach((version, index) => {
    const schema = version.schema?.openAPIV3Schema;
    const at = `spec.versions[${index}].schema.openAPIV3Schema`;
    if (schema === undefined) problems.push(required(at, 'schemas are required'));
    else if (schema['type'] !== 'object') problems.push(invalid(`${at}.type`, schema['type'], 'must be object at the root'));
  });
  if (spec.conversion?.strategy === 'Webhook') {
    problems.push({
      field: 'spec.conversion.strategy',
      reason: 'FieldValueNotSupported',
      message: 'Unsupported value: "Webhook": supported values: "None"',
    });
  }
  if (old !== undefined && old.spec.scope !== spec.scope) problems.push(invalid('spec.scope', spec.scope, 'field is immutable'));
  return problems;
}
