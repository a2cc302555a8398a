/** Responses, valid ones, odd ones and hostile ones. */
import { type Case, get, raw, request } from '../case.ts';
import { SCRIPTS } from './scripts.ts';

const withBody = (name: string): Case => raw(`response: ${name}`, get('/seg', `x-do: ${name}`));
const forHead = (name: string): Case => raw(`response to HEAD: ${name}`, request('HEAD', '/seg', [`x-do: ${name}`]));

export const RESPONSES: readonly Case[] = [
  ...Object.keys(SCRIPTS)
    .filter((name) => name !== 'head' && name !== 'bad: body for HEAD')
    .map(withBody),
  ...['head', 'no-content', 'not-modified', 'bad: body for HEAD', 'bad: two lengths', 'bad: length and chunked', 'bad: coding gzip'].map(
    forHead,
  ),
  raw('response: 413 while the body is coming', [request('POST', '/seg', ['x-do: early413', 'Content-Length: 100000']), 'x'.repeat(1000)]),
  raw('response: trailers that are wanted', get('/seg', 'x-do: trailers', 'TE: trailers', 'Connection: TE')),
  raw('response: chunked, to HTTP/1.0', 'GET /seg HTTP/1.0\r\nHost: app.test\r\nx-do: chunked\r\n\r\n'),
  raw(
    'response: chunked, to HTTP/1.0 that keeps',
    'GET /seg HTTP/1.0\r\nHost: app.test\r\nConnection: keep-alive\r\nx-do: chunked\r\n\r\n',
  ),
  raw('response: interim, to HTTP/1.0', 'GET /seg HTTP/1.0\r\nHost: app.test\r\nx-do: early\r\n\r\n'),
];
