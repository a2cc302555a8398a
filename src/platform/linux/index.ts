export { errno, libc, SystemError } from './libc.ts';
export { inNetworkNamespace, namespaceInode } from './netns.ts';
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
