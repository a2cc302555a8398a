export { errno, libc, SystemError } from './libc.ts';
export { inNetworkNamespace, namespaceInode } from './netns.ts';
export {
  connectSeqpacket,
  listenSeqpacket,
  SEQPACKET_MAX_BYTES,
  type SeqpacketConnection,
  SeqpacketError,
  type SeqpacketListener,
  type SeqpacketMessage,
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
  openTcp,
  originalDestination,
  type SocketEndpoint,
  socketError,
  startConnect,
  type TcpOptions,
  TcpState,
  tcpState,
} from './sockets.ts';
