import type { PodTemplateSpec } from '../../platform/kubernetes/index.ts';
import { HBONE_PORT } from '../wire.ts';
import { NETWORK_LABEL } from './names.ts';

export const STATUS_PORT = 15_021;
const METRICS_PORT = 15_020;
/** A stream of a minute that begins as its replica is told to go still ends by itself. */
const GRACE_SECONDS = 90;
/** The token's life; kubelet renews it at 80 %. */
const TOKEN_SECONDS = 43_200;

/** What every waypoint of this control plane is made with. */
export interface InfrastructureContext {
  readonly image: string;
  readonly rootNamespace: string;
  readonly clusterId: string;
  readonly clusterDomain: string;
  readonly trustDomain: string;
  readonly network: string;
}

interface TemplateInput {
  readonly name: string;
  readonly account: string;
  readonly network: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  readonly selector: { readonly matchLabels: Record<string, string> };
  readonly context: InfrastructureContext;
}

/** A replica of a waypoint: `lateen proxy waypoint` with the environment of a ztunnel. */
export function podTemplate({ name, account, network, labels, annotations, selector, context }: TemplateInput): PodTemplateSpec {
  const server = `https://istiod.${context.rootNamespace}.svc:15012`;
  const field = (variable: string, fieldPath: string) => ({ name: variable, valueFrom: { fieldRef: { fieldPath } } });
  const value = (variable: string, text: string) => ({ name: variable, value: text });
  return {
    metadata: {
      labels: {
        ...labels,
        'istio.io/dataplane-mode': 'none',
        'networking.istio.io/tunnel': 'http',
        'sidecar.istio.io/inject': 'false',
        'service.istio.io/canonical-name': name,
        'service.istio.io/canonical-revision': 'latest',
        ...(network !== '' && { [NETWORK_LABEL]: network }),
      },
      annotations: {
        ...annotations,
        'prometheus.io/scrape': 'true',
        'prometheus.io/port': String(METRICS_PORT),
        'prometheus.io/path': '/metrics',
      },
    },
    spec: {
      serviceAccountName: account,
      terminationGracePeriodSeconds: GRACE_SECONDS,
      topologySpreadConstraints: [
        { maxSkew: 1, topologyKey: 'kubernetes.io/hostname', whenUnsatisfiable: 'ScheduleAnyway', labelSelector: selector },
      ],
      containers: [
        {
          name: 'istio-proxy',
          image: context.image,
          args: ['proxy', 'waypoint'],
          ports: [
            { name: 'mesh', containerPort: HBONE_PORT, protocol: 'TCP' },
            { name: 'metrics', containerPort: METRICS_PORT, protocol: 'TCP' },
            { name: 'status-port', containerPort: STATUS_PORT, protocol: 'TCP' },
          ],
          securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } },
          resources: { requests: { cpu: '100m', memory: '128Mi' } },
          env: [
            value('XDS_ADDRESS', server),
            value('CA_ADDRESS', server),
            value('XDS_ROOT_CA', '/var/run/secrets/istio/root-cert.pem'),
            value('CA_ROOT_CA', '/var/run/secrets/istio/root-cert.pem'),
            value('AUTH_TOKEN', '/var/run/secrets/tokens/istio-token'),
            value('CLUSTER_ID', context.clusterId),
            value('CLUSTER_DOMAIN', context.clusterDomain),
            value('TRUST_DOMAIN', context.trustDomain),
            value('NETWORK', network),
            value('ISTIO_META_GATEWAY_NAME', labels['gateway.networking.k8s.io/gateway-name'] ?? name),
            value('TERMINATION_GRACE_PERIOD_SECONDS', String(GRACE_SECONDS)),
            field('NODE_NAME', 'spec.nodeName'),
            field('POD_NAME', 'metadata.name'),
            field('POD_NAMESPACE', 'metadata.namespace'),
            field('INSTANCE_IP', 'status.podIP'),
            field('SERVICE_ACCOUNT', 'spec.serviceAccountName'),
          ],
          readinessProbe: { httpGet: { path: '/healthz/ready', port: STATUS_PORT }, periodSeconds: 1, failureThreshold: 3 },
          volumeMounts: [
            { name: 'istio-token', mountPath: '/var/run/secrets/tokens' },
            { name: 'istiod-ca-cert', mountPath: '/var/run/secrets/istio' },
          ],
        },
      ],
      volumes: [
        {
          name: 'istio-token',
          projected: {
            sources: [{ serviceAccountToken: { path: 'istio-token', audience: 'istio-ca', expirationSeconds: TOKEN_SECONDS } }],
          },
        },
        { name: 'istiod-ca-cert', configMap: { name: 'istio-ca-root-cert' } },
      ],
    },
  };
}
