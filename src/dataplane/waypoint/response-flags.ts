/** Why a response is not what the endpoint said: Envoy's flags for access log and metrics, as users' dashboards know them. One closed list. */
export const RESPONSE_FLAGS = {
  NR: 'no route matches the request; see the rules of the service with `lateen waypoint config`',
  UH: 'no healthy endpoint: the service has none, or all were ejected or are not ready',
  UF: 'connecting to the endpoint failed; the log has the reason',
  UO: 'a limit of connectionPool, or of the waypoint, was reached',
  UT: 'the endpoint did not answer within the timeout of the route',
  UC: 'the endpoint closed the connection',
  UR: 'the endpoint reset the stream',
  UPE: 'the endpoint answered something that is not HTTP',
  URX: 'the retries of the route were used up',
  NC: 'the backend does not exist or may not be used; see the conditions of the route',
  DC: 'the client closed the connection before it had the whole response',
  DPE: 'the client sent something that is not HTTP',
  DI: 'the route delays requests on purpose (fault)',
  FI: 'the route aborts requests on purpose (fault)',
  DT: 'the connection was open for as long as maxConnectionDuration of the DestinationRule allows',
  SI: 'nothing moved for the idle timeout',
  UAEX: 'NetworkPolicies do not allow the client to reach the endpoint; the log names them',
  LR: 'the waypoint ended the exchange: it was shutting down',
} as const;

export type ResponseFlag = keyof typeof RESPONSE_FLAGS;
