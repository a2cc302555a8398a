import { afterEach, beforeEach, expect, test } from 'bun:test';
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parse } from 'yaml';
import { CredentialSource } from './credentials.ts';
import { loadKubeConfig } from './kubeconfig.ts';
import { mergeContext, removeContext } from './kubeconfig-write.ts';

let dir = '';
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'kubeconfig-'));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

const write = (name: string, config: unknown): string => {
  const path = join(dir, name);
  writeFileSync(path, JSON.stringify(config));
  return path;
};
const config = (name: string, server: string, user: unknown = { token: `${name}-token` }) => ({
  'current-context': name,
  clusters: [{ name, cluster: { server } }],
  users: [{ name, user }],
  contexts: [{ name, context: { cluster: name, user: name, namespace: `${name}-ns` } }],
});

test('the first file of KUBECONFIG that names a thing wins and the others add to it', () => {
  const a = write('a', { clusters: [{ name: 'shared', cluster: { server: 'https://first' } }], 'current-context': '' });
  const b = write('b', {
    'current-context': 'shared',
    clusters: [{ name: 'shared', cluster: { server: 'https://second' } }],
    contexts: [{ name: 'shared', context: { cluster: 'shared', user: 'u' } }],
    users: [{ name: 'u', user: { token: 't' } }],
  });
  const loaded = loadKubeConfig({ KUBECONFIG: `${a}:${join(dir, 'missing')}:${b}` });
  expect(loaded).toMatchObject({ server: 'https://first', token: 't', namespace: 'default', context: 'shared' });
});

test('reads ~/.kube/config when KUBECONFIG is empty, and another context on request', () => {
  mkdirSync(join(dir, '.kube'));
  const both = config('one', 'https://one');
  const two = config('two', 'https://two/');
  for (const key of ['clusters', 'users', 'contexts'] as const) (both[key] as unknown[]).push(...two[key]);
  write('.kube/config', both);
  const env = { HOME: dir, KUBECONFIG: '' };
  expect(loadKubeConfig(env).server).toBe('https://one');
  expect(loadKubeConfig(env, { context: 'two' })).toMatchObject({ server: 'https://two', namespace: 'two-ns', token: 'two-token' });
  expect(() => loadKubeConfig(env, { context: 'three' })).toThrow('has no context "three"; it has: one, two');
});

test('certificate paths are relative to the file that names them, and inline data wins over them', () => {
  writeFileSync(join(dir, 'ca.pem'), 'CA');
  writeFileSync(join(dir, 'key.pem'), 'KEY');
  const path = write('c', {
    ...config('c', 'https://c', {
      'client-certificate-data': Buffer.from('CERT').toString('base64'),
      'client-certificate': 'nope',
      'client-key': 'key.pem',
    }),
    clusters: [
      {
        name: 'c',
        cluster: { server: 'https://c', 'certificate-authority': 'ca.pem', 'tls-server-name': 'api', 'insecure-skip-tls-verify': true },
      },
    ],
  });
  expect(loadKubeConfig({ KUBECONFIG: path })).toMatchObject({
    caPem: 'CA',
    clientCertPem: 'CERT',
    clientKeyPem: 'KEY',
    tlsServerName: 'api',
    insecureSkipTlsVerify: true,
  });
});

test('a pod uses its own service account before a kubeconfig in a home directory, and re-reads the token', async () => {
  for (const [name, text] of [
    ['token', 'first'],
    ['ca.crt', 'CA'],
    ['namespace', 'shop\n'],
  ] as const)
    writeFileSync(join(dir, name), text);
  mkdirSync(join(dir, '.kube'));
  write('.kube/config', config('home', 'https://home'));
  const env = { HOME: dir, KUBERNETES_SERVICE_HOST: 'fd00::1', KUBERNETES_SERVICE_PORT: '443' };
  const loaded = loadKubeConfig(env, { serviceAccountDir: dir });
  expect(loaded).toMatchObject({ server: 'https://[fd00::1]:443', caPem: 'CA', namespace: 'shop', context: 'in-cluster' });
  const source = new CredentialSource(loaded);
  expect((await source.current()).headers['authorization']).toBe('Bearer first');
  writeFileSync(join(dir, 'token'), 'second\n');
  expect((await source.current()).headers['authorization']).toBe('Bearer second');
  expect(
    loadKubeConfig({ ...env, KUBECONFIG: write('k', config('explicit', 'https://explicit')) }, { serviceAccountDir: dir }).server,
  ).toBe('https://explicit');
});

