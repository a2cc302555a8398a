/** TCP sockets with the options Bun has no interface for: marks, chosen and foreign source addresses, original destinations, states. */
import { dlopen, ptr } from 'bun:ffi';
import { errno, libc, SystemError } from './libc.ts';
import { inNetworkNamespace } from './netns.ts';

const { dup, getpeername } = dlopen('libc.so.6', {
  dup: { args: ['i32'], returns: 'i32' },
  getpeername: { args: ['i32', 'ptr', 'ptr'], returns: 'i32' },
}).symbols;

const AF_UNIX = 1;
const AF_INET = 2;
const AF_INET6 = 10;
const SOCK_STREAM = 1;
const SOCK_DGRAM = 2;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
const SOL_IP = 0;
const SOL_SOCKET = 1;
const SOL_TCP = 6;
const SOL_IPV6 = 41;
const SO_ERROR = 4;
const SO_REUSEADDR = 2;
const SO_KEEPALIVE = 9;
const SO_REUSEPORT = 15;
const SO_MARK = 36;
const IP_FREEBIND = 15;
const IP_TRANSPARENT = 19;
const IP_BIND_ADDRESS_NO_PORT = 24;
const IPV6_V6ONLY = 26;
const IPV6_TRANSPARENT = 75;
const IPV6_FREEBIND = 78;
const SO_ORIGINAL_DST = 80;
const TCP_NODELAY = 1;
const TCP_KEEPIDLE = 4;
const TCP_KEEPINTVL = 5;
const TCP_KEEPCNT = 6;
const TCP_INFO = 11;
const TCP_USER_TIMEOUT = 18;

/** States of `TCP_INFO` that callers ask about. */
export const TcpState = { ESTABLISHED: 1, SYN_SENT: 2, CLOSE: 7, CLOSE_WAIT: 8 } as const;

// Buffers made explicitly: a small typed array lives inside its object and moves once its `buffer` is asked for.
// Scratch space, so that a system call allocates nothing. Each is used and read within one synchronous call.
const intValue = new Int32Array(new ArrayBuffer(4));
const intPointer = ptr(intValue);
const lengthValue = new Uint32Array(new ArrayBuffer(4));
const lengthPointer = ptr(lengthValue);
const addressBytes = new Uint8Array(new ArrayBuffer(28));
const addressPointer = ptr(addressBytes);
const addressView = new DataView(addressBytes.buffer);

export interface SocketEndpoint {
  readonly address: string;
  readonly port: number;
}

export interface Keepalive {
  /** Seconds of silence before the first probe. */
  readonly time: number;
  /** Seconds between probes. */
  readonly interval: number;
  readonly probes: number;
}

/** What is set on a connection. Marks need CAP_NET_ADMIN. */
export interface TcpOptions {
  readonly mark?: number | undefined;
  readonly keepalive?: Keepalive | undefined;
  /** Derive TCP_USER_TIMEOUT from the keepalive settings. */
  readonly userTimeout?: boolean | undefined;
}

const hexGroups = (text: string): number[] => (text === '' ? [] : text.split(':').map((group) => Number.parseInt(group, 16)));

/** Writes `sockaddr_in` or `sockaddr_in6` into the scratch buffer; returns its length. Addresses are canonical text. */
function putSockaddr(address: string, port: number): number {
  addressBytes.fill(0);
  if (!address.includes(':')) {
    addressView.setUint16(0, AF_INET, true);
    addressView.setUint16(2, port);
    let value = 0;
    let at = 4;
    for (let i = 0; i < address.length; i++) {
      const c = address.charCodeAt(i);
      if (c === 46) {
        addressBytes[at++] = value;
        value = 0;
      } else value = value * 10 + c - 48;
    }
    addressBytes[at] = value;
    return 16;
  }
  addressView.setUint16(0, AF_INET6, true);
  addressView.setUint16(2, port);
  const gap = address.indexOf('::');
  const head = hexGroups(gap < 0 ? address : address.slice(0, gap));
  const tail = gap < 0 ? [] : hexGroups(address.slice(gap + 2));
  for (const [i, group] of head.entries()) addressView.setUint16(8 + 2 * i, group);
  for (const [i, group] of tail.entries()) addressView.setUint16(8 + 2 * (8 - tail.length + i), group);
  return 28;
}

/** Reads the scratch buffer; IPv4-mapped IPv6 comes out as IPv4, IPv6 in canonical text. */
function takeSockaddr(): SocketEndpoint {
  const port = addressView.getUint16(2);
  if (addressView.getUint16(0, true) === AF_INET)
    return { address: `${addressBytes[4]}.${addressBytes[5]}.${addressBytes[6]}.${addressBytes[7]}`, port };
  const mapped = addressView.getUint32(8) === 0 && addressView.getUint32(12) === 0 && addressView.getUint32(16) === 0xffff;
  if (mapped) return { address: `${addressBytes[20]}.${addressBytes[21]}.${addressBytes[22]}.${addressBytes[23]}`, port };
  const groups: string[] = [];
  for (let i = 0; i < 8; i++) groups.push(addressView.getUint16(8 + 2 * i).toString(16));
  // The URL parser knows the one canonical spelling (RFC 5952).
  return { address: new URL(`http://[${groups.join(':')}]`).hostname.slice(1, -1), port };
}

