import { expect, test } from 'bun:test';
import { hostProbeScript } from './probe-rules.ts';
import { DEFAULT_POD_RULES, podRules, removePodRulesScript, returnRoute } from './rules.ts';

const chain = (script: string, table: string, name: string): string[] => {
  const body = script.split(`table inet istio-ambient-${table} {\n`)[1]?.split('\n}')[0] ?? '';
  return (body.split(`chain ${name} {\n`)[1]?.split('  }')[0] ?? '')
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '');
};
const SYN = 'tcp flags & (fin | syn | rst | ack) == syn';
const NOT_PROXY = 'meta mark & 0xfff != 0x539';

test('writes the nat rules of the contract in its order, for SYN packets only', () => {
  const { script } = podRules(DEFAULT_POD_RULES);
  expect(chain(script, 'nat', 'prerouting')).toEqual([
    'type nat hook prerouting priority dstnat; policy accept;',
    'ip saddr 169.254.7.127 meta l4proto tcp accept',
    'ip6 saddr fd16:9254:7127:1337:ffff:ffff:ffff:ffff meta l4proto tcp accept',
    `ip daddr != 127.0.0.1 tcp dport != 15008 ${NOT_PROXY} ${SYN} redirect to :15006`,
    `ip6 daddr != ::1 tcp dport != 15008 ${NOT_PROXY} ${SYN} redirect to :15006`,
  ]);
  expect(chain(script, 'nat', 'output')).toEqual([
    'type nat hook output priority -100; policy accept;',
    'ip daddr 169.254.7.127 meta l4proto tcp accept',
    'ip6 daddr fd16:9254:7127:1337:ffff:ffff:ffff:ffff meta l4proto tcp accept',
    'meta l4proto tcp meta mark & 0xfff == 0x111 accept',
    'ip daddr != 127.0.0.1 oifname "lo" accept',
    'ip6 daddr != ::1 oifname "lo" accept',
    `ip daddr != 127.0.0.1 ${NOT_PROXY} ${SYN} redirect to :15001`,
    `ip6 daddr != ::1 ${NOT_PROXY} ${SYN} redirect to :15001`,
  ]);
});

test('marks connections of the proxy and gives their answers the mark back', () => {
  const { script } = podRules(DEFAULT_POD_RULES);
  expect(chain(script, 'mangle', 'prerouting')[1]).toBe('meta mark & 0xfff == 0x539 ct mark set ct mark & 0xfffff000 | 0x111');
  expect(chain(script, 'mangle', 'output')).toEqual([
    'type route hook output priority mangle; policy accept;',
    'ct mark & 0xfff == 0x111 meta mark set ct mark',
  ]);
});

test('never redirects a packet that does not open a connection', () => {
  const { script } = podRules({ ...DEFAULT_POD_RULES, captureDns: true, virtualInterfaces: ['br0'] });
  const redirects = script.split('\n').filter((line) => line.includes('redirect'));
  expect(redirects.length).toBe(8);
  for (const line of redirects) expect(line).toMatch(/== syn redirect|udp dport 53/);
});

test('has no redirects but keeps the way back while draining', () => {
  const { script } = podRules({ ...DEFAULT_POD_RULES, captureDns: true, draining: true });
  expect(script).not.toContain('redirect');
  expect(chain(script, 'nat', 'output')).toEqual(['type nat hook output priority -100; policy accept;']);
  expect(chain(script, 'mangle', 'output').length).toBe(2);
});

test('captures DNS, with a conntrack zone of its own, only when asked', () => {
  expect(podRules(DEFAULT_POD_RULES).script).not.toContain('15053');
  expect(podRules(DEFAULT_POD_RULES).ruleCounts['istio-ambient-raw']).toBe(1);
  const { script } = podRules({ ...DEFAULT_POD_RULES, captureDns: true });
  expect(chain(script, 'nat', 'output')[3]).toBe(`oifname != "lo" udp dport 53 ${NOT_PROXY} redirect to :15053`);
  expect(chain(script, 'raw', 'output')[1]).toBe('udp dport 53 meta mark & 0xfff == 0x539 ct zone set 1');
});