test('a credential plugin is run with KUBERNETES_EXEC_INFO, kept until it expires, and asked again after a refusal', async () => {
  const counter = join(dir, 'count');
  const plugin = join(dir, 'plugin.sh');
  writeFileSync(
    plugin,
    `#!/bin/sh
echo x >> ${counter}
case "$KUBERNETES_EXEC_INFO" in *'"kind":"ExecCredential"'*) ;; *) exit 3 ;; esac
echo '{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1","status":{"token":"'$EXTRA-$1'","expirationTimestamp":"2030-01-01T00:00:00Z"}}'
`,
  );
  chmodSync(plugin, 0o755);
  const path = write(
    'p',
    config('p', 'https://p', {
      exec: {
        apiVersion: 'client.authentication.k8s.io/v1',
        command: './plugin.sh',
        args: ['arg'],
        env: [{ name: 'EXTRA', value: 'e' }],
        interactiveMode: 'Never',
      },
    }),
  );
  const source = new CredentialSource(loadKubeConfig({ KUBECONFIG: path }));
  const runs = () => readFileSync(counter, 'utf8').trim().split('\n').length;
  const early = Date.parse('2029-12-31T00:00:00Z');
  expect((await source.current(early)).headers['authorization']).toBe('Bearer e-arg');
  await source.current(early);
  expect(runs()).toBe(1);
  await source.current(Date.parse('2029-12-31T23:59:55Z'));
  expect(runs()).toBe(2);
  expect(source.invalidate()).toBe(true);
  await source.current(early);
  expect(runs()).toBe(3);
});

test('a credential plugin that fails or is missing says which one and what to do', async () => {
  const exec = {
    apiVersion: 'client.authentication.k8s.io/v1',
    command: 'no-such-plugin-anywhere',
    installHint: 'Install it from the shelf.',
    interactiveMode: 'Never',
  };
  const source = new CredentialSource(loadKubeConfig({ KUBECONFIG: write('p', config('p', 'https://p', { exec })) }));
  await expect(source.current()).rejects.toThrow('no-such-plugin-anywhere cannot be started');
  const failing = new CredentialSource(
    loadKubeConfig({ KUBECONFIG: write('q', config('q', 'https://q', { exec: { ...exec, command: 'false' } })) }),
  );
  await expect(failing.current()).rejects.toThrow('exit code 1');
});

test('a missing context or unreadable file is one sentence with the remedy', () => {
  expect(() => loadKubeConfig({ KUBECONFIG: join(dir, 'nothing') })).toThrow('lateen up');
  writeFileSync(join(dir, 'broken'), 'a: [b');
  expect(() => loadKubeConfig({ KUBECONFIG: join(dir, 'broken') })).toThrow('cannot be read');
  expect(() => loadKubeConfig({}, { kubeconfig: join(dir, 'nothing') })).toThrow('does not exist');
});

test('merging a context keeps what others wrote, makes it current, and leaves a private file and no litter', async () => {
  const path = write('k', { ...config('mine', 'https://mine'), preferences: { colors: true } });
  chmodSync(path, 0o644);
  const entry = { name: 'lateen', server: 'https://127.0.0.1:6443', caPem: 'CA', token: '1e3' };
  expect(await mergeContext({ KUBECONFIG: `${path}:${join(dir, 'other')}` }, entry)).toBe(path);
  await mergeContext({ KUBECONFIG: path }, { ...entry, server: 'https://127.0.0.1:7443' });
  const written = parse(readFileSync(path, 'utf8'));
  expect(written).toMatchObject({ 'current-context': 'lateen', preferences: { colors: true } });
  expect(written.contexts.map((item: { name: string }) => item.name)).toEqual(['mine', 'lateen']);
  expect(statSync(path).mode & 0o777).toBe(0o600);
  expect(readdirSync(dir)).toEqual(['k']);
  expect(loadKubeConfig({ KUBECONFIG: path })).toMatchObject({ server: 'https://127.0.0.1:7443', token: '1e3', caPem: 'CA' });
  expect(readFileSync(path, 'utf8')).toContain('token: "1e3"');
});

test('removing a context undoes the merge in every file and clears a current context that named it', async () => {
  const path = write('k', config('mine', 'https://mine'));
  const before = parse(readFileSync(path, 'utf8'));
  await mergeContext({ KUBECONFIG: path }, { name: 'lateen', server: 'https://x', caPem: 'CA', clientCertPem: 'C', clientKeyPem: 'K' });
  await removeContext({ KUBECONFIG: path }, 'lateen');
  expect(parse(readFileSync(path, 'utf8'))).toMatchObject({ ...before, 'current-context': '' });
});

test('a symbolic link to the kubeconfig stays a link', async () => {
  const real = write('real', config('mine', 'https://mine'));
  symlinkSync(real, join(dir, 'link'));
  await mergeContext({ KUBECONFIG: join(dir, 'link') }, { name: 'lateen', server: 'https://x', caPem: 'CA' });
  expect(loadKubeConfig({ KUBECONFIG: real }).context).toBe('lateen');
  expect(readdirSync(dir).sort()).toEqual(['link', 'real']);
});

test('writers at the same time do not lose each other', async () => {
  const env = { KUBECONFIG: join(dir, 'new', 'config') };
  await Promise.all([1, 2, 3, 4].map((n) => mergeContext(env, { name: `c${n}`, server: `https://${n}`, caPem: 'CA' })));
  const written = parse(readFileSync(env.KUBECONFIG, 'utf8'));
  expect(written.contexts.map((item: { name: string }) => item.name).sort()).toEqual(['c1', 'c2', 'c3', 'c4']);
});
