import type { UnknownObject } from '../../../platform/kubernetes/index.ts';
import { type MeshService, redirectRules, STATUS_PORT } from './envoy-config.ts';

/** The copy of the pipeline behind sidecars lives beside the original, in namespaces of its own. */
const SUFFIX = '-sidecars';
const DOMAIN = 'svc.cluster.local';
const HEADLESS = '-pods';

export const sidecarNamespace = (namespace: string): string => `${namespace}${SUFFIX}`;

interface Container {
  readonly env?: readonly { readonly name: string; readonly value?: string }[];
  readonly ports?: readonly { readonly name?: string; readonly containerPort: number }[];
}
interface PodSpec {
  readonly serviceAccountName?: string;
  readonly containers: readonly Container[];
}
interface DeploymentShape extends UnknownObject {
  readonly spec: { readonly template: { readonly spec: PodSpec } };
}
interface ServiceShape extends UnknownObject {
  readonly spec: { readonly selector: Readonly<Record<string, string>>; readonly ports: readonly { readonly port: number }[] };
}

const isDeployment = (object: UnknownObject): object is DeploymentShape => object.kind === 'Deployment';
const isService = (object: UnknownObject): object is ServiceShape => object.kind === 'Service';

/** The pod of a Deployment as the sidecar's configuration depends on it. */
export interface SidecarPod {
  /** `namespace/deployment`. */
  readonly name: string;
  readonly identity: string;
  readonly inboundPort: number | undefined;
}

export interface SidecarCopy {
  readonly objects: readonly UnknownObject[];
  readonly services: readonly MeshService[];
  readonly pods: readonly SidecarPod[];
}

const spiffe = (namespace: string, account: string): string => `spiffe://cluster.local/ns/${namespace}/sa/${account}`;

/**
 * The objects of the pipeline once more, each pod with Istio's two containers: one that lays the redirection, one that is the sidecar. `bootstrapOf` says
 * where the file of a Deployment's sidecars is. `port` is the applications'.
 */
export const copyWithSidecars = (
  objects: readonly UnknownObject[],
  port: number,
  envoy: string,
  bootstrapOf: (name: string) => string,
): SidecarCopy => {
  const moved = objects.map(move);
  const deployments = moved.filter(isDeployment);
  const pods = deployments.map((deployment): SidecarPod => {
    const spec = deployment.spec.template.spec;
    const serves = spec.containers.some(({ ports = [] }) => ports.some(({ containerPort }) => containerPort === port));
    return {
      name: nameOf(deployment),
      identity: spiffe(deployment.metadata?.namespace ?? '', spec.serviceAccountName ?? 'default'),
      inboundPort: serves ? port : undefined,
    };
  });
  const services = moved.filter(isService).map((service): MeshService => {
    const { name = '', namespace = '' } = service.metadata ?? {};
    return {
      host: `${name}.${namespace}.${DOMAIN}`,
      podsHost: `${name}${HEADLESS}.${namespace}.${DOMAIN}`,
      port: service.spec.ports[0]?.port ?? port,
      identity: identityBehind(service, deployments),
    };
  });
  return {
    objects: moved.flatMap((object) => {
      if (isDeployment(object)) return [inject(object, port, envoy, bootstrapOf(nameOf(object)))];
      return isService(object) ? [object, headless(object)] : [object];
    }),
    services,
    pods,
  };
};

const nameOf = ({ metadata }: UnknownObject): string => `${metadata?.namespace ?? ''}/${metadata?.name ?? ''}`;

/** Into the other namespace; addresses in environment variables follow. */
const move = (object: UnknownObject): UnknownObject => {
  const copy = JSON.parse(
    JSON.stringify(object).replaceAll(
      new RegExp(`\\.(ai-[a-z]+)\\.${DOMAIN.replaceAll('.', '\\.')}`, 'g'),
      (_, namespace: string) => `.${sidecarNamespace(namespace)}.${DOMAIN}`,
    ),
  ) as UnknownObject; // a copy of what it was
  const metadata = copy.metadata ?? {};
  if (copy.kind === 'Namespace') return { ...copy, metadata: { ...metadata, name: sidecarNamespace(metadata.name ?? '') } };
  return { ...copy, metadata: { ...metadata, namespace: sidecarNamespace(metadata.namespace ?? '') } };
};

const identityBehind = (service: ServiceShape, deployments: readonly DeploymentShape[]): string => {
  const namespace = service.metadata?.namespace ?? '';
  const behind = deployments.find(
    ({ metadata }) =>
      metadata?.namespace === namespace && Object.entries(service.spec.selector).every(([key, value]) => metadata?.labels?.[key] === value),
  );
  return spiffe(namespace, behind?.spec.template.spec.serviceAccountName ?? 'default');
};

const headless = (service: ServiceShape): UnknownObject => ({
  ...service,
  metadata: { ...service.metadata, name: `${service.metadata?.name ?? ''}${HEADLESS}` },
  spec: { ...service.spec, clusterIP: 'None' },
});

const inject = (deployment: DeploymentShape, port: number, envoy: string, bootstrap: string): UnknownObject => ({
  ...deployment,
  spec: {
    ...deployment.spec,
    template: {
      ...deployment.spec.template,
      spec: {
        ...deployment.spec.template.spec,
        initContainers: [
          { name: 'istio-init', image: 'lateen/sidecar:dev', command: ['nft', redirectRules(port)] },
          {
            name: 'istio-proxy',
            image: 'lateen/sidecar:dev',
            restartPolicy: 'Always',
            command: [
              envoy,
              '--config-path',
              bootstrap,
              '--concurrency',
              '2',
              '--log-level',
              'warning',
              '--disable-hot-restart',
              '--drain-time-s',
              '2',
            ],
            startupProbe: { httpGet: { path: '/healthz/ready', port: STATUS_PORT }, periodSeconds: 1, failureThreshold: 30 },
          },
        ],
      },
    },
  },
});
