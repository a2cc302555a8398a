/** The arms with an L7 hop: two node proxies with a waypoint between them, ours or Envoy as Istio configures it. */
import fs from 'node:fs';
import path from 'node:path';
import type { ServicePlan } from '../src/mesh/http/index.ts';
import type { Arm } from './arm.ts';
import { answers, type MakeArm, ONE_CORE, origin, PORT, type Speaks } from './arms.ts';
import { envoyBinary, waypointBootstrap } from './envoy.ts';
import { SERVICE, waypointConfig } from './mesh-support.ts';
import { type Authority, makeAuthority, writeAuthority, writeCredentials } from './pki.ts';
import { LAUNCHER, type Running, start } from './shell.ts';
import { makePods, NODE_2, type Pods, pod } from './topology.ts';
import { routesArmName } from './waypoint-result.ts';
import { type Flavour, ISTIO, LATEEN, startAuthority, startPair } from './ztunnel.ts';

interface WaypointFlavour {
  readonly name: string;
  /** Of the arm's namespaces; one of a kind among the arms that run together. */
  readonly short: string;
  readonly about: string;
  readonly pair: Flavour;
  readonly waypoint: 'lateen' | 'envoy';
  readonly speaks: Speaks;
  /** Routes of the service, the last of which is used. */
  readonly routes: number;
}

/** The plan of the measured service: one route in use, and others that are looked past. */
function benchPlan(routes: number): ServicePlan {
  const backends = [{ service: `bench/${SERVICE}`, port: PORT, weight: 1 }];
  const unused = Array.from({ length: Math.max(0, routes - 1) }, (_, i) => ({
    match: {
      path: { kind: 'segments' as const, value: `/v${i % 97}/models/model-${i}` },
      headers: [{ name: 'x-tenant', condition: { kind: 'exact' as const, value: `t${i}` } }],
    },
    action: 0,
  }));
  return {
    service: `bench/${SERVICE}`,
    ports: [
      {
        port: PORT,
        http: {
          rules: [...unused, { match: { path: { kind: 'segments', value: '/' } }, action: 0 }],
          actions: [{ name: 'HTTPRoute/bench/app/0', backends }],
        },
      },
    ],
  };
}

interface Place {
  readonly pods: Pods;
  /** The waypoint's address and namespace. */
  readonly ip: string;
  readonly namespace: string;
  readonly folder: string;
  readonly authority: Authority;
}

async function startEnvoy(flavour: WaypointFlavour, place: Place): Promise<Running> {
  const { folder } = place;
  const binary = envoyBinary(path.join(import.meta.dir, '.cache'));
  const name = { type: 'url', value: 'spiffe://cluster.local/ns/bench/sa/waypoint' } as const;
  const files = await writeCredentials(place.authority, folder, 'waypoint', [name]);
  const bootstrap = path.join(folder, 'envoy.json');
  const server = { address: place.pods.serverIp, port: PORT };
  fs.writeFileSync(bootstrap, JSON.stringify(waypointBootstrap(server, files, flavour.routes, flavour.speaks)));
  const argv = [binary, '-c', bootstrap, '--concurrency', '1', '--disable-hot-restart', '-l', 'warning'];
  return start(`${flavour.name}-waypoint`, argv, {
    namespace: place.namespace,
    cpu: ONE_CORE.proxies,
    log: path.join(folder, 'waypoint.log'),
  });
}

