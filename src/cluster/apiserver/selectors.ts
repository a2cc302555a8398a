import { qualifiedNameProblem } from '../../platform/kubernetes/kinds/index.ts';
import { badRequest } from './errors.ts';
import { at } from './json.ts';
import type { StoredObject } from './store.ts';

/** A parsed `labelSelector` or `fieldSelector`. */
export type Predicate = (object: StoredObject) => boolean;

type LabelTest = (labels: Readonly<Record<string, string>>) => boolean;

/** Parses `a=b,c!=d,e in (f,g),h notin (i),j,!k`, with the numeric `>` and `<`. Throws a 400. */
export function parseLabelSelector(text: string): Predicate | undefined {
  const tests = splitTerms(text).map(parseLabelTerm);
  if (tests.length === 0) return undefined;
  return (object) => {
    const labels = object.metadata.labels ?? {};
    return tests.every((test) => test(labels));
  };
}

/** Splits at commas outside parentheses. */
function splitTerms(text: string): string[] {
  const terms: string[] = [];
  let depth = 0;
  let start = 0;
  for (let index = 0; index <= text.length; index++) {
    const char = text[index];
    if (char === '(') depth++;
    else if (char === ')') depth--;
    else if (char === undefined || (char === ',' && depth === 0)) {
      terms.push(text.slice(start, index).trim());
      start = index + 1;
    }
  }
  if (terms.length === 1 && terms[0] === '') return [];
  return terms;
}

const unparsable = (why: string) => badRequest(`unable to parse requirement: ${why}`);

function parseLabelTerm(term: string): LabelTest {
  const set = /^(\S+)\s+(in|notin)\s*\(([^()]*)\)$/.exec(term);
  if (set !== null) {
    const key = labelKey(set[1]!);
    const values = new Set(set[3]!.split(',').map((value) => value.trim()));
    return set[2] === 'in'
      ? (labels) => Object.hasOwn(labels, key) && values.has(labels[key]!)
      : (labels) => !Object.hasOwn(labels, key) || !values.has(labels[key]!);
  }
  const compared = /^([^=!<>\s]+)\s*(==|=|!=|>|<)\s*([^=!<>\s,()]*)$/.exec(term);
  if (compared !== null) {
    const key = labelKey(compared[1]!);
    const value = compared[3]!;
    switch (compared[2]) {
      case '!=':
        return (labels) => !Object.hasOwn(labels, key) || labels[key] !== value;
      case '>':
      case '<': {
        if (!/^-?\d+$/.test(value)) throw unparsable(`for 'Gt', 'Lt' operators, the value must be an integer: ${JSON.stringify(value)}`);
        const bound = Number(value);
        const isGreater = compared[2] === '>';
        return (labels) => /^-?\d+$/.test(labels[key] ?? '') && (isGreater ? Number(labels[key]) > bound : Number(labels[key]) < bound);
      }
      default:
        return (labels) => Object.hasOwn(labels, key) && labels[key] === value;
    }
  }
  const exists = /^(!?)\s*([^=!<>\s()]+)$/.exec(term);
  if (exists === null)
    throw unparsable(`found ${JSON.stringify(term)}, expected: key, key=value, key!=value, key in (values), key notin (values) or !key`);
  const key = labelKey(exists[2]!);
  return exists[1] === '!' ? (labels) => !Object.hasOwn(labels, key) : (labels) => Object.hasOwn(labels, key);
}

function labelKey(key: string): string {
  const problem = qualifiedNameProblem(key);
  if (problem !== undefined) throw unparsable(`<nil>: Invalid value: ${JSON.stringify(key)}: ${problem}`);
  return key;
}

/** Fields that may be selected by, beyond metadata.name and metadata.namespace; by `plural.group`. */
const FIELDS: Readonly<Record<string, readonly string[]>> = {
  pods: [
    'spec.nodeName',
    'spec.restartPolicy',
    'spec.schedulerName',
    'spec.serviceAccountName',
    'spec.hostNetwork',
    'status.phase',
    'status.podIP',
    'status.nominatedNodeName',
  ],
  events: [
    'involvedObject.kind',
    'involvedObject.namespace',
    'involvedObject.name',
    'involvedObject.uid',
    'involvedObject.apiVersion',
    'involvedObject.resourceVersion',
    'involvedObject.fieldPath',
    'reason',
    'reportingComponent',
    'source',
    'type',
  ],
  nodes: ['spec.unschedulable'],
  namespaces: ['status.phase'],
  secrets: ['type'],
  'replicasets.apps': ['status.replicas'],
  'jobs.batch': ['status.successful'],
  services: ['spec.clusterIP', 'spec.type'],
};

/** Parses `metadata.name=a,status.phase!=Running`. Throws a 400 for fields that cannot be selected by. */
export function parseFieldSelector(text: string, groupResource: string, extra: readonly string[] = []): Predicate | undefined {
  const tests: Predicate[] = [];
  for (const term of text.split(',')) {
    if (term.trim() === '') continue;
    const match = /^\s*([^=!\s]+)\s*(==|=|!=)\s*(.*)$/.exec(term);
    if (match === null) throw badRequest(`invalid selector: '${text}'; can't understand '${term}'`);
    const [, field, operator, value] = match as unknown as [string, string, string, string];
    if (
      field !== 'metadata.name' &&
      field !== 'metadata.namespace' &&
      !(FIELDS[groupResource] ?? []).includes(field) &&
      !extra.includes(field)
    ) {
      throw badRequest(`field label not supported: ${field}`);
    }
    const path = field === 'source' ? 'source.component' : field;
    const fallback = field === 'spec.hostNetwork' || field === 'spec.unschedulable' ? 'false' : '';
    const wanted = value.trim();
    const isNegated = operator === '!=';
    tests.push((object) => (String(at(object, path) ?? fallback) === wanted) !== isNegated);
  }
  if (tests.length === 0) return undefined;
  return (object) => tests.every((test) => test(object));
}
