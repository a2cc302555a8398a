import { duplicate, type FieldProblem, invalid, required } from './kind.ts';
import { dnsLabelProblem, validateLabels } from './labels.ts';
import type { Container, PodSpec, PodTemplateSpec, Probe, Volume } from './pod-spec.ts';

export function defaultPodSpec(spec: PodSpec): void {
  spec.restartPolicy ??= 'Always';
  spec.terminationGracePeriodSeconds ??= 30;
  spec.dnsPolicy ??= 'ClusterFirst';
  spec.securityContext ??= {};
  spec.schedulerName ??= 'default-scheduler';
  if (spec.serviceAccountName !== undefined && spec.serviceAccountName !== '') spec.serviceAccount = spec.serviceAccountName;
  else if (spec.serviceAccount !== undefined && spec.serviceAccount !== '') spec.serviceAccountName = spec.serviceAccount;
  for (const container of [...(spec.containers ?? []), ...(spec.initContainers ?? [])])
    defaultContainer(container, spec.hostNetwork === true);
  for (const volume of spec.volumes ?? []) defaultVolume(volume);
}

function defaultContainer(container: Container, hostNetwork: boolean): void {
  container.terminationMessagePath ??= '/dev/termination-log';
  container.terminationMessagePolicy ??= 'File';
  container.imagePullPolicy ??= pullPolicy(container.image ?? '');
  container.resources ??= {};
  for (const port of container.ports ?? []) {
    port.protocol ??= 'TCP';
    if (hostNetwork) port.hostPort ??= port.containerPort;
  }
  for (const variable of container.env ?? [])
    if (variable.valueFrom?.fieldRef !== undefined) variable.valueFrom.fieldRef.apiVersion ??= 'v1';
  for (const probe of [container.livenessProbe, container.readinessProbe, container.startupProbe])
    if (probe !== undefined) defaultProbe(probe);
  for (const handler of [container.lifecycle?.postStart, container.lifecycle?.preStop]) {
    if (handler?.httpGet !== undefined) defaultHttpGet(handler.httpGet);
  }
}

function pullPolicy(image: string): string {
  if (image.includes('@')) return 'IfNotPresent';
  const tag = image.slice(image.lastIndexOf('/') + 1).split(':')[1];
  return tag === undefined || tag === 'latest' ? 'Always' : 'IfNotPresent';
}

function defaultProbe(probe: Probe): void {
  probe.timeoutSeconds ??= 1;
  probe.periodSeconds ??= 10;
  probe.successThreshold ??= 1;
  probe.failureThreshold ??= 3;
  if (probe.httpGet !== undefined) defaultHttpGet(probe.httpGet);
  if (probe.grpc !== undefined) probe.grpc.service ??= '';
}

function defaultHttpGet(action: { path?: string; scheme?: string }): void {
  if (action.path === undefined || action.path === '') action.path = '/';
  action.scheme ??= 'HTTP';
}

function defaultVolume(volume: Volume): void {
  if (Object.keys(volume).length === 1) volume.emptyDir = {};
  if (volume.hostPath !== undefined) volume.hostPath.type ??= '';
  if (volume.configMap !== undefined) volume.configMap.defaultMode ??= 0o644;
  if (volume.secret !== undefined) volume.secret.defaultMode ??= 0o644;
  if (volume.downwardAPI !== undefined) volume.downwardAPI.defaultMode ??= 0o644;
  const downward = [
    ...(volume.downwardAPI?.items ?? []),
    ...(volume.projected?.sources ?? []).flatMap((source) => source.downwardAPI?.items ?? []),
  ];
  for (const item of downward) if (item.fieldRef !== undefined) item.fieldRef.apiVersion ??= 'v1';
  if (volume.projected === undefined) return;
  volume.projected.defaultMode ??= 0o644;
  for (const source of volume.projected.sources ?? [])
    if (source.serviceAccountToken !== undefined) source.serviceAccountToken.expirationSeconds ??= 3600;
}

