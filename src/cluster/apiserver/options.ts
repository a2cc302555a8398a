import { badRequest } from './errors.ts';
import { isObject } from './json.ts';
import type { DeleteOptions, FieldValidation, WriteOptions } from './operations.ts';
import { parseBody } from './request.ts';

/** The query parameters that every write understands. */
export function writeOptions(request: Request, query: URLSearchParams, subresource: string, warnings: string[]): WriteOptions {
  const dryRun = query.getAll('dryRun').filter((value) => value !== '');
  if (dryRun.some((value) => value !== 'All'))
    throw badRequest(`dryRun: Unsupported value: ${JSON.stringify(dryRun)}: supported values: "All"`);
  const validation = query.get('fieldValidation') ?? 'Warn';
  if (!['', 'Ignore', 'Warn', 'Strict'].includes(validation))
    throw badRequest(`fieldValidation: Unsupported value: "${validation}": supported values: "Ignore", "Strict", "Warn"`);
  const agent = (request.headers.get('user-agent') ?? 'unknown').split('/')[0]!.slice(0, 128);
  return {
    dryRun: dryRun.length > 0,
    fieldManager: query.get('fieldManager') || agent,
    fieldValidation: (validation === '' ? 'Warn' : validation) as FieldValidation, // one of the three, checked above
    subresource,
    warnings,
  };
}

/** `DeleteOptions`, from the body or from the query. */
export function deleteOptions(content: Buffer, contentType: string, query: URLSearchParams): DeleteOptions {
  const body = content.length === 0 ? {} : parseBody(content, contentType);
  const preconditions = isObject(body['preconditions']) ? body['preconditions'] : {};
  const grace = body['gracePeriodSeconds'] ?? (query.has('gracePeriodSeconds') ? Number(query.get('gracePeriodSeconds')) : undefined);
  if (grace !== undefined && grace !== null && (typeof grace !== 'number' || !Number.isInteger(grace)))
    throw badRequest('gracePeriodSeconds must be a whole number');
  const policy = body['propagationPolicy'] ?? query.get('propagationPolicy') ?? undefined;
  if (policy !== undefined && policy !== null && !['Background', 'Foreground', 'Orphan'].includes(String(policy))) {
    throw badRequest(
      `propagationPolicy: Unsupported value: ${JSON.stringify(policy)}: supported values: "Background", "Foreground", "Orphan"`,
    );
  }
  const dryRun = [...(Array.isArray(body['dryRun']) ? body['dryRun'] : []), ...query.getAll('dryRun')];
  return {
    dryRun: dryRun.includes('All'),
    ...(typeof grace === 'number' ? { gracePeriodSeconds: grace } : {}),
    ...(typeof policy === 'string'
      ? { propagationPolicy: policy }
      : body['orphanDependents'] === true
        ? { propagationPolicy: 'Orphan' }
        : {}),
    ...(typeof preconditions['uid'] === 'string' ? { uid: preconditions['uid'] } : {}),
    ...(typeof preconditions['resourceVersion'] === 'string' ? { resourceVersion: preconditions['resourceVersion'] } : {}),
  };
}
