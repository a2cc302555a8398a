import { afterAll, beforeAll, beforeEach, expect, test } from 'bun:test';
import * as grpc from '@grpc/grpc-js';
import { Logging } from '../../platform/telemetry/index.ts';
import { Authenticator } from '../ca/authenticate.ts';
import { Authority } from '../ca/authority.ts';
import { ServingCredentials, servingNames } from '../ca/serving.ts';
import { CHANNEL, eventually, type Response, XdsClient } from '../harness.test.ts';
import { ADDRESS_TYPE, AUTHORIZATION_TYPE } from '../wire.ts';
import { DiscoveryServer } from './server.ts';
import { contentVersion, type NewResource, ResourceStore } from './store.ts';

const log = new Logging({ filter: 'off' }).logger('test');
let authority: Authority;
let serving: ServingCredentials;
let server: grpc.Server;
let port = 0;
let addresses: ResourceStore;
let policies: ResourceStore;
let discovery: DiscoveryServer;
const clients: XdsClient[] = [];

beforeAll(async () => {
  authority = await Authority.createRoot('test');
  serving = new ServingCredentials({});
  await serving.renew(authority, servingNames('istio-system', 'cluster.local', []));
});
beforeEach(async () => {
  for (const client of clients.splice(0)) client.close();
  server?.forceShutdown();
  addresses = new ResourceStore(ADDRESS_TYPE);
  policies = new ResourceStore(AUTHORIZATION_TYPE);
  const reviewer = {
    reviewToken: async (token: string) => ({
      authenticated: token === 'good',
      audiences: ['istio-ca'],
      user: { username: 'system:serviceaccount:istio-system:ztunnel' },
    }),
  };
  discovery = new DiscoveryServer([addresses, policies], new Authenticator(reviewer), log);
  discovery.open();
  server = new grpc.Server({ 'grpc.max_receive_message_length': -1 });
  const service = discovery.service();
  server.addService(service.definition, service.implementation);
  port = await new Promise((resolve, reject) =>
    server.bindAsync('127.0.0.1:0', serving, (error, bound) => (error === null ? resolve(bound) : reject(error))),
  );
});
afterAll(() => {
  for (const client of clients) client.close();
  server.forceShutdown();
});

const connect = (token = 'good'): XdsClient => {
  const client = new XdsClient({ xdsPort: port, rootPem: authority.rootPem }, token);
  clients.push(client);
  return client;
};
const value = (content: string): Uint8Array => new TextEncoder().encode(content);
const set = (store: ResourceStore, entries: Record<string, string | undefined | NewResource>): void => {
  store.apply(new Map(Object.entries(entries).map(([name, entry]) => [name, typeof entry === 'string' ? { value: value(entry) } : entry])));
  discovery.pushAll();
};
const names = (response: Response): string[] => response.resources.map((resource) => resource.name).sort();
const versionOf = (content: string): string => contentVersion(value(content));

test('an empty subscription is a wildcard: everything first, then changes and removals under their names', async () => {
  set(addresses, { a: '1', b: '1' });
  const client = connect();
  client.begin(ADDRESS_TYPE);
  const first = await client.nextAcked();
  expect(names(first)).toEqual(['a', 'b']);
  expect(first.resources.map((resource) => resource.version)).toEqual([versionOf('1'), versionOf('1')]);
  set(addresses, { a: '2', b: undefined, c: '1' });
  const second = await client.nextAcked();
  expect(names(second)).toEqual(['a', 'c']);
  expect(second.removed).toEqual(['b']);
  set(addresses, { a: '2' });
  await client.expectSilence();
});

test('the first request of every type is answered, even with nothing, known type or not', async () => {
  const client = connect();
  for (const typeUrl of [ADDRESS_TYPE, AUTHORIZATION_TYPE, 'type.googleapis.com/some.other.Type']) {
    client.begin(typeUrl);
    expect(await client.nextAcked()).toMatchObject({ typeUrl, resources: [], removed: [] });
  }
  set(policies, { 'ns/p': '1' });
  expect(await client.nextAcked()).toMatchObject({ typeUrl: AUTHORIZATION_TYPE });
});

