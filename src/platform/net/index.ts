export { DEADLINE_RESOLUTION_MS, type Deadline, Deadlines, deadlines } from './deadlines.ts';
export { Dial, type DialEvents, type DialFailure, type DialOptions } from './dial.ts';
export { onConnectionFault } from './fault.ts';
export { GatheringOutput, OUTPUT_HIGH_WATER } from './gathering-output.ts';
export { type Accept, plainAddress, TcpListener } from './listen.ts';
export { type SocketEvents, socketHandlers, type TcpSocket } from './socket-events.ts';
export { type CompliancePolicy, compliancePolicy, complianceProblem, meshTls, outsideTls, type TlsLimits } from './tls-policy.ts';
export { type UdpEvents, UdpSocket } from './udp.ts';
export { MAX_QUEUED_BYTES, SocketWriter, type Source } from './writer.ts';
