/** Real kubectl against the embedded cluster: what its users type, and what it says. */
import { afterAll, beforeAll, expect, test as unconditional } from 'bun:test';
import path from 'node:path';
import { eventually, LATEEN, type Sandbox, sandbox } from './support/cluster.ts';

const KUBECTL = Bun.which('kubectl');
const reason = KUBECTL === null ? ' (not run: kubectl is not installed on this machine)' : '';
const test = (title: string, body: () => Promise<void>, limitMs = 60_000): void =>
  KUBECTL === null ? unconditional.skip(`${title}${reason}`, body) : unconditional(title, body, limitMs);

let box: Sandbox;
const run = (...words: readonly string[]) => box.run(['kubectl', ...words]);
const kubectl = async (...words: readonly string[]): Promise<string> => (await box.must(['kubectl', ...words])).trim();
const apply = (object: object, ...options: readonly string[]) =>
  box.must(['kubectl', 'apply', '-f', '-', ...options], { stdin: JSON.stringify(object) });
/** The cells of each line of a table. */
const table = (text: string): string[][] => text.split('\n').map((line) => line.trim().split(/ {2,}/));

const ECHO = {
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name: 'ticker', namespace: 'ai-preprocessing' },
  spec: {
    replicas: 2,
    selector: { matchLabels: { app: 'ticker' } },
    template: {
      metadata: { labels: { app: 'ticker' } },
      spec: {
        terminationGracePeriodSeconds: 1,
        containers: [
          {
            name: 'ticker',
            image: 'lateen/ticker:test',
            command: ['sh', '-c', 'echo "started with $WORD"; while :; do sleep 1 & wait $!; done'],
            env: [{ name: 'WORD', value: 'one' }],
          },
        ],
      },
    },
  },
};

beforeAll(async () => {
  box = sandbox();
  if (KUBECTL === null) return;
  await box.must([LATEEN, 'up'], { timeout: 170_000 });
  await kubectl('create', 'namespace', 'ai-preprocessing');
  await apply(ECHO);
}, 180_000);

afterAll(() => box.close());

test("the article's own command labels a namespace, once", async () => {
  expect(await kubectl('label', 'namespace', 'ai-preprocessing', 'istio.io/dataplane-mode=ambient')).toBe(
    'namespace/ai-preprocessing labeled',
  );
  expect(await kubectl('label', 'namespace', 'ai-preprocessing', 'istio.io/dataplane-mode=ambient')).toBe(
    'namespace/ai-preprocessing not labeled',
  );
  const clash = await run('label', 'namespace', 'ai-preprocessing', 'istio.io/dataplane-mode=none');
  expect(clash).toMatchObject({ code: 1, err: expect.stringContaining('already has a value (ambient)') });
  expect(table(await kubectl('get', 'namespace', 'ai-preprocessing', '-L', 'istio.io/dataplane-mode'))[1]).toEqual([
    'ai-preprocessing',
    'Active',
    expect.any(String),
    'ambient',
  ]);
});

test('the pods of a labelled namespace are annotated as redirected, and no longer once it is unlabelled', async () => {
  const redirected = (wanted: string) =>
    eventually(`redirection ${wanted || 'gone'}`, 30, async () => {
      const path = "{.items[*].metadata.annotations['ambient\\.istio\\.io/redirection']}";
      return (await kubectl('get', 'pods', '-n', 'ai-preprocessing', '-l', 'app=ticker', '-o', `jsonpath=${path}`)) === wanted
        ? true
        : undefined;
    });
  await kubectl('rollout', 'status', 'deployment/ticker', '-n', 'ai-preprocessing', '--timeout=60s');
  await redirected('enabled enabled');
  expect(await kubectl('label', 'namespace', 'ai-preprocessing', 'istio.io/dataplane-mode-')).toBe('namespace/ai-preprocessing unlabeled');
  await redirected('');
});