test('a client without node id or with a bad token is told so', async () => {
  const anonymous = connect();
  anonymous.send({ typeUrl: ADDRESS_TYPE });
  expect(await anonymous.status.promise).toMatchObject({ code: grpc.status.INVALID_ARGUMENT, details: 'missing node information' });
  for (const token of ['', 'bad']) {
    const refused = connect(token);
    refused.begin(ADDRESS_TYPE);
    expect(await refused.status.promise).toMatchObject({ code: grpc.status.UNAUTHENTICATED });
  }
});

test('streams opened before the first compilation wait for it; who brings what it holds still gets only the differences', async () => {
  const waiting = new DiscoveryServer(
    [addresses],
    new Authenticator({
      reviewToken: async () => ({ authenticated: true, audiences: ['istio-ca'], user: { username: 'system:serviceaccount:a:b' } }),
    }),
    log,
  );
  const service = waiting.service();
  const second = new grpc.Server();
  second.addService(service.definition, service.implementation);
  port = await new Promise((resolve) => second.bindAsync('127.0.0.1:0', serving, (_error, bound) => resolve(bound)));
  const client = connect();
  client.begin(ADDRESS_TYPE);
  await client.expectSilence();
  const returning = connect();
  const versions = { held: contentVersion(Buffer.from('1')), gone: '1234' };
  returning.begin(ADDRESS_TYPE, { typeUrl: ADDRESS_TYPE, versions });
  await returning.expectSilence();
  const onDemand = connect();
  onDemand.begin(ADDRESS_TYPE, { typeUrl: ADDRESS_TYPE, unsubscribe: ['*'] });
  onDemand.send({ typeUrl: ADDRESS_TYPE, subscribe: ['late'] });
  await onDemand.expectSilence();
  set(addresses, { late: '1', held: '1' });
  waiting.open();
  expect(names(await client.nextAcked())).toEqual(['held', 'late']);
  const difference = await returning.nextAcked();
  expect([names(difference), difference.removed]).toEqual([['late'], ['gone']]);
  const asked = await onDemand.nextAcked();
  expect([names(asked), asked.removed]).toEqual([['late'], []]);
  second.forceShutdown();
});

test('a reconnecting client gets only what differs from what it holds, and what is gone', async () => {
  set(addresses, { same: '1', changed: '2', fresh: '1' });
  const client = connect();
  client.begin(ADDRESS_TYPE, { typeUrl: '', versions: { same: versionOf('1'), changed: versionOf('1'), gone: 'x' } });
  const first = await client.nextAcked();
  expect(names(first)).toEqual(['changed', 'fresh']);
  expect(first.removed).toEqual(['gone']);
  const again = connect();
  again.begin(ADDRESS_TYPE, { typeUrl: '', versions: { same: versionOf('1'), changed: versionOf('2'), fresh: versionOf('1') } });
  expect(await again.nextAcked()).toMatchObject({ resources: [], removed: [] });
});

test('"*" subscribed and unsubscribed at once means nothing yet; each later subscribe is answered', async () => {
  set(addresses, { 'c//Pod/ns/p': { value: value('1'), aliases: ['net/10.0.0.1'] }, other: '1' });
  const client = connect();
  client.begin(ADDRESS_TYPE, { typeUrl: '', subscribe: ['*'], unsubscribe: ['*'] });
  expect(await client.nextAcked()).toMatchObject({ resources: [], removed: [] });
  set(addresses, { other: '2' });
  await client.expectSilence();
  client.send({ typeUrl: ADDRESS_TYPE, subscribe: ['other'] });
  expect(names(await client.nextAcked())).toEqual(['other']);
  client.send({ typeUrl: ADDRESS_TYPE, subscribe: ['never/was'] });
  expect(await client.nextAcked()).toMatchObject({ resources: [], removed: ['never/was'] });
  set(addresses, { 'never/was': '1' });
  expect(names(await client.nextAcked())).toEqual(['never/was']);
  client.send({ typeUrl: ADDRESS_TYPE, unsubscribe: ['other'] });
  await client.expectSilence(50);
  set(addresses, { other: '3' });
  await client.expectSilence();
});