export function defaultTemplate(template: PodTemplateSpec | undefined): void {
  if (template === undefined) return;
  template.spec ??= { containers: [] };
  defaultPodSpec(template.spec);
}

export function validatePodSpec(spec: PodSpec | undefined, field: string): FieldProblem[] {
  if (spec === undefined) return [required(`${field}.containers`)];
  const problems: FieldProblem[] = [];
  if ((spec.containers ?? []).length === 0) problems.push(required(`${field}.containers`));
  const volumes = new Set<string>();
  (spec.volumes ?? []).forEach((volume, index) => {
    const at = `${field}.volumes[${index}]`;
    const problem = dnsLabelProblem(volume.name ?? '');
    if (problem !== undefined) problems.push(invalid(`${at}.name`, volume.name, problem));
    if (volumes.has(volume.name)) problems.push(duplicate(`${at}.name`, volume.name));
    volumes.add(volume.name);
    if (Object.keys(volume).length > 2)
      problems.push({ field: at, reason: 'FieldValueForbidden', message: 'Forbidden: may not specify more than 1 volume type' });
  });
  const names = new Set<string>();
  const check = (containers: readonly Container[] | undefined, list: string) => {
    for (const [index, container] of (containers ?? []).entries()) {
      problems.push(...validateContainer(container, `${field}.${list}[${index}]`, names, volumes));
    }
  };
  check(spec.initContainers, 'initContainers');
  check(spec.containers, 'containers');
  if ((spec.terminationGracePeriodSeconds ?? 0) < 0) {
    problems.push(
      invalid(`${field}.terminationGracePeriodSeconds`, spec.terminationGracePeriodSeconds, 'must be greater than or equal to 0'),
    );
  }
  return problems;
}

function validateContainer(container: Container, at: string, names: Set<string>, volumes: ReadonlySet<string>): FieldProblem[] {
  const problems: FieldProblem[] = [];
  const name = container.name ?? '';
  if (name === '') problems.push(required(`${at}.name`));
  else {
    const problem = dnsLabelProblem(name);
    if (problem !== undefined) problems.push(invalid(`${at}.name`, name, problem));
    if (names.has(name)) problems.push(duplicate(`${at}.name`, name));
    names.add(name);
  }
  if ((container.image ?? '') === '') problems.push(required(`${at}.image`));
  const ports = new Set<string>();
  (container.ports ?? []).forEach((port, index) => {
    if (port.name === undefined) return;
    if (ports.has(port.name)) problems.push(duplicate(`${at}.ports[${index}].name`, port.name));
    ports.add(port.name);
  });
  (container.env ?? []).forEach((variable, index) => {
    if ((variable.name ?? '') === '') problems.push(required(`${at}.env[${index}].name`));
    if (variable.value !== undefined && variable.value !== '' && variable.valueFrom !== undefined) {
      problems.push(invalid(`${at}.env[${index}].valueFrom`, '', 'may not be specified when `value` is not empty'));
    }
  });
  const mounts = new Set<string>();
  (container.volumeMounts ?? []).forEach((mount, index) => {
    if (!volumes.has(mount.name)) {
      problems.push({
        field: `${at}.volumeMounts[${index}].name`,
        reason: 'FieldValueNotFound',
        message: `Not found: ${JSON.stringify(mount.name)}`,
      });
    }
    if (mounts.has(mount.mountPath)) problems.push(invalid(`${at}.volumeMounts[${index}].mountPath`, mount.mountPath, 'must be unique'));
    mounts.add(mount.mountPath);
  });
  return problems;
}

/** The template must be valid and carry the labels its owner selects by. */
export function validateTemplate(template: PodTemplateSpec | undefined, field: string): FieldProblem[] {
  if (template === undefined) return [required(field)];
  return [...validateLabels(template.metadata?.labels, `${field}.labels`), ...validatePodSpec(template.spec, `${field}.spec`)];
}