test('get prints the tables kubectl users know, with their wide columns', async () => {
  const deployments = table(await kubectl('get', 'deployments', '-n', 'ai-preprocessing', '-o', 'wide'));
  expect(deployments[0]).toEqual(['NAME', 'READY', 'UP-TO-DATE', 'AVAILABLE', 'AGE', 'CONTAINERS', 'IMAGES', 'SELECTOR']);
  expect(deployments[1]).toEqual(['ticker', '2/2', '2', '2', expect.any(String), 'ticker', 'lateen/ticker:test', 'app=ticker']);
  const pods = table(await kubectl('get', 'pods', '-n', 'istio-system', '-o', 'wide'));
  expect(pods[0]!.slice(0, 7)).toEqual(['NAME', 'READY', 'STATUS', 'RESTARTS', 'AGE', 'IP', 'NODE']);
  expect(pods).toHaveLength(6);
  expect(table(await kubectl('get', 'nodes'))[0]).toEqual(['NAME', 'STATUS', 'ROLES', 'AGE', 'VERSION']);
  expect(table(await kubectl('get', 'services', '-n', 'istio-system'))[0]).toEqual([
    'NAME',
    'TYPE',
    'CLUSTER-IP',
    'EXTERNAL-IP',
    'PORT(S)',
    'AGE',
  ]);
  expect(await kubectl('get', 'all', '-n', 'ai-preprocessing')).toMatch(
    /pod\/ticker-[\s\S]*deployment.apps\/ticker[\s\S]*replicaset.apps\/ticker-/,
  );
});

test('selectors by label and by field choose objects', async () => {
  const names = async (...words: string[]) => (await kubectl('get', 'pods', '-A', '-o', 'name', ...words)).split('\n');
  expect(await names('-l', 'app=ztunnel')).toHaveLength(2);
  expect(await names('-l', 'app in (ztunnel, istiod),app!=istiod')).toHaveLength(2);
  const onOne = await names('-l', 'app=ztunnel', '--field-selector', 'spec.nodeName=node1');
  expect(onOne).toHaveLength(1);
  expect(await names('-l', 'app=ztunnel', '--field-selector', 'spec.nodeName!=node1')).not.toEqual(onOne);
});

test('annotate, and each kind of patch, change what they name and nothing else', async () => {
  const target = ['deployment/ticker', '-n', 'ai-preprocessing'];
  await kubectl('annotate', ...target, 'note=first');
  await kubectl(
    'patch',
    ...target,
    '-p',
    '{"spec":{"template":{"spec":{"containers":[{"name":"ticker","env":[{"name":"MORE","value":"two"}]}]}}}}',
  );
  const env = '{.spec.template.spec.containers[0].env[*].name}';
  expect((await kubectl('get', ...target, '-o', `jsonpath=${env}`)).split(' ').sort()).toEqual(['MORE', 'WORD']);
  await kubectl('patch', ...target, '--type=merge', '-p', '{"metadata":{"annotations":{"note":null,"other":"x"}}}');
  const annotations = JSON.parse(await kubectl('get', ...target, '-o', 'jsonpath={.metadata.annotations}')) as Record<string, string>;
  expect(annotations['note']).toBeUndefined();
  expect(annotations['other']).toBe('x');
  await kubectl(
    'patch',
    ...target,
    '--type=json',
    '-p',
    '[{"op":"test","path":"/spec/replicas","value":2},{"op":"add","path":"/metadata/labels","value":{"tier":"a"}}]',
  );
  expect(await kubectl('get', ...target, '-o', 'jsonpath={.metadata.labels.tier}')).toBe('a');
  const failed = await run(
    'patch',
    ...target,
    '--type=json',
    '-p',
    '[{"op":"test","path":"/spec/replicas","value":9},{"op":"remove","path":"/metadata/labels"}]',
  );
  expect(failed.code).toBe(1);
  expect(await kubectl('get', ...target, '-o', 'jsonpath={.metadata.labels.tier}')).toBe('a');
});

test('a new template rolls out, its history is kept, and undo goes back', async () => {
  const target = ['deployment/ticker', '-n', 'ai-preprocessing'];
  await kubectl('set', 'env', ...target, 'WORD=three');
  expect(await kubectl('rollout', 'status', ...target, '--timeout=60s')).toContain('successfully rolled out');
  expect(await kubectl('logs', ...target)).toContain('started with three');
  expect((await kubectl('rollout', 'history', ...target)).split('\n').length).toBeGreaterThan(3);
  await kubectl('rollout', 'undo', ...target);
  await kubectl('rollout', 'status', ...target, '--timeout=60s');
  expect(await kubectl('logs', ...target)).toContain('started with one');
  await kubectl('rollout', 'restart', ...target);
  expect(await kubectl('rollout', 'status', ...target, '--timeout=60s')).toContain('successfully rolled out');
}, 120_000);

