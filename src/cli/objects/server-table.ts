import type { DiscoveredResource, KubeClient, UnknownObject } from '../../platform/kubernetes/index.ts';

/** Asks for a server-rendered table first; a server without tables answers with the objects. */
export const TABLE_ACCEPT = 'application/json;as=Table;v=v1;g=meta.k8s.io,application/json';

export interface ServerTable {
  readonly kind: 'Table';
  readonly metadata?: { readonly resourceVersion?: string };
  readonly columnDefinitions?: readonly { readonly name: string; readonly priority?: number }[];
  readonly rows?: readonly { readonly cells: readonly unknown[]; readonly object?: UnknownObject }[];
}

export interface TableView {
  readonly wide: boolean;
  readonly withNamespace: boolean;
  readonly withLabels: boolean;
  /** Put before each name, for example `pod/`; empty when only one kind is printed. */
  readonly prefix: string;
}

const isTable = (value: unknown): value is ServerTable => (value as { kind?: unknown } | null)?.kind === 'Table';

/** A server's answer as a table, whatever it answered with. */
export const asTable = (answer: unknown): ServerTable => {
  if (isTable(answer)) return answer;
  const list = answer as { items?: UnknownObject[]; metadata?: { resourceVersion?: string } };
  const items = list.items ?? [answer as UnknownObject];
  return {
    kind: 'Table',
    ...(list.metadata?.resourceVersion !== undefined && { metadata: { resourceVersion: list.metadata.resourceVersion } }),
    columnDefinitions: [{ name: 'Name' }, { name: 'Created At' }],
    rows: items.map((object) => ({ cells: [object.metadata?.name ?? '', object.metadata?.creationTimestamp ?? ''], object })),
  };
};

export const fetchTable = async (
  client: KubeClient,
  resource: DiscoveredResource,
  where: { readonly namespace?: string; readonly name?: string },
  query: Readonly<Record<string, string | undefined>>,
): Promise<ServerTable> =>
  asTable(
    await client.transport.json<unknown>(client.path(resource, where), {
      accept: TABLE_ACCEPT,
      query,
      context: `get ${resource.plural}${where.name === undefined ? '' : ` ${where.name}`}`,
    }),
  );

const cellText = (cell: unknown): string => {
  if (cell === null || cell === undefined || cell === '') return '<none>';
  return typeof cell === 'object' ? JSON.stringify(cell) : String(cell);
};

const labelsText = (object: UnknownObject | undefined): string => {
  const labels = Object.entries(object?.metadata?.labels ?? {});
  return labels.length === 0 ? '<none>' : labels.map(([key, value]) => `${key}=${value}`).join(',');
};

/** Header and rows to print; columns with a priority are only for the wide view. */
export const renderTable = (answer: ServerTable, view: TableView): { header: string[]; rows: string[][] } => {
  const columns = (answer.columnDefinitions ?? [])
    .map((column, index) => ({ ...column, index }))
    .filter((column) => view.wide || (column.priority ?? 0) === 0);
  const header = columns.map((column) => column.name.toUpperCase());
  const rows = (answer.rows ?? []).map((row) => {
    const cells = columns.map((column) => cellText(row.cells[column.index]));
    if (view.prefix !== '' && cells[0] !== undefined) cells[0] = view.prefix + cells[0];
    if (view.withNamespace) cells.unshift(row.object?.metadata?.namespace ?? '');
    if (view.withLabels) cells.push(labelsText(row.object));
    return cells;
  });
  if (view.withNamespace) header.unshift('NAMESPACE');
  if (view.withLabels) header.push('LABELS');
  return { header, rows };
};
