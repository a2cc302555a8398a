import { expect, test } from 'bun:test';
import { DETECTION_BYTES, detectProtocol } from './detect.ts';
import { octets } from './testing/record.ts';

/** The answer and the number of octets it took. */
function decided(text: string): string {
  for (let length = 0; length <= text.length; length++) {
    const answer = detectProtocol(octets(text.slice(0, length)));
    if (answer !== 'more') return `${answer} ${length}`;
  }
  return `more ${text.length}`;
}

test('knows HTTP/1, HTTP/2 and TLS by their first octets', () => {
  expect(decided('GET / HTTP/1.1\r\n')).toBe('http1 5');
  expect(decided('OPTIONS * HTTP/1.1\r\n')).toBe('http1 10');
  expect(decided('GET http://a/ HTTP/1.1\r\n')).toBe('http1 11');
  expect(decided('GET https://a/ HTTP/1.1\r\n')).toBe('http1 12');
  expect(decided('CONNECT a:80 HTTP/1.1\r\n')).toBe('http1 9');
  expect(decided('CONNECT [::1]:80 HTTP/1.1\r\n')).toBe('http1 9');
  expect(decided('M-SEARCH / HTTP/1.1\r\n')).toBe('http1 10');
  expect(decided('UPDATEREDIRECTREF /')).toBe('http1 19');
  expect(decided('PROPFIND / HTTP/1.1\r\n')).toBe('http1 10');
  expect(decided('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')).toBe('http2 6');
  expect(decided('\x16\x03\x01\x02\x00\x01\x00')).toBe('tls 6');
});

test('gives up as soon as it can be none of them', () => {
  expect(decided('\x00\x00\x00\x01')).toBe('other 1');
  expect(decided('SSH-2.0-OpenSSH_9\r\n')).toBe('other 6');
  expect(decided('EHLO mail\r\n')).toBe('other 6');
  expect(decided('EHLO host.example\r\n')).toBe('other 7');
  expect(decided('PING\r\n')).toBe('other 5');
  expect(decided('*1\r\n$4\r\nPING\r\n')).toBe('other 1');
  expect(decided('get /key\r\n')).toBe('other 1');
  expect(decided('CONNECT {"verbose":false}\r\n')).toBe('other 9');
  expect(decided('INVITE sip:a@b SIP/2.0\r\n')).toBe('other 8');
  expect(decided('OPTIONS *x')).toBe('other 10');
  expect(decided('PRI /')).toBe('other 5');
  expect(decided('\x16\x02')).toBe('other 2');
  expect(decided('\x16\x03\x09')).toBe('other 3');
  expect(decided('\x16\x03\x03\x00\x10\x02')).toBe('other 6');
  expect(decided('GET  /')).toBe('other 5');
  expect(decided('\r\nGET /')).toBe('other 1');
});

test('always decides within its limit', () => {
  expect(decided('A'.repeat(100))).toBe('other 25');
  for (const text of [`${'A'.repeat(24)} https://`, `${'A'.repeat(24)} http:///`]) {
    expect(text).toHaveLength(DETECTION_BYTES);
    expect(decided(text)).toStartWith('http1 ');
  }
});
