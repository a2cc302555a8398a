import { type Gateway, type GatewayClass, objectKey } from '../../platform/kubernetes/index.ts';
import { MESH_CONTROLLER } from '../waypoint/names.ts';
import { WAYPOINT_FOR_LABEL, type WaypointLookup } from '../wire.ts';

/** Sandwiched waypoints: how their own ztunnel hands them what it took off the tunnel (`PROXY`, `PROXY/port`, `NONE/port`). */
const BINDING_ANNOTATION = 'ambient.istio.io/waypoint-inbound-binding';

/** The Gateways and classes that objects may be bound to. */
export class WaypointIndex implements WaypointLookup {
  readonly network: string;
  readonly #gateways = new Map<string, Gateway>();
  readonly #classes = new Map<string, GatewayClass>();

  constructor(network: string) {
    this.network = network;
  }

  gateway(namespace: string, name: string): Gateway | undefined {
    return this.#gateways.get(`${namespace}/${name}`);
  }
  classWaypointFor(gatewayClassName: string): string | undefined {
    return this.#classes.get(gatewayClassName)?.metadata.labels?.[WAYPOINT_FOR_LABEL];
  }
  isWaypointClass(gatewayClassName: string): boolean {
    return this.#classes.get(gatewayClassName)?.spec.controllerName === MESH_CONTROLLER;
  }

  /** Whether a Gateway is a waypoint of this control plane: its pods run what is deployed from here. */
  isOwn(namespace: string, name: string): boolean {
    const gateway = this.gateway(namespace, name);
    return gateway !== undefined && this.isWaypointClass(gateway.spec.gatewayClassName);
  }

  /** True when bindings to this Gateway may come out differently. */
  setGateway(key: string, gateway: Gateway | undefined): boolean {
    const before = this.#gateways.get(key);
    if (gateway === undefined) this.#gateways.delete(key);
    else this.#gateways.set(key, gateway);
    return !Bun.deepEquals(relevant(before), relevant(gateway));
  }

  /** The Gateways whose bindings may come out differently. */
  setClass(name: string, gatewayClass: GatewayClass | undefined): readonly string[] {
    const before = this.#classes.get(name);
    if (gatewayClass === undefined) this.#classes.delete(name);
    else this.#classes.set(name, gatewayClass);
    if (Bun.deepEquals(relevantOfClass(before), relevantOfClass(gatewayClass))) return [];
    return [...this.#gateways.values()].filter(({ spec }) => spec.gatewayClassName === name).map(objectKey);
  }

  /** How a sandwiched waypoint's pods get what their ztunnel takes off the tunnel: as the Gateway says, else its class. */
  applicationTunnel(namespace: string, name: string): { readonly protocol: 'NONE' | 'PROXY'; readonly port: number } | undefined {
    const gateway = this.gateway(namespace, name);
    const text =
      gateway?.metadata.annotations?.[BINDING_ANNOTATION] ??
      this.#classes.get(gateway?.spec.gatewayClassName ?? '')?.metadata.annotations?.[BINDING_ANNOTATION];
    const [, protocol, port = '0'] = /^(PROXY|NONE)(?:\/(\d{1,5}))?$/.exec(text ?? '') ?? [];
    if (protocol === undefined || Number(port) > 65_535) return undefined;
    return { protocol: protocol === 'PROXY' ? 'PROXY' : 'NONE', port: Number(port) };
  }
}

const relevant = (gateway: Gateway | undefined): unknown =>
  gateway && [
    gateway.metadata.labels?.[WAYPOINT_FOR_LABEL],
    gateway.metadata.annotations?.[BINDING_ANNOTATION],
    gateway.spec.gatewayClassName,
    gateway.spec.listeners.map(({ port, protocol, allowedRoutes }) => ({ port, protocol, namespaces: allowedRoutes?.namespaces })),
    gateway.status?.addresses,
  ];

const relevantOfClass = (gatewayClass: GatewayClass | undefined): unknown =>
  gatewayClass && [
    gatewayClass.spec.controllerName,
    gatewayClass.metadata.labels?.[WAYPOINT_FOR_LABEL],
    gatewayClass.metadata.annotations?.[BINDING_ANNOTATION],
  ];
