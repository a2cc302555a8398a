import { expect, test } from 'bun:test';
import { callBody } from './clients.ts';
import { readH2load, readH2loadLog } from './h2load.ts';

const OUTPUT = `finished in 2.00s, 225096.00 req/s, 234.21MB/s
requests: 450192 total, 450256 started, 450192 done, 450190 succeeded, 2 failed, 0 errored, 0 timeout
status codes: 450190 2xx, 0 3xx, 0 4xx, 2 5xx
traffic: 468.43MB (491182576) total, 8.59MB (9003840) headers (space savings 47.37%), 441.79MB (463247568) data
                     min         max         mean         sd        +/- sd
time for request:       60us     11.24ms       163us       290us    97.37%
`;

test('the summary of h2load gives rate, counts and octets', () => {
  expect(readH2load(OUTPUT)).toEqual({ rps: 225_096, started: 450_256, succeeded: 450_190, failed: 2, dataBytes: 463_247_568 });
});

test('a summary without counts is refused and shown', () => {
  expect(() => readH2load('could not connect to host')).toThrow('could not connect to host');
});

test('the log gives the times of answered calls and counts the others', () => {
  const log = '1795808936800224\t200\t3245\n1795808936800226\t503\t17\n1795808936800226\t-1\t9\n1795808936800230\t200\t3273\n';
  expect(readH2loadLog(log)).toEqual({ latencies: Uint32Array.of(32_450, 32_730), failed: 2 });
  expect(readH2loadLog('').latencies).toHaveLength(0);
});

test('a call asks for its answer in the first eight octets of a whole gRPC message', () => {
  const body = callBody({ messages: 50, bytes: 200, asked: 64 });
  expect(body).toHaveLength(69);
  expect([body.readUInt8(0), body.readUInt32BE(1), body.readUInt32BE(5), body.readUInt32BE(9)]).toEqual([0, 64, 50, 200]);
});