test('scale and wait', async () => {
  const target = ['deployment/ticker', '-n', 'ai-preprocessing'];
  expect(await kubectl('scale', ...target, '--replicas=3')).toBe('deployment.apps/ticker scaled');
  expect(await kubectl('wait', ...target, '--for=jsonpath={.status.readyReplicas}=3', '--timeout=60s')).toContain('condition met');
  await kubectl('scale', ...target, '--replicas=1');
  await kubectl('wait', ...target, '--for=jsonpath={.status.replicas}=1', '--timeout=60s');
  expect(await kubectl('wait', ...target, '--for=condition=Available', '--timeout=30s')).toBe('deployment.apps/ticker condition met');
});

test('describe shows a pod with its events', async () => {
  const text = await kubectl('describe', 'pods', '-n', 'ai-preprocessing', '-l', 'app=ticker');
  expect(text).toMatch(/Node: +node[12]\/10\.240\.0\.1[12]/);
  expect(text).toContain('Controlled By:  ReplicaSet/ticker-');
  expect(text).toMatch(/Normal +Scheduled .*Successfully assigned/);
  expect(text).toMatch(/Normal +Started .*Started container ticker/);
  expect(await kubectl('describe', 'node', 'node1')).toContain('Ready            True');
});

test('exec passes input, output and the exit code; cp copies out of a pod', async () => {
  const pod = await kubectl('get', 'pods', '-n', 'ai-preprocessing', '-l', 'app=ticker', '-o', 'jsonpath={.items[0].metadata.name}');
  expect(await kubectl('exec', '-n', 'ai-preprocessing', pod, '--', 'cat', '/etc/resolv.conf')).toContain('nameserver 10.96.0.10');
  expect((await run('exec', '-n', 'ai-preprocessing', pod, '--', 'sh', '-c', 'exit 7')).code).toBe(7);
  const echoed = await box.must(['kubectl', 'exec', '-i', '-n', 'ai-preprocessing', pod, '--', 'tr', 'a-z', 'A-Z'], {
    stdin: 'through the cluster',
  });
  expect(echoed).toBe('THROUGH THE CLUSTER');
  const copy = path.join(box.folder, 'hosts');
  await kubectl('cp', '-n', 'ai-preprocessing', `${pod}:/etc/hosts`, copy);
  expect(await Bun.file(copy).text()).toContain(pod);
});

test('logs follow a container', async () => {
  const child = Bun.spawn(['kubectl', 'logs', '-f', '-n', 'istio-system', 'daemonset/ztunnel'], {
    env: box.env,
    stdout: 'pipe',
    stderr: 'ignore',
  });
  const reader = child.stdout.getReader();
  const { value } = await reader.read();
  expect(new TextDecoder().decode(value)).toMatch(/^\d{4}-\d\d-\d\dT/);
  expect(child.exitCode).toBeNull();
  child.kill();
  await child.exited;
});

test('a watch shows an object being added, changed and deleted', async () => {
  const child = Bun.spawn(['kubectl', 'get', 'configmaps', '-n', 'default', '-w', '--output-watch-events', '-l', 'watched=yes'], {
    env: box.env,
    stdout: 'pipe',
    stderr: 'ignore',
  });
  let seen = '';
  const reading = (async () => {
    for await (const chunk of child.stdout) seen += new TextDecoder().decode(chunk);
  })();
  const shows = (event: string) => eventually(`${event} in the watch`, 15, async () => (seen.includes(event) ? true : undefined));
  await apply({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'seen', labels: { watched: 'yes' } }, data: { a: '1' } });
  await shows('ADDED');
  await kubectl('patch', 'configmap', 'seen', '-p', '{"data":{"b":"2"}}');
  await shows('MODIFIED');
  await kubectl('delete', 'configmap', 'seen');
  await shows('DELETED');
  child.kill();
  await reading;
  expect(table(seen.trim()).map((row) => row[0])).toEqual(['EVENT', 'ADDED', 'MODIFIED', 'DELETED']);
});

