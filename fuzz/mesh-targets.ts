/** The decoders of what the mesh means, and of DNS. */

import { FrameReader, framed } from '../src/dataplane/ztunnel/dns/framing.ts';
import { encodeAnswer, encodeCode, isAnswerTo, MAX_MESSAGE_BYTES, readQuery, relayed } from '../src/dataplane/ztunnel/dns/message.ts';
import { parseResolvConf } from '../src/dataplane/ztunnel/dns/resolv-conf.ts';
import { decodeServicePlan } from '../src/mesh/http/index.ts';
import { decodeAddress, decodeAuthorization, MeshRegistry } from '../src/mesh/index.ts';
import { parseLocalConfig } from '../src/mesh/local/index.ts';
import { Action, AddressTable, AuthorizationTable, encodeMessage, Scope, ServicePlanTable } from '../src/protocol/index.ts';
import { pieces, type Target } from './target.ts';

const text = (value: string): Uint8Array => Buffer.from(value, 'utf8');

const workload = {
  uid: 'c//Pod/n/p',
  name: 'p',
  namespace: 'n',
  addresses: [Uint8Array.of(10, 0, 0, 1)],
  serviceAccount: 's',
  node: 'node1',
  tunnelProtocol: 1,
  authorizationPolicies: ['n/x'],
  services: { 'n/web.n.svc.cluster.local': { ports: [{ servicePort: 80, targetPort: 8080 }] } },
  waypoint: {
    destination: { case: 'hostname' as const, value: { namespace: 'n', hostname: 'w.n.svc.cluster.local' } },
    hboneMtlsPort: 15_008,
  },
};

const address: Target = {
  name: 'wds-address',
  about: 'workloads and services of WDS, and the registry they go into',
  isStream: false,
  words: ['\x0a\x04\x0a\x00\x00\x01', '\x12\x02n/', '\x22\x00'],
  seeds: () => [
    encodeMessage(AddressTable, { type: { case: 'workload', value: workload } }),
    encodeMessage(AddressTable, {
      type: {
        case: 'service',
        value: {
          name: 'web',
          namespace: 'n',
          hostname: 'web.n.svc.cluster.local',
          addresses: [{ network: '', address: Uint8Array.of(10, 96, 0, 1) }],
          ports: [{ servicePort: 80, targetPort: 8080 }],
          loadBalancing: { routingPreference: [1, 2], mode: 1 },
        },
      },
    }),
  ],
  run(bytes) {
    const decoded = decodeAddress(bytes);
    if (!decoded.ok) return decoded.error;
    const registry = new MeshRegistry();
    for (let twice = 0; twice < 2; twice++) {
      if (decoded.value.kind === 'workload') registry.insertWorkload(decoded.value.workload);
      else registry.insertService(decoded.value.service);
    }
    const name =
      decoded.value.kind === 'workload'
        ? decoded.value.workload.uid
        : `${decoded.value.service.namespace}/${decoded.value.service.hostname}`;
    registry.remove(name);
    if (registry.allWorkloads().length > 0) throw new Error(`${name} is still there after it was removed`);
    return [decoded.value.kind];
  },
};

const authorization: Target = {
  name: 'wds-authorization',
  about: 'authorization policies of WDS',
  isStream: false,
  words: ['\x22\x02\x0a\x00', '\x0a\x04\x0a\x00\x00\x00', '\x1a\x00'],
  seeds: () => [
    encodeMessage(AuthorizationTable, {
      name: 'p',
      namespace: 'n',
      scope: Scope.NAMESPACE,
      action: Action.DENY,
      rules: [
        {
          clauses: [
            {
              matches: [
                {
                  principals: [{ matchType: { case: 'exact', value: 'cluster.local/ns/n/sa/s' } }],
                  sourceIps: [{ address: Uint8Array.of(10, 0, 0, 0), length: 8 }],
                  destinationPorts: [80],
                },
              ],
            },
          ],
        },
      ],
    }),
  ],
  run(bytes) {
    const decoded = decodeAuthorization(bytes);
    return decoded.ok ? [`ok ${decoded.value.policy.action}`, ...decoded.value.warnings] : decoded.error;
  },
};

