/** The arms with an L7 hop: two node proxies with a waypoint between them, ours or Envoy as Istio configures it. */
import fs from 'node:fs';
import path from 'node:path';
import type { ServicePlan } from '../src/mesh/index.ts';
import type { Arm } from './arm.ts';
import { answers, type MakeArm, origin, PORT, PROXY_CPU } from './arms.ts';
import { envoyBinary, waypointBootstrap } from './envoy.ts';
import { SERVICE, waypointConfig } from './mesh-support.ts';
import { makeAuthority, writeAuthority, writeCredentials } from './pki.ts';
import { BUN, type Running, start } from './shell.ts';
import { makePods, NODE_2, pod } from './topology.ts';
import { type Flavour, ISTIO, LATEEN, startAuthority, startPair } from './ztunnel.ts';

export interface WaypointFlavour {
  readonly name: string;
  readonly short: string;
  readonly about: string;
  readonly pair: Flavour;
  readonly waypoint: 'lateen' | 'envoy';
  /** Routes of the service besides the one that is used. */
  readonly routes?: number;
}

const LATEEN_WAYPOINT: WaypointFlavour = {
  name: 'lateen',
  short: 'lw',
  about: 'two Lateen node proxies and a Lateen waypoint between them; policy, metrics and both access logs on',
  pair: LATEEN,
  waypoint: 'lateen',
};

const ENVOY_BEHIND = (pair: Flavour, short: string): WaypointFlavour => ({
  name: `${pair.name}+envoy`,
  short,
  about: `two ${pair === LATEEN ? 'Lateen node proxies' : 'real ztunnels'} and Envoy 1.40 as the waypoint between them, as Istio configures it; no access log in Envoy`,
  pair,
  waypoint: 'envoy',
});

/** The plan of the measured service: one route in use, and others that are looked past. */
export function benchPlan(routes: number): ServicePlan {
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

export const waypointArm =
  (flavour: WaypointFlavour): MakeArm =>
  async (work, index): Promise<Arm> => {
    const { short } = flavour;
    const pods = makePods(short, index);
    const waypointIp = `10.71.2.${100 + index}`;
    const waypointPod = pod(`lb-${short}-w`, NODE_2, waypointIp, '10.70.0.2');
    const vip = `10.72.0.${index}`;
    await origin(pods, work);
    const folder = path.join(work, short);
    fs.mkdirSync(folder);
    const authority = await makeAuthority();
    await writeAuthority(authority, folder);
    const at = {
      client: { ip: pods.clientIp, node: 'n1' },
      server: { ip: pods.serverIp, node: 'n2' },
      waypoint: { ip: waypointIp, node: 'n2' },
    };
    const config = waypointConfig(at.client, at.server, at.waypoint, vip, PORT);
    const pair = startPair(flavour.pair, short, folder, config, pods);
    const log = path.join(folder, 'waypoint.log');
    let waypoint: Running;
    if (flavour.waypoint === 'envoy') {
      const binary = envoyBinary(path.join(import.meta.dir, '.cache'));
      const files = await writeCredentials(authority, folder, 'waypoint', [
        { type: 'url', value: 'spiffe://cluster.local/ns/bench/sa/waypoint' },
      ]);
      const bootstrap = path.join(folder, 'envoy.json');
      fs.writeFileSync(bootstrap, JSON.stringify(waypointBootstrap({ address: pods.serverIp, port: PORT }, files, flavour.routes ?? 1)));
      const argv = [binary, '-c', bootstrap, '--concurrency', '1', '--disable-hot-restart', '-l', 'warning'];
      waypoint = start(`${flavour.name}-waypoint`, argv, { namespace: waypointPod, cpu: PROXY_CPU, log });
    } else {
      startAuthority(folder, 'waypoint', waypointPod);
      fs.writeFileSync(path.join(folder, 'waypoint.yaml'), waypointConfig(at.client, at.server, at.waypoint, vip, PORT, 'HTTP11'));
      fs.writeFileSync(path.join(folder, 'plans.json'), JSON.stringify([benchPlan(flavour.routes ?? 1)]));
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
        INSTANCE_IP: waypointIp,
        IPV6_ENABLED: 'false',
      };
      const argv = [
        BUN,
        ...(process.env['BENCH_WAYPOINT_FLAGS']?.split(' ') ?? []),
        path.join(import.meta.dir, '../src/cli/main.ts'),
        'proxy',
        'waypoint',
      ];
      waypoint = start(`${flavour.name}-waypoint`, argv, { namespace: waypointPod, cpu: PROXY_CPU, env, log });
    }
    await answers(pods.client, vip, `the ${flavour.name} arm`);
    return { name: flavour.name, about: flavour.about, client: pods.client, address: vip, port: PORT, proxies: [...pair, waypoint] };
  };

export const lateenWaypointArm = waypointArm(LATEEN_WAYPOINT);
export const lateenEnvoyArm = waypointArm(ENVOY_BEHIND(LATEEN, 'le'));
/** Undefined unless `ZTUNNEL_BIN` is set. */
export const istioEnvoyArm: MakeArm | undefined = ISTIO && waypointArm(ENVOY_BEHIND(ISTIO, 'ie'));
