import { parseDocument } from 'yaml';
import { badRequest, tooLarge, unsupportedMediaType } from './errors.ts';
import { depthOf, isObject, type JsonObject } from './json.ts';
import { LIMITS } from './limits.ts';
import { decodeProtobuf, PROTOBUF } from './protobuf.ts';

/** Who asks. */
export interface User {
  readonly name: string;
  readonly uid: string;
  readonly groups: readonly string[];
  readonly extra: Readonly<Record<string, readonly string[]>>;
}

/** A request as authorisation sees it. */
export interface RequestInfo {
  readonly path: string;
  readonly verb: string;
  readonly isResource: boolean;
  readonly group: string;
  readonly version: string;
  readonly namespace: string;
  readonly resource: string;
  readonly subresource: string;
  readonly name: string;
  /** What follows the subresource, for proxies. */
  readonly rest: string;
}

const VERBS: Readonly<Record<string, string>> = {
  POST: 'create',
  PUT: 'update',
  PATCH: 'patch',
  DELETE: 'delete',
  GET: 'get',
  HEAD: 'get',
};

export function parseRequest(method: string, url: URL): RequestInfo {
  const path = url.pathname;
  const parts = path.split('/').slice(1).map(decodeSegment);
  const none: RequestInfo = {
    path,
    verb: method.toLowerCase(),
    isResource: false,
    group: '',
    version: '',
    namespace: '',
    resource: '',
    subresource: '',
    name: '',
    rest: '',
  };
  let group = '';
  let version: string;
  let tail: string[];
  if (parts[0] === 'api' && parts.length >= 3) [version, tail] = [parts[1]!, parts.slice(2)];
  else if (parts[0] === 'apis' && parts.length >= 4) [group, version, tail] = [parts[1]!, parts[2]!, parts.slice(3)];
  else return none;
  if (tail.at(-1) === '' && tail.length > 1 && !tail.includes('proxy')) tail.pop();
  if (tail[0] === '' || tail[0] === undefined) return none;
  let isWatchPath = false;
  if (tail[0] === 'watch') {
    isWatchPath = true;
    tail = tail.slice(1);
  }
  let namespace = '';
  if (tail[0] === 'namespaces' && tail.length > 1) {
    namespace = tail[1]!;
    if (tail.length > 2 && !['status', 'finalize'].includes(tail[2]!)) tail = tail.slice(2);
  }
  const [resource = '', name = '', subresource = ''] = tail;
  const watches = isWatchPath || isTrue(url.searchParams.get('watch'));
  let verb = VERBS[method] ?? method.toLowerCase();
  if (name === '' && verb === 'get') verb = watches ? 'watch' : 'list';
  else if (name === '' && verb === 'delete') verb = 'deletecollection';
  else if (isWatchPath) verb = 'watch';
  return { path, verb, isResource: true, group, version, namespace, resource, subresource, name, rest: tail.slice(3).join('/') };
}

function decodeSegment(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    throw badRequest(`the path segment ${JSON.stringify(segment)} is not valid percent-encoding`);
  }
}

export const isTrue = (value: string | null): boolean => value === 'true' || value === '1' || value === 'True';

/** The media type of a header, without parameters. */
export const mediaType = (header: string | null): string => (header ?? '').split(';')[0]!.trim().toLowerCase();

/** Reads a body up to the limit; 413 beyond it. */
export async function readBody(request: Request): Promise<Buffer> {
  const declared = Number(request.headers.get('content-length') ?? '0');
  if (declared > LIMITS.bodyBytes) throw tooLarge(LIMITS.bodyBytes);
  if (request.body === null) return Buffer.alloc(0);
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of request.body) {
    size += chunk.byteLength;
    if (size > LIMITS.bodyBytes) throw tooLarge(LIMITS.bodyBytes);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** The body as text; 400 when it is not UTF-8. */
export function textOf(body: Buffer): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: false }).decode(body);
  } catch {
    throw badRequest('the body of the request is not valid UTF-8');
  }
}

/** Parses a JSON, YAML or Kubernetes protobuf body. Throws a 400 that says where it is malformed. */
export function parseBody(body: Buffer, contentType: string): JsonObject {
  const type = mediaType(contentType);
  if (type === PROTOBUF) return decodeProtobuf(body);
  const text = textOf(body);
  if (type !== '' && !type.includes('json') && !type.includes('yaml')) throw unsupportedMediaType('application/json, application/yaml');
  const value = type.includes('yaml') ? parseYaml(text) : parseJson(text);
  if (!isObject(value)) throw badRequest(`the object provided is unrecognized (must be of type object): ${describe(value)}`);
  return value;
}

/** Reserved names that would reach a prototype are refused wherever they stand. */
function refuseReserved(key: string, value: unknown): unknown {
  if (key === '__proto__') throw badRequest('the field name "__proto__" is reserved');
  return value;
}

export function parseJson(text: string): unknown {
  let value: unknown;
  try {
    value = JSON.parse(text, text.includes('__proto__') ? refuseReserved : undefined);
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    throw badRequest(`couldn't get version/kind; json parse error: ${error.message}`);
  }
  return checkDepth(value);
}

export function parseYaml(text: string): unknown {
  const document = parseDocument(text, { schema: 'core', version: '1.2', uniqueKeys: true, prettyErrors: true });
  const problem = document.errors[0];
  if (problem !== undefined) throw badRequest(`error converting YAML to JSON: yaml: ${problem.message.split('\n')[0]}`);
  let value: unknown;
  try {
    value = document.toJS({ maxAliasCount: LIMITS.yamlAliases });
  } catch (error) {
    throw badRequest(`error converting YAML to JSON: yaml: ${error instanceof Error ? error.message : String(error)}`);
  }
  // through JSON, so that dates, maps and odd numbers become what JSON can say
  return parseJson(JSON.stringify(value) ?? 'null');
}

function checkDepth(value: unknown): unknown {
  if (depthOf(value, LIMITS.depth) > LIMITS.depth) throw badRequest(`the object is nested deeper than ${LIMITS.depth} levels`);
  return value;
}

const describe = (value: unknown): string => (value === null ? 'null' : Array.isArray(value) ? 'array' : typeof value);