test('tracks connections in their client’s name apart from the client’s own', () => {
  for (const options of [DEFAULT_POD_RULES, { ...DEFAULT_POD_RULES, captureDns: true, draining: true }])
    expect(chain(podRules(options).script, 'raw', 'output').at(-1)).toBe(
      'meta l4proto tcp meta mark & 0xfff == 0x539 ct original zone set 2',
    );
});

test('puts virtual interfaces first and leaves plain text alone when inbound is bypassed', () => {
  const { script } = podRules({ ...DEFAULT_POD_RULES, bypassInbound: true, virtualInterfaces: ['br0'] });
  expect(chain(script, 'nat', 'prerouting').slice(1, 3)).toEqual([
    `iifname "br0" ${SYN} redirect to :15001`,
    'iifname "br0" meta l4proto tcp return',
  ]);
  expect(script).not.toContain('15006');
});

test('refuses what a redirect was meant for but did not happen to, and only that', () => {
  const { script } = podRules(DEFAULT_POD_RULES);
  const unguarded = ['meta l4proto != tcp accept', 'tcp flags & (fin | syn | rst | ack) != syn accept'];
  expect(chain(script, 'mangle', 'guard-output').slice(1)).toEqual([
    ...unguarded,
    'meta mark & 0xfff == 0x539 accept',
    'meta mark & 0xfff == 0x111 accept',
    'ip daddr 169.254.7.127 accept',
    'ip6 daddr fd16:9254:7127:1337:ffff:ffff:ffff:ffff accept',
    'oifname "lo" accept',
    'ct status dnat accept',
    'reject with tcp reset',
  ]);
  expect(chain(script, 'mangle', 'guard-input').slice(1)).toEqual([
    ...unguarded,
    'iifname "lo" accept',
    'ip saddr 169.254.7.127 accept',
    'ip6 saddr fd16:9254:7127:1337:ffff:ffff:ffff:ffff accept',
    'tcp dport { 15006, 15008 } accept',
    'ct status dnat accept',
    'reject with tcp reset',
  ]);
  expect(script).not.toContain('guard-forward');
  expect(podRules({ ...DEFAULT_POD_RULES, draining: true }).script).not.toContain('guard');
  const bypassed = podRules({ ...DEFAULT_POD_RULES, bypassInbound: true, virtualInterfaces: ['br0'] }).script;
  expect(chain(bypassed, 'mangle', 'guard-input').at(-1)).toBe('iifname "br0" reject with tcp reset');
  expect(chain(bypassed, 'mangle', 'guard-forward').at(-1)).toBe('iifname "br0" reject with tcp reset');
});

test('names its marker after the content', () => {
  const a = podRules(DEFAULT_POD_RULES);
  expect(podRules({ ...DEFAULT_POD_RULES }).marker).toBe(a.marker);
  expect(podRules({ ...DEFAULT_POD_RULES, draining: true }).marker).not.toBe(a.marker);
  expect(a.confirmation).toBe(`add chain inet istio-ambient-mangle ${a.marker}\n`);
  expect(a.script).not.toContain(a.marker);
});

test('removes exactly the three tables, and routes marked packets through table 100', () => {
  expect(removePodRulesScript().match(/delete table inet \S+/g)).toEqual([
    'delete table inet istio-ambient-mangle',
    'delete table inet istio-ambient-nat',
    'delete table inet istio-ambient-raw',
  ]);
  expect(returnRoute('add', 4).map((step) => step.join(' '))).toEqual([
    '-4 route replace local 0.0.0.0/0 dev lo table 100',
    '-4 rule add fwmark 0x111/0xfff pref 32764 lookup 100',
  ]);
  expect(returnRoute('del', 6).map((step) => step.join(' '))).toEqual([
    '-6 rule del fwmark 0x111/0xfff pref 32764 lookup 100',
    '-6 route del local ::/0 dev lo table 100',
  ]);
});

test('writes the probe rules with one element per address and family', () => {
  const script = hostProbeScript(['10.0.0.2', '10.0.0.1', '10.0.0.2', 'fd00::1']);
  expect(script).toContain('add element inet istio-ambient-host probes-v4 { 10.0.0.1, 10.0.0.2 }');
  expect(script).toContain('add element inet istio-ambient-host probes-v6 { fd00::1 }');
  expect(script).toContain('ip daddr @probes-v4 meta l4proto tcp meta skuid 0 snat ip to 169.254.7.127');
  expect(hostProbeScript([])).not.toContain('add element');
});
