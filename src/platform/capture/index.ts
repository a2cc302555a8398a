/** Packet capture: reads an interface and tells, per connection, which bytes were TLS and whether a known text was readable. */
export { parseFrame } from './packet.ts';
export { PacketSocket } from './socket.ts';
export { Tally } from './tally.ts';
