export { COMMAND_TIMEOUT_MS, CommandError, type CommandOptions, runCommand } from './command.ts';
export { deleteTracked, Protocol, type TrackedConnection } from './conntrack.ts';
export { hasInput } from './fd-readiness.ts';
export { countEstablished, hasIpv6, namespaceAddresses } from './interfaces.ts';
export { errno, libc, SystemError } from './libc.ts';
export { inNetworkNamespace, namespaceInode } from './netns.ts';
export { type RulesetSummary, runNft, summarizeRuleset } from './nft.ts';
export { writeStandardOutput } from './output.ts';
export {
  connectSeqpacket,
  inheritedSeqpacket,
  listenSeqpacket,
  SEQPACKET_MAX_BYTES,
  type SeqpacketConnection,
  SeqpacketError,
  type SeqpacketListener,
  type SeqpacketMessage,
  seqpacketPair,
} from './seqpacket.ts';
export {
  allowForeignAddress,
  bindSocket,
  closeDescriptor,
  configureTcp,
  duplicateDescriptor,
  type Keepalive,
  LISTEN_BACKLOG,
  type ListenTcpOptions,
  listenTcp,
  localEndpoint,
  type OpenTcpOptions,
  type OpenUdpOptions,
  openTcp,
  openUdp,
  originalDestination,
  peerEndpoint,
  type SocketEndpoint,
  socketError,
  socketPair,
  startConnect,
  stopReceiving,
  type TcpOptions,
  TcpState,
  tcpState,
} from './sockets.ts';
export { type ZdsAnswer, ZdsPeer, type ZdsPeerEvents } from './zds-peer.ts';
