/** A small web server, a client, and a service without pods, for the tests of the embedded cluster. */
import fs from 'node:fs';
import path from 'node:path';

const SERVER = `
let healthy = true;
let ready = true;
const name = process.env.HOSTNAME ?? '';
const answer = (request: Request): Response => {
  const { pathname } = new URL(request.url);
  if (pathname === '/exit') {
    console.log('asked to exit');
    process.exit(3);
  }
  if (pathname === '/unhealthy') healthy = false;
  if (pathname === '/unready') ready = false;
  if (pathname === '/ready') ready = true;
  if (pathname === '/probe/live') return new Response('', { status: healthy ? 200 : 500 });
  if (pathname === '/probe/ready') return new Response('', { status: ready ? 200 : 503 });
  return new Response(pathname === '/greeting' ? process.env.GREETING : name, { headers: { connection: 'close' } });
};
const all = Bun.serve({ port: 8080, fetch: answer });
Bun.serve({ port: 8081, hostname: '127.0.0.1', fetch: answer });
console.log('listening', name);
// What a server that wants to lose nothing does: goes on until its endpoint is gone from every node, then ends.
process.on('SIGTERM', () => setTimeout(async () => { await all.stop(); process.exit(0); }, 500));
`;
const LOAD = `
const [url, ms] = process.argv.slice(2);
const errors: string[] = [];
let requests = 0;
for (const end = Date.now() + Number(ms); Date.now() < end; requests++) {
  try {
    await (await fetch(url!, { keepalive: false, signal: AbortSignal.timeout(10_000) })).text();
    if (requests === 0) process.stderr.write('begun');
  } catch (error) {
    errors.push(String(error));
  }
  await Bun.sleep(20);
}
const result = JSON.stringify({ requests, errors });
await Bun.write('/tmp/lateen-e2e-scratch/load.json', result);
process.stdout.write(result);
`;

/** An image directory: an entrypoint of this machine, a program found on the image's PATH, and a file directly below the root. */
export function clientImage(dir: string): string {
  const image = path.join(dir, 'client-image');
  const bin = path.join(image, 'rootfs/usr/local/bin');
  fs.mkdirSync(bin, { recursive: true });
  fs.writeFileSync(path.join(bin, 'lateen-e2e-read'), '#!/bin/sh\ncat /lateen-e2e-note\n', { mode: 0o755 });
  fs.writeFileSync(path.join(image, 'rootfs/lateen-e2e-note'), 'from the image');
  fs.writeFileSync(path.join(image, 'config.json'), '{"config":{"Entrypoint":["sleep"],"Env":["IMAGE=client"]}}');
  return `e2e/client=${image}`;
}

/** Writes the programs to `dir` and returns the objects that run them. */
export function manifests(dir: string): string {
  const server = path.join(dir, 'server.ts');
  fs.writeFileSync(server, SERVER);
  fs.writeFileSync(path.join(dir, 'load.ts'), LOAD);
  return `
apiVersion: v1
kind: ConfigMap
metadata: { name: settings }
data: { greeting: hello }
---
apiVersion: apps/v1
kind: Deployment
metadata: { name: web }
spec:
  replicas: 2
  selector: { matchLabels: { app: web } }
  strategy: { rollingUpdate: { maxSurge: 1, maxUnavailable: 0 } }
  template:
    metadata: { labels: { app: web } }
    spec:
      terminationGracePeriodSeconds: 5
      containers:
        - name: web
          image: e2e/web
          command: [bun, ${server}]
          ports: [{ name: http, containerPort: 8080 }]
          env:
            - { name: GREETING, valueFrom: { configMapKeyRef: { name: settings, key: greeting } } }
            - { name: POD_IP, valueFrom: { fieldRef: { fieldPath: status.podIP } } }
          readinessProbe: { httpGet: { path: /probe/ready, port: http }, periodSeconds: 1, timeoutSeconds: 5, failureThreshold: 1 }
          livenessProbe: { httpGet: { path: /probe/live, port: http }, periodSeconds: 1, timeoutSeconds: 5, failureThreshold: 2 }
          volumeMounts:
            - { name: settings, mountPath: /lateen-e2e/settings }
            - { name: labels, mountPath: /etc/lateen-e2e }
      volumes:
        - { name: settings, configMap: { name: settings } }
        - { name: labels, downwardAPI: { items: [{ path: labels, fieldRef: { fieldPath: metadata.labels } }] } }
---
apiVersion: v1
kind: Service
metadata: { name: web }
spec:
  selector: { app: web }
  ports: [{ name: http, port: 80, targetPort: http }]
---
apiVersion: v1
kind: Service
metadata: { name: nobody }
spec:
  selector: { app: nobody }
  ports: [{ port: 80 }]
---
apiVersion: apps/v1
kind: Deployment
metadata: { name: client }
spec:
  selector: { matchLabels: { app: client } }
  template:
    metadata: { labels: { app: client } }
    spec:
      terminationGracePeriodSeconds: 0
      containers:
        - name: client
          image: e2e/client
          args: ["100000"]
          volumeMounts: [{ name: tmp, mountPath: /tmp/lateen-e2e-scratch }]
      volumes: [{ name: tmp, emptyDir: {} }]
`;
}