test('api-resources, explain and auth can-i answer from the server', async () => {
  const resources = await kubectl('api-resources', '-o', 'name');
  for (const name of [
    'pods',
    'deployments.apps',
    'authorizationpolicies.security.istio.io',
    'peerauthentications.security.istio.io',
    'endpointslices.discovery.k8s.io',
  ])
    expect(resources.split('\n')).toContain(name);
  expect(await kubectl('explain', 'authorizationpolicy.spec.action')).toContain('ALLOW');
  expect(await kubectl('auth', 'can-i', 'create', 'pods')).toBe('yes');
  const no = await run('auth', 'can-i', 'list', 'secrets', '--as=system:serviceaccount:ai-preprocessing:default');
  expect(no).toMatchObject({ code: 1, out: 'no\n' });
  expect(await kubectl('auth', 'can-i', 'get', 'secrets', '-n', 'istio-system', '--as=system:serviceaccount:istio-system:istiod')).toBe(
    'yes',
  );
});

test('server-side apply keeps fields apart by owner and says who owns a disputed one', async () => {
  const map = (data: Record<string, string>) => ({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'owned' }, data });
  expect(await apply(map({ a: '1' }), '--server-side', '--field-manager=first')).toContain('serverside-applied');
  await apply(map({ b: '2' }), '--server-side', '--field-manager=second');
  expect(JSON.parse(await kubectl('get', 'configmap', 'owned', '-o', 'jsonpath={.data}'))).toEqual({ a: '1', b: '2' });
  const clash = await box.run(['kubectl', 'apply', '--server-side', '--field-manager=second', '-f', '-'], {
    stdin: JSON.stringify(map({ a: '9', b: '2' })),
  });
  expect(clash.code).toBe(1);
  expect(clash.err).toContain('conflict with "first"');
  expect(clash.err).toContain('.data.a');
  await apply(map({ c: '3' }), '--server-side', '--field-manager=second');
  expect(JSON.parse(await kubectl('get', 'configmap', 'owned', '-o', 'jsonpath={.data}'))).toEqual({ a: '1', c: '3' });
});

test('a definition of the user makes a new kind, with its columns and its schema', async () => {
  await apply({
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: 'models.example.test' },
    spec: {
      group: 'example.test',
      scope: 'Namespaced',
      names: { plural: 'models', singular: 'model', kind: 'Model', shortNames: ['mdl'] },
      versions: [
        {
          name: 'v1',
          served: true,
          storage: true,
          additionalPrinterColumns: [{ name: 'Weights', type: 'integer', jsonPath: '.spec.weights' }],
          schema: {
            openAPIV3Schema: {
              type: 'object',
              properties: { spec: { type: 'object', required: ['weights'], properties: { weights: { type: 'integer', minimum: 1 } } } },
            },
          },
        },
      ],
    },
  });
  await kubectl('wait', 'crd/models.example.test', '--for=condition=Established', '--timeout=20s');
  const model = (weights: unknown) => ({ apiVersion: 'example.test/v1', kind: 'Model', metadata: { name: 'small' }, spec: { weights } });
  await apply(model(7));
  expect(table(await kubectl('get', 'mdl'))).toEqual([
    ['NAME', 'WEIGHTS'],
    ['small', '7'],
  ]);
  const refused = await box.run(['kubectl', 'apply', '-f', '-'], { stdin: JSON.stringify(model(0)) });
  expect(refused).toMatchObject({ code: 1, err: expect.stringContaining('spec.weights') });
  expect(await kubectl('get', 'model', 'small', '-o', 'jsonpath={.spec.weights}')).toBe('7');
});

test('delete ends the processes of a pod; a deleted namespace takes everything in it along', async () => {
  await kubectl('delete', 'deployment', 'ticker', '-n', 'ai-preprocessing');
  await kubectl('wait', 'pods', '-l', 'app=ticker', '-n', 'ai-preprocessing', '--for=delete', '--timeout=30s');
  await kubectl('create', 'configmap', 'left', '-n', 'ai-preprocessing', '--from-literal=a=b');
  expect(await kubectl('delete', 'namespace', 'ai-preprocessing')).toBe('namespace "ai-preprocessing" deleted');
  expect(await run('get', 'configmap', 'left', '-n', 'ai-preprocessing')).toMatchObject({
    code: 1,
    err: expect.stringContaining('NotFound'),
  });
});