/** `config` is its `LOCAL_XDS_PATH`. */
function startLateen(flavour: WaypointFlavour, place: Place, config: string): Running {
  const { folder } = place;
  startAuthority(folder, 'waypoint', place.namespace);
  fs.writeFileSync(path.join(folder, 'waypoint.yaml'), config);
  fs.writeFileSync(path.join(folder, 'plans.json'), JSON.stringify([benchPlan(flavour.routes)]));
  const flags = process.env['BENCH_WAYPOINT_FLAGS'];
  const env = {
    XDS_ADDRESS: '',
    LOCAL_XDS_PATH: path.join(folder, 'waypoint.yaml'),
    LOCAL_PLANS_PATH: path.join(folder, 'plans.json'),
    CA_ADDRESS: 'https://localhost:15012',
    CA_ROOT_CA: path.join(folder, 'root.crt'),
    AUTH_TOKEN: 'bench-token',
    POD_NAME: 'waypoint',
    POD_NAMESPACE: 'bench',
    SERVICE_ACCOUNT: 'waypoint',
    INSTANCE_IP: place.ip,
    IPV6_ENABLED: 'false',
    ...(flags === undefined ? {} : { BUN_OPTIONS: flags }),
  };
  const argv = [LAUNCHER, 'proxy', 'waypoint'];
  const log = path.join(folder, 'waypoint.log');
  return start(`${flavour.name}-waypoint`, argv, { namespace: place.namespace, cpu: ONE_CORE.proxies, env, log });
}

const waypointArm =
  (flavour: WaypointFlavour): MakeArm =>
  async (work, index): Promise<Arm> => {
    const { short, speaks } = flavour;
    const pods = makePods(short, index);
    const ip = `10.71.2.${100 + index}`;
    const vip = `10.72.0.${index}`;
    const application = await origin(pods, work, speaks);
    const folder = path.join(work, short);
    fs.mkdirSync(folder);
    const place = { pods, ip, namespace: pod(`lb-${short}-w`, NODE_2, ip, '10.70.0.2'), folder, authority: await makeAuthority() };
    await writeAuthority(place.authority, folder);
    const config = (protocol?: string) =>
      waypointConfig({ ip: pods.clientIp, node: 'n1' }, { ip: pods.serverIp, node: 'n2' }, { ip, node: 'n2' }, vip, PORT, protocol);
    const pair = startPair(flavour.pair, short, folder, config(), pods);
    const waypoint =
      flavour.waypoint === 'envoy'
        ? await startEnvoy(flavour, place)
        : startLateen(flavour, place, config(speaks === 'grpc' ? 'GRPC' : 'HTTP11'));
    await answers(pods.client, vip, `the ${flavour.name} arm`, speaks);
    return {
      name: flavour.name,
      about: flavour.about,
      client: pods.client,
      address: vip,
      port: PORT,
      loadCpus: ONE_CORE.load,
      origins: [application],
      proxies: [...pair, waypoint],
      waypoint,
    };
  };

const LATEEN_ABOUT = 'two Lateen node proxies and a Lateen waypoint between them; policy, metrics and both access logs on';

/** Lateen's node proxies with Lateen's waypoint. */
export const lateenWaypointArm = (speaks: Speaks): MakeArm =>
  waypointArm({ name: 'lateen', short: 'lw', about: LATEEN_ABOUT, pair: LATEEN, waypoint: 'lateen', speaks, routes: 1 });

const withEnvoy =
  (pair: Flavour, short: string) =>
  (speaks: Speaks): MakeArm =>
    waypointArm({
      name: `${pair.name}+envoy`,
      short,
      about: `two ${pair === LATEEN ? 'Lateen node proxies' : 'real ztunnels'} and Envoy 1.40 as the waypoint between them, as Istio configures it; no access log in Envoy`,
      pair,
      waypoint: 'envoy',
      speaks,
      routes: 1,
    });

export const lateenEnvoyArm = withEnvoy(LATEEN, 'le');
/** Undefined unless `ZTUNNEL_BIN` is set. */
export const istioEnvoyArm = ISTIO && withEnvoy(ISTIO, 'ie');

/** A waypoint with many routes, between Lateen's node proxies whichever waypoint it is, so that only the waypoint differs. */
export const routesArm = (waypoint: 'lateen' | 'envoy', routes: number): MakeArm =>
  waypointArm({
    name: routesArmName(waypoint, routes),
    short: `${waypoint[0]}${routes}`,
    about: `${waypoint === 'lateen' ? 'a Lateen waypoint' : 'Envoy 1.40 as the waypoint'} with ${routes === 1 ? '1 route' : `${routes} routes, the last of which is used`}, between Lateen node proxies`,
    pair: LATEEN,
    waypoint,
    speaks: 'http1',
    routes,
  });