test('a lookup by alias answers under the primary name, mentions the asked-for string, and follows later changes', async () => {
  set(addresses, { uid: { value: value('1'), aliases: ['net/10.0.0.1'] } });
  const client = connect();
  client.begin(ADDRESS_TYPE, { typeUrl: '', subscribe: ['*'], unsubscribe: ['*'] });
  await client.nextAcked();
  client.send({ typeUrl: ADDRESS_TYPE, subscribe: ['net/10.0.0.1'] });
  const hit = await client.nextAcked();
  expect(hit.resources).toMatchObject([{ name: 'uid', aliases: ['net/10.0.0.1'] }]);
  expect(hit.removed).toEqual(['net/10.0.0.1']);
  set(addresses, { uid: { value: value('2'), aliases: ['net/10.0.0.2'] } });
  expect(names(await client.nextAcked())).toEqual(['uid']);
  client.send({ typeUrl: ADDRESS_TYPE, subscribe: ['net/10.0.0.9'] });
  expect((await client.nextAcked()).removed).toEqual(['net/10.0.0.9']);
  set(addresses, { newcomer: { value: value('1'), aliases: ['net/10.0.0.9'] } });
  expect(names(await client.nextAcked())).toEqual(['newcomer']);
});

test('asking for a service brings its workloads, and for a workload its services', async () => {
  set(addresses, {
    'ns/svc': { value: value('s'), aliases: ['/10.96.0.1'] },
    pod1: { value: value('1'), links: ['ns/svc'] },
    pod2: { value: value('2'), links: ['ns/svc'] },
    stranger: '1',
  });
  const client = connect();
  client.begin(ADDRESS_TYPE, { typeUrl: '', subscribe: ['/10.96.0.1'] });
  expect(names(await client.nextAcked())).toEqual(['ns/svc', 'pod1', 'pod2']);
  set(addresses, { pod2: { value: value('3'), links: ['ns/svc'] } });
  expect(names(await client.nextAcked())).toEqual(['pod2']);
  const other = connect();
  other.begin(ADDRESS_TYPE, { typeUrl: '', subscribe: ['pod1'] });
  expect(names(await other.nextAcked())).toEqual(['ns/svc', 'pod1']);
});

test('an on-demand client that reconnects keeps its subscriptions and is answered for what it never got', async () => {
  set(addresses, { held: '2', wanted: '1', untouched: '1' });
  const client = connect();
  client.begin(ADDRESS_TYPE, {
    typeUrl: '',
    subscribe: ['*'],
    unsubscribe: ['*'],
    versions: { held: versionOf('1'), untouched: versionOf('1'), wanted: '', missing: '' },
  });
  const first = await client.nextAcked();
  expect(names(first)).toEqual(['held', 'wanted']);
  expect(first.removed).toEqual(['missing']);
  set(addresses, { untouched: '2' });
  expect(names(await client.nextAcked())).toEqual(['untouched']);
});

test('wildcard can be left and taken again', async () => {
  set(addresses, { a: '1' });
  const client = connect();
  client.begin(ADDRESS_TYPE);
  await client.nextAcked();
  client.send({ typeUrl: ADDRESS_TYPE, unsubscribe: ['*'] });
  await client.expectSilence(50);
  set(addresses, { a: '2', b: '1' });
  await client.expectSilence();
  client.send({ typeUrl: ADDRESS_TYPE, subscribe: ['*'] });
  expect(names(await client.nextAcked())).toEqual(['a', 'b']);
});

test('a stale nonce is ignored and a NACK is never answered, but later changes still come', async () => {
  set(addresses, { a: '1' });
  const client = connect();
  client.begin(ADDRESS_TYPE);
  const first = await client.next();
  client.send({ typeUrl: ADDRESS_TYPE, nonce: 'not-mine', subscribe: ['zzz'] });
  await client.expectSilence();
  client.ack(first, 'a: cannot be parsed: bad; very bad; ');
  await client.expectSilence();
  const [connection] = [...discovery.connections];
  expect(Object.fromEntries(connection!.subscriptions.get(ADDRESS_TYPE)!.rejected)).toEqual({
    '*': 'a: cannot be parsed: bad; very bad; ',
  });
  set(addresses, { a: '2' });
  expect(names(await client.nextAcked())).toEqual(['a']);
});

