import type {
  FieldCondition,
  HttpAction,
  HttpMatch,
  HttpTable,
  PathMatch,
  ServicePlan,
  StringCondition,
  WeightedBackend,
} from '../../mesh/http/index.ts';
import type { Rows } from './views.ts';

/** Which plans of a waypoint are shown. */
export interface RouteFilter {
  /** Namespace of the service. */
  readonly namespace?: string;
  /** Name or host name of the service. */
  readonly service?: string;
}

export const selectPlans = (plans: readonly ServicePlan[], filter: RouteFilter): ServicePlan[] =>
  plans
    .filter(({ service }) => {
      const [namespace = '', hostname = ''] = service.split('/');
      if (filter.namespace !== undefined && filter.namespace !== namespace) return false;
      return filter.service === undefined || hostname === filter.service || hostname.split('.')[0] === filter.service;
    })
    .sort((a, b) => (a.service < b.service ? -1 : 1));

/** The routes of plans, a row per rule, in the order in which they are tried. A service without routes of its own has one row. */
export const routeRows = (plans: readonly ServicePlan[]): Rows => ({
  header: ['SERVICE', 'PORT', 'MATCH', 'BACKENDS', 'ROUTE'],
  rows: plans.flatMap((plan) => {
    const rows = plan.ports.flatMap((entry) => {
      const port = entry.port === 0 ? '*' : String(entry.port);
      return [
        ...httpRows(plan.service, port, '', entry.http),
        ...(entry.consumers ?? []).flatMap(({ namespace, http }) => httpRows(plan.service, port, `from ${namespace}: `, http)),
        ...(entry.tls ?? []).map(({ name, sniHosts, backends }) => [
          plan.service,
          port,
          `tls ${sniHosts.length === 0 ? '*' : sniHosts.join(',')}`,
          backendsText(plan.service, backends),
          name,
        ]),
        ...(entry.tcp ?? []).map(({ name, sourceNamespace, backends }) => [
          plan.service,
          port,
          sourceNamespace === undefined ? 'tcp' : `tcp from ${sourceNamespace}`,
          backendsText(plan.service, backends),
          name,
        ]),
      ];
    });
    return rows.length > 0 ? rows : [[plan.service, '*', '*', 'itself', '-']];
  }),
});

const httpRows = (service: string, port: string, prefix: string, http: HttpTable | undefined): string[][] =>
  (http?.rules ?? []).map(({ match, action }) => {
    const chosen = http?.actions[action];
    return [
      service,
      port,
      `${prefix}${matchText(match)}`,
      chosen === undefined ? '(none)' : actionText(service, chosen),
      chosen?.name ?? '-',
    ];
  });

const PATH_FORM: Readonly<Record<PathMatch['kind'], (value: string) => string>> = {
  exact: (value) => value,
  segments: (value) => (value === '/' ? '/*' : `${value}/*`),
  prefix: (value) => `${value}*`,
  regex: (value) => `~${value}`,
};
const STRING_FORM: Readonly<Record<StringCondition['kind'], (value: string) => string>> = {
  exact: (value) => `=${value}`,
  prefix: (value) => `=${value}*`,
  suffix: (value) => `=*${value}`,
  regex: (value) => `~${value}`,
  present: () => '',
};
const conditionText = (name: string, { kind, value }: StringCondition): string => `${name}${STRING_FORM[kind](value)}`;
const fieldText = (sigil: string, { name, condition, isInverted }: FieldCondition): string =>
  `${isInverted === true ? 'not ' : ''}${sigil}${conditionText(name, condition)}`;

/** A match on one line: `GET /path/* host=a,b header:x=1 query:y~re`; `*` is everything. */
export const matchText = (match: HttpMatch): string => {
  const words = [
    ...(match.method === undefined ? [] : [match.method.kind === 'exact' ? match.method.value : conditionText('method', match.method)]),
    ...(match.path === undefined ? [] : [PATH_FORM[match.path.kind](match.path.value)]),
    ...(match.hosts === undefined || match.hosts.length === 0 ? [] : [`host=${match.hosts.join(',')}`]),
    ...(match.authority === undefined ? [] : [conditionText('authority', match.authority)]),
    ...(match.scheme === undefined ? [] : [conditionText('scheme', match.scheme)]),
    ...(match.headers ?? []).map((one) => fieldText('header:', one)),
    ...(match.query ?? []).map((one) => fieldText('query:', one)),
    ...(match.sourceNamespace === undefined ? [] : [`from ${match.sourceNamespace}`]),
  ];
  return words.length === 0 ? '*' : words.join(' ');
};

/** What an action does with a request, on one line. */
export const actionText = (service: string, action: HttpAction): string => {
  if (action.redirect !== undefined) {
    const { status, scheme, host, port } = action.redirect;
    return `redirect ${status}${scheme === undefined ? '' : ` ${scheme}:`}${host === undefined ? '' : ` ${host}`}${port === undefined ? '' : `:${port}`}`;
  }
  if (action.respond !== undefined) return `answer ${action.respond.status}`;
  return backendsText(service, action.backends);
};

/** Weights as written and as shares; a host of the service's own domain is shortened. */
const backendsText = (service: string, backends: readonly WeightedBackend[]): string => {
  if (backends.length === 0) return 'none (500)';
  const total = backends.reduce((sum, { weight }) => sum + weight, 0);
  return backends
    .map(({ service: backend, port, subset, weight, invalid }) => {
      const name = `${shortName(service, backend)}:${port}${subset === undefined ? '' : `/${subset}`}`;
      const share = backends.length === 1 ? '' : ` ${total === 0 ? 0 : Math.round((1000 * weight) / total) / 10}%`;
      return `${name}${share}${invalid === undefined ? '' : ` (500: ${invalid})`}`;
    })
    .join(', ');
};

const shortName = (service: string, backend: string): string => {
  const [ownNamespace] = service.split('/');
  const [namespace = '', hostname = ''] = backend.split('/');
  const name = hostname.split('.')[0] ?? hostname;
  if (!hostname.endsWith('.cluster.local')) return hostname;
  return namespace === ownNamespace ? name : `${name}.${namespace}`;
};
