import {
  DestinationRuleKind,
  GrpcRouteKind,
  HttpRouteKind,
  type Informer,
  type KubeObject,
  objectKey,
  ReferenceGrantKind,
  type Resource,
  TcpRouteKind,
  TlsRouteKind,
  VirtualServiceKind,
} from '../../platform/kubernetes/index.ts';
import type { PlanCompiler, PlannedKind, PlannedKinds } from './compiler.ts';

/** The informers of everything that becomes part of a plan. */
export type PlanInformers = { readonly [K in PlannedKind]: Informer<PlannedKinds[K]> };

const KINDS: { readonly [K in PlannedKind]: Resource<PlannedKinds[K]> } = {
  HTTPRoute: HttpRouteKind,
  GRPCRoute: GrpcRouteKind,
  TLSRoute: TlsRouteKind,
  TCPRoute: TcpRouteKind,
  ReferenceGrant: ReferenceGrantKind,
  VirtualService: VirtualServiceKind,
  DestinationRule: DestinationRuleKind,
};

/** Feeds the compiler; `onChange` hears of each event after it. A kind that is not installed is empty. */
export function watchRouting(
  compiler: PlanCompiler,
  informer: <T extends KubeObject>(resource: Resource<T>) => Informer<T>,
  onChange: (kind: PlannedKind, event: 'add' | 'update' | 'delete', key: string) => void,
): PlanInformers {
  const watch = <K extends PlannedKind>(kind: K): Informer<PlannedKinds[K]> => {
    const set = (event: 'add' | 'update' | 'delete') => (object: PlannedKinds[K]) => {
      compiler.set(kind, objectKey(object), event === 'delete' ? undefined : object);
      onChange(kind, event, objectKey(object));
    };
    return informer<PlannedKinds[K]>(KINDS[kind]).addHandlers({ onAdd: set('add'), onUpdate: set('update'), onDelete: set('delete') });
  };
  return {
    HTTPRoute: watch('HTTPRoute'),
    GRPCRoute: watch('GRPCRoute'),
    TLSRoute: watch('TLSRoute'),
    TCPRoute: watch('TCPRoute'),
    ReferenceGrant: watch('ReferenceGrant'),
    VirtualService: watch('VirtualService'),
    DestinationRule: watch('DestinationRule'),
  };
}
