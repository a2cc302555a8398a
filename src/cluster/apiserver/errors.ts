import type { FieldProblem } from '../../platform/kubernetes/kinds/index.ts';

interface Cause {
  reason: string;
  message: string;
  field: string;
}

/** `meta/v1.Status` of a failure. */
export interface FailureStatus {
  kind: 'Status';
  apiVersion: 'v1';
  metadata: Record<string, never>;
  status: 'Failure';
  message: string;
  reason: string;
  details?: { name?: string; group?: string; kind?: string; uid?: string; causes?: Cause[]; retryAfterSeconds?: number };
  code: number;
}

/** A refusal: its status is the whole HTTP answer. Thrown by the layers below, answered in one place. */
export class Refusal extends Error {
  readonly status: FailureStatus;
  constructor(code: number, reason: string, message: string, details?: FailureStatus['details']) {
    super(message);
    this.name = 'Refusal';
    this.status = {
      kind: 'Status',
      apiVersion: 'v1',
      metadata: {},
      status: 'Failure',
      message,
      reason,
      ...(details === undefined ? {} : { details }),
      code,
    };
  }
}

export interface Target {
  readonly group: string;
  readonly plural: string;
  readonly kind: string;
}

export const groupResource = (target: Pick<Target, 'group' | 'plural'>): string =>
  target.group === '' ? target.plural : `${target.plural}.${target.group}`;
const groupKind = (target: Target): string => (target.group === '' ? target.kind : `${target.kind}.${target.group}`);
const about = (target: Pick<Target, 'group' | 'plural'>, name: string) => ({
  name,
  ...(target.group === '' ? {} : { group: target.group }),
  kind: target.plural,
});

export const badRequest = (message: string) => new Refusal(400, 'BadRequest', message);
export const unauthorized = () => new Refusal(401, 'Unauthorized', 'Unauthorized');
export const notFound = (target: Pick<Target, 'group' | 'plural'>, name: string) =>
  new Refusal(404, 'NotFound', `${groupResource(target)} "${name}" not found`, about(target, name));
export const noSuchPath = () => new Refusal(404, 'NotFound', 'the server could not find the requested resource', {});
export const methodNotAllowed = () =>
  new Refusal(405, 'MethodNotAllowed', 'the server does not allow this method on the requested resource', {});
export const notAcceptable = (offered: string) =>
  new Refusal(406, 'NotAcceptable', `only the following media types are accepted: ${offered}`);
export const unsupportedMediaType = (accepted: string) =>
  new Refusal(415, 'UnsupportedMediaType', `the body of the request was in an unknown format - accepted media types include: ${accepted}`);
export const alreadyExists = (target: Target, name: string) =>
  new Refusal(409, 'AlreadyExists', `${groupResource(target)} "${name}" already exists`, about(target, name));
export const conflict = (target: Target, name: string, why: string) =>
  new Refusal(409, 'Conflict', `Operation cannot be fulfilled on ${groupResource(target)} "${name}": ${why}`, about(target, name));
export const modified = (target: Target, name: string) =>
  conflict(target, name, 'the object has been modified; please apply your changes to the latest version and try again');
export const gone = (message: string) => new Refusal(410, 'Expired', message);
export const tooLarge = (limit: number) => new Refusal(413, 'RequestEntityTooLarge', `Request entity too large: limit is ${limit}`);
export const unavailable = (message: string) => new Refusal(503, 'ServiceUnavailable', message);

export function forbidden(target: Pick<Target, 'group' | 'plural'>, name: string, why: string): Refusal {
  const subject = name === '' ? groupResource(target) : `${groupResource(target)} "${name}"`;
  return new Refusal(403, 'Forbidden', `${subject} is forbidden: ${why}`, about(target, name));
}

/** 422 with one cause per problem, worded as kube-apiserver words it. */
export function invalid(target: Target, name: string, problems: readonly FieldProblem[]): Refusal {
  const lines = problems.map(({ field, message }) => (field === '' ? message : `${field}: ${message}`));
  const summary = lines.length === 1 ? lines[0] : `[${lines.join(', ')}]`;
  return new Refusal(422, 'Invalid', `${groupKind(target)} "${name}" is invalid: ${summary}`, {
    name,
    ...(target.group === '' ? {} : { group: target.group }),
    kind: target.kind,
    causes: problems.map(({ field, reason, message }) => ({ reason, message, field })),
  });
}

export function applyConflict(conflicts: readonly { manager: string; field: string; apiVersion: string }[]): Refusal {
  const described = [...new Set(conflicts.map(({ manager, apiVersion }) => `"${manager}" using ${apiVersion}`))];
  const lines =
    conflicts.length === 1
      ? ` with ${described[0]}: ${conflicts[0]!.field}`
      : `s with ${described.join(' and ')}:\n${conflicts.map(({ field }) => `- ${field}`).join('\n')}`;
  return new Refusal(409, 'Conflict', `Apply failed with ${conflicts.length} conflict${lines}`, {
    causes: conflicts.map(({ manager, field, apiVersion }) => ({
      reason: 'FieldManagerConflict',
      message: `conflict with "${manager}" using ${apiVersion}`,
      field,
    })),
  });
}

/** The database refused: full or read-only disks say so in one sentence, and nothing was stored. */
export function storageFailure(error: unknown, directory: string): Refusal {
  const code = (error as { code?: unknown }).code;
  const text = error instanceof Error ? error.message : String(error);
  if (code === 'SQLITE_FULL')
    return new Refusal(
      507,
      'InsufficientStorage',
      `The disk that holds ${directory} is full: free some space, then try again; nothing was stored.`,
    );
  if (code === 'SQLITE_READONLY' || String(code).startsWith('SQLITE_READONLY')) {
    return new Refusal(
      500,
      'InternalError',
      `The database in ${directory} is read-only: make the directory writable for the API server; nothing was stored.`,
    );
  }
  return new Refusal(
    500,
    'InternalError',
    `The database in ${directory} failed (${String(code ?? 'no code')}: ${text}); nothing was stored.`,
  );
}