function setInt(fd: number, level: number, option: number, value: number): boolean {
  intValue[0] = value;
  return libc.setsockopt(fd, level, option, intPointer, 4) === 0;
}

function getInt(fd: number, level: number, option: number): number {
  intValue[0] = 0;
  lengthValue[0] = 4;
  return libc.getsockopt(fd, level, option, intPointer, lengthPointer) === 0 ? intValue[0]! : -1;
}

/** Sets no-delay, keepalive and mark on a connection. A mark the kernel refuses throws: without it redirect rules would loop. */
export function configureTcp(fd: number, options: TcpOptions): void {
  setInt(fd, SOL_TCP, TCP_NODELAY, 1);
  const keepalive = options.keepalive;
  if (keepalive) {
    setInt(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    setInt(fd, SOL_TCP, TCP_KEEPIDLE, keepalive.time);
    setInt(fd, SOL_TCP, TCP_KEEPINTVL, keepalive.interval);
    setInt(fd, SOL_TCP, TCP_KEEPCNT, keepalive.probes);
    if (options.userTimeout) setInt(fd, SOL_TCP, TCP_USER_TIMEOUT, 1000 * (keepalive.time + keepalive.interval * keepalive.probes));
  }
  if (options.mark !== undefined && !setInt(fd, SOL_SOCKET, SO_MARK, options.mark)) throw new SystemError('setsockopt(SO_MARK)');
}

/** Allows a socket to use addresses that are not its host's. False when the process may not. */
export function allowForeignAddress(fd: number, family: 4 | 6): boolean {
  return family === 4
    ? setInt(fd, SOL_IP, IP_TRANSPARENT, 1) && setInt(fd, SOL_IP, IP_FREEBIND, 1)
    : setInt(fd, SOL_IPV6, IPV6_TRANSPARENT, 1) && setInt(fd, SOL_IPV6, IPV6_FREEBIND, 1);
}

export interface OpenTcpOptions extends TcpOptions {
  readonly family: 4 | 6;
  /** Descriptor of the network namespace the socket shall live in; default the process's own. */
  readonly networkNamespace?: number | undefined;
}

/** A non-blocking TCP socket inside a namespace. The caller owns the descriptor. */
export function openTcp(options: OpenTcpOptions): number {
  const family = options.family === 4 ? AF_INET : AF_INET6;
  let failure = 0;
  const create = (): number => {
    const fd = libc.socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    // Leaving the namespace makes further calls: the error number would be theirs.
    if (fd < 0) failure = errno();
    return fd;
  };
  const fd = options.networkNamespace === undefined ? create() : inNetworkNamespace(options.networkNamespace, create);
  if (fd < 0) throw new SystemError('socket', failure);
  try {
    configureTcp(fd, options);
  } catch (error) {
    libc.close(fd);
    throw error;
  }
  return fd;
}

/**
 * Binds a socket; returns the error when the kernel refuses the address. Without a port the kernel chooses one when it connects, by the whole
 * connection: choosing at once means a search among all ports in use, and ends at 28 000 connections.
 */
export function bindSocket(fd: number, address: string, port = 0): SystemError | undefined {
  if (port === 0) setInt(fd, SOL_IP, IP_BIND_ADDRESS_NO_PORT, 1);
  const length = putSockaddr(address, port);
  return libc.bind(fd, addressPointer, length) === 0 ? undefined : new SystemError('bind');
}

/** Connections the kernel completes before the process accepts them. */
export const LISTEN_BACKLOG = 1024;

export interface ListenTcpOptions extends TcpOptions {
  /** `::` also takes IPv4 connections, whose addresses then look like `::ffff:10.0.0.1`. */
  readonly address: string;
  readonly port: number;
  readonly networkNamespace?: number | undefined;
  readonly reusePort: boolean;
}

/** A listening socket inside a namespace; what it accepts inherits mark, keepalive and no-delay. It is meant to be given to one or several listeners by descriptor. The caller owns it. */
export function listenTcp(options: ListenTcpOptions): number {
  const isV6 = options.address.includes(':');
  let failure = 0;
  const create = (): number => {
    const fd = libc.socket(isV6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) failure = errno();
    return fd;
  };
  const fd = options.networkNamespace === undefined ? create() : inNetworkNamespace(options.networkNamespace, create);
  if (fd < 0) throw new SystemError('socket', failure);
  try {
    setInt(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (options.reusePort) setInt(fd, SOL_SOCKET, SO_REUSEPORT, 1);
    if (isV6) setInt(fd, SOL_IPV6, IPV6_V6ONLY, 0);
    configureTcp(fd, options);
    // Best effort: only needed where rules use TPROXY.
    setInt(fd, SOL_IP, IP_TRANSPARENT, 1);
    if (isV6) setInt(fd, SOL_IPV6, IPV6_TRANSPARENT, 1);
    const refused = bindSocket(fd, options.address, options.port);
    if (refused) throw refused;
    if (libc.listen(fd, LISTEN_BACKLOG) !== 0) throw new SystemError('listen');
    return fd;
  } catch (error) {
    libc.close(fd);
    throw error;
  }
}

export interface OpenUdpOptions {
  /** What the socket is bound to; with `connect` what it is connected to, and then only that peer can send to it. */
  readonly address: string;
  readonly port: number;
  readonly connect?: boolean | undefined;
  readonly mark?: number | undefined;
  readonly networkNamespace?: number | undefined;
  /** Several sockets may share the port; datagrams of one peer go to one of them. */
  readonly reusePort?: boolean | undefined;
}

/** A non-blocking UDP socket inside a namespace. The caller owns the descriptor. Throws a `SystemError`. */
export function openUdp(options: OpenUdpOptions): number {
  const { address, port, mark } = options;
  let failure = 0;
  const create = (): number => {
    const fd = libc.socket(address.includes(':') ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) failure = errno();
    return fd;
  };
  const fd = options.networkNamespace === undefined ? create() : inNetworkNamespace(options.networkNamespace, create);
  if (fd < 0) throw new SystemError('socket', failure);
  try {
    if (options.reusePort) setInt(fd, SOL_SOCKET, SO_REUSEPORT, 1);
    if (mark !== undefined && !setInt(fd, SOL_SOCKET, SO_MARK, mark)) throw new SystemError('setsockopt(SO_MARK)');
    const length = putSockaddr(address, port);
    const call = options.connect ? 'connect' : 'bind';
    if (libc[call](fd, addressPointer, length) !== 0) throw new SystemError(call);
    return fd;
  } catch (error) {
    libc.close(fd);
    throw error;
  }
}

/**
 * Connects a bound UDP socket to itself: of sockets that share its port the others get all that comes from now on, for the kernel passes over those connected to
 * another than the sender. What is in its queue stays there, and it can still send to whom it likes. False when the kernel refuses; then nothing changes.
 */
export function stopReceiving(fd: number): boolean {
  const { address, port } = localEndpoint(fd);
  const length = putSockaddr(address, port);
  return libc.connect(fd, addressPointer, length) === 0;
}

const pairValue = new Int32Array(new ArrayBuffer(8));
const pairPointer = ptr(pairValue);

/** Two non-blocking stream sockets that are each other's peer, of no network. The caller owns both. */
export function socketPair(): readonly [number, number] {
  if (libc.socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pairPointer) !== 0) throw new SystemError('socketpair');
  return [pairValue[0]!, pairValue[1]!];
}

/** A second descriptor of the same socket. */
export function duplicateDescriptor(fd: number): number {
  const copy = dup(fd);
  if (copy < 0) throw new SystemError('dup');
  return copy;
}

/** Starts a connection. Loopback and refused ones are decided at once, others are `pending` until the socket is writable. */
export function startConnect(fd: number, address: string, port: number): 'connected' | 'pending' | SystemError {
  const length = putSockaddr(address, port);
  if (libc.connect(fd, addressPointer, length) === 0) return 'connected';
  const code = errno();
  const state = tcpState(fd);
  if (state === TcpState.ESTABLISHED || state === TcpState.CLOSE_WAIT) return 'connected';
  if (state === TcpState.SYN_SENT) return 'pending';
  const pending = socketError(fd);
  return new SystemError('connect', pending > 0 ? pending : code);
}

/** Takes the pending error number of a socket: 0 when there is none. */
export const socketError = (fd: number): number => getInt(fd, SOL_SOCKET, SO_ERROR);

/** The TCP state as in `TcpState`, −1 when the descriptor is no TCP socket. */
export function tcpState(fd: number): number {
  lengthValue[0] = 1;
  intValue[0] = 0;
  return libc.getsockopt(fd, SOL_TCP, TCP_INFO, intPointer, lengthPointer) === 0 ? intValue[0]! & 0xff : -1;
}

/** Where a connection was going before a REDIRECT rule caught it; undefined when no rule did. */
export function originalDestination(fd: number): SocketEndpoint | undefined {
  lengthValue[0] = 16;
  if (libc.getsockopt(fd, SOL_IP, SO_ORIGINAL_DST, addressPointer, lengthPointer) === 0) return takeSockaddr();
  lengthValue[0] = 28;
  if (libc.getsockopt(fd, SOL_IPV6, SO_ORIGINAL_DST, addressPointer, lengthPointer) === 0) return takeSockaddr();
  return undefined;
}

/** Who is at the other end; undefined when it has gone. One call, where a socket's `remoteAddress` and `remotePort` make one each. */
export function peerEndpoint(fd: number): SocketEndpoint | undefined {
  lengthValue[0] = 28;
  return getpeername(fd, addressPointer, lengthPointer) === 0 ? takeSockaddr() : undefined;
}

/** The address a descriptor is bound to. */
export function localEndpoint(fd: number): SocketEndpoint {
  lengthValue[0] = 28;
  if (libc.getsockname(fd, addressPointer, lengthPointer) !== 0) throw new SystemError('getsockname');
  return takeSockaddr();
}

export function closeDescriptor(fd: number): void {
  libc.close(fd);
}