const plan: Target = {
  name: 'plan',
  about: 'the route plan of a service',
  isStream: false,
  words: ['"name":', '"rules":[', '{}', 'null', '1e999', '"\\ud800"', '[[[['],
  seeds: () => [text('{"version":1,"host":"web.n.svc.cluster.local","namespace":"n","ports":[]}'), encodeMessage(ServicePlanTable, {})],
  run(bytes) {
    const decoded = decodeServicePlan(bytes);
    return [decoded.ok ? `ok ${Object.keys(decoded.value).join()}` : decoded.error];
  },
};

const local: Target = {
  name: 'local-config',
  about: 'the local configuration (YAML)',
  isStream: false,
  words: ['workloads:\n', '- uid: x\n', 'services:\n', '&a ', '*a', '!Exact "x"', '? ', '<<: *a', '\t', '|\n'],
  seeds: () => [
    text(
      'workloads:\n- uid: cluster//v1/Pod/default/local\n  name: local\n  namespace: default\n  serviceAccount: default\n  workloadIps: ["127.0.0.1"]\n  protocol: HBONE\n  node: local\n  services:\n    "default/web.default.svc.cluster.local":\n      "80": 8080\npolicies: []\nservices:\n- name: web\n  namespace: default\n  hostname: web.default.svc.cluster.local\n  vips: ["/10.96.0.1"]\n  ports: {"80": 8080}\n',
    ),
  ],
  run(bytes) {
    const decoded = parseLocalConfig(Buffer.from(bytes).toString());
    return decoded.ok
      ? [`ok ${decoded.value.workloads.length} ${decoded.value.services.length} ${decoded.value.policies.length}`]
      : decoded.error;
  },
};

const query = Buffer.from('00010100000100000000000103777777076578616d706c6503636f6d00000100010000290200000080000000', 'hex');

const dns: Target = {
  name: 'dns-message',
  about: 'DNS queries, and answers to them',
  isStream: false,
  words: ['\xc0\x0c', '\x03www\x00', '\0\x01\0\x01', '\0\0\x29\x10\0'],
  seeds: () => [query, Buffer.from('000081800001000100000000037777770000010001c00c000100010000001e000401020304', 'hex')],
  run(bytes) {
    const message = Buffer.from(bytes);
    const asked = readQuery(Buffer.from(query))!;
    const events = [`answers ${isAnswerTo(Buffer.from(query), asked, message)}`];
    if (message.length >= 12) {
      const passed = relayed(message, Buffer.from(query), asked, 512);
      if (passed.length > 512) throw new Error(`${passed.length} octets for a client that takes 512`);
      events.push(`relayed ${passed.length < message.length ? 'cut' : 'whole'}`);
    }
    const read = readQuery(message);
    if (read === undefined) return [...events, 'no query'];
    const answer = encodeAnswer(message, read, { alias: undefined, addresses: ['10.0.0.1', '10.0.0.2'] }, read.udpBytes);
    if (answer.length > Math.max(read.udpBytes, 512) || encodeCode(message, read, 2).length > MAX_MESSAGE_BYTES)
      throw new Error('an answer is too long for its client');
    return [...events, `${read.type} ${read.address !== undefined} ${read.edns !== undefined} ${read.isTransfer}`];
  },
};

const framing: Target = {
  name: 'dns-framing',
  about: 'DNS messages on TCP',
  isStream: true,
  words: ['\0\0', '\0\x01a', '\xff\xff'],
  seeds: () => [Buffer.concat([framed(query), framed(Buffer.from('x'))])],
  run(bytes, cuts) {
    const reader = new FrameReader();
    const events: string[] = [];
    for (const chunk of pieces(bytes, cuts)) {
      reader.push(Buffer.from(chunk));
      for (let message = reader.next(); message !== undefined; message = reader.next()) events.push(`message ${message.toString('hex')}`);
    }
    return [...events, `held ${reader.held}`];
  },
};

const resolver: Target = {
  name: 'resolv-conf',
  about: 'resolv.conf',
  isStream: false,
  words: ['nameserver ', 'search ', 'options timeout:', 'ndots:', '\n', '#', 'fe80::1%eth0'],
  seeds: () => [text('# comment\nnameserver 10.0.0.1\nnameserver fd00::1\nsearch a.b c\noptions ndots:5 timeout:1 attempts:3 rotate\n')],
  run: (bytes) => [JSON.stringify(parseResolvConf(Buffer.from(bytes).toString('latin1'), true))],
};

export const meshTargets: readonly Target[] = [address, authorization, plan, local, dns, framing, resolver];