test('a partial NACK is remembered per resource until that resource is accepted', async () => {
  set(policies, { 'ns/good': '1', 'ns/bad': '1', 'ns/worse': '1' });
  const client = connect();
  client.begin(AUTHORIZATION_TYPE);
  const first = await client.next();
  client.ack(first, 'ns/bad: unknown match; with detail; ns/worse: no; ');
  await client.expectSilence(50);
  const rejected = () => Object.fromEntries([...discovery.connections][0]!.subscriptions.get(AUTHORIZATION_TYPE)!.rejected);
  expect(rejected()).toEqual({ 'ns/bad': 'unknown match; with detail', 'ns/worse': 'no; ' });
  set(policies, { 'ns/bad': '2' });
  const second = await client.next();
  expect(names(second)).toEqual(['ns/bad']);
  client.ack(second);
  await client.expectSilence(50);
  expect(rejected()).toEqual({ 'ns/worse': 'no; ' });
});

test('a client that does not acknowledge costs one merged response, not a queue', async () => {
  set(addresses, { a: '0' });
  const client = connect();
  client.begin(ADDRESS_TYPE);
  const first = await client.next();
  for (let i = 1; i <= 50; i++) set(addresses, { a: String(i), [`n${i % 3}`]: String(i), brief: i % 2 === 0 ? undefined : '1' });
  await client.expectSilence();
  client.ack(first);
  const merged = await client.nextAcked();
  expect(names(merged)).toEqual(['a', 'n0', 'n1', 'n2']);
  expect(merged.resources.find((resource) => resource.name === 'a')?.version).toBe(versionOf('50'));
  expect(merged.removed).toEqual(['brief']);
  await client.expectSilence();
});

test('many clients get the same large answer at once', async () => {
  set(addresses, Object.fromEntries(Array.from({ length: 5000 }, (_, index) => [`cluster//Pod/ns/pod-${index}`, 'x'.repeat(300)])));
  const many = Array.from({ length: 20 }, () => connect());
  for (const client of many) client.begin(ADDRESS_TYPE);
  const answers = await Promise.all(many.map((client) => client.nextAcked()));
  for (const answer of answers) expect(answer.resources.length).toBe(5000);
  expect(discovery.connections.size).toBe(20);
  for (const client of many) client.close();
  await eventually(() => expect(discovery.connections.size).toBe(0));
}, 30_000);

test('the serving certificate is replaced while streams stay open', async () => {
  const client = connect();
  client.begin(ADDRESS_TYPE);
  await client.nextAcked();
  const before = authority;
  authority = await Authority.createRoot('next');
  await serving.renew(authority, servingNames('istio-system', 'cluster.local', []));
  const newcomer = connect(); // trusts only the new root
  newcomer.begin(ADDRESS_TYPE);
  await newcomer.nextAcked();
  set(addresses, { a: '1' });
  expect(names(await client.nextAcked())).toEqual(['a']);
  authority = before;
  await serving.renew(authority, servingNames('istio-system', 'cluster.local', []));
});

test('bytes that are no request end that stream with an error and nothing else', async () => {
  const client = new grpc.Client(`127.0.0.1:${port}`, grpc.credentials.createSsl(Buffer.from(authority.rootPem)), CHANNEL);
  const metadata = new grpc.Metadata();
  metadata.set('authorization', 'Bearer good');
  const call = client.makeBidiStreamRequest(
    '/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources',
    (bytes: Buffer) => bytes,
    (bytes: Buffer) => bytes,
    metadata,
  );
  const ended = new Promise<grpc.StatusObject>((resolve) => call.on('status', resolve));
  call.on('error', () => {});
  call.write(Buffer.from([0xff, 0xff, 0xff, 0xff]));
  expect((await ended).code).not.toBe(grpc.status.OK);
  client.close();
  const other = connect();
  other.begin(ADDRESS_TYPE);
  await other.nextAcked();
});
