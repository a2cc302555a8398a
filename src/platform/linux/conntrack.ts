/**
 * The kernel's table of tracked connections (conntrack) of a network namespace, over netlink (NETLINK_NETFILTER, subsystem ctnetlink: headers
 * `linux/netfilter/nfnetlink_conntrack.h`). Reading and deleting only; the program `conntrack` is not needed.
 */
import { dlopen, ptr } from 'bun:ffi';
import { errno, libc, SystemError } from './libc.ts';
import { inNetworkNamespace } from './netns.ts';

const { send } = dlopen('libc.so.6', { send: { args: ['i32', 'ptr', 'u64', 'i32'], returns: 'i64' } }).symbols;

const AF_NETLINK = 16;
const SOCK_RAW = 3;
const SOCK_CLOEXEC = 0o2000000;
const NETLINK_NETFILTER = 12;
const MSG_DONTWAIT = 0x40;

const NLM_F_REQUEST = 1;
const NLM_F_ACK = 4;
const NLM_F_DUMP = 0x300;
const NLMSG_ERROR = 2;
const NLMSG_DONE = 3;
/** `IPCTNL_MSG_CT_GET` and `IPCTNL_MSG_CT_DELETE` in the subsystem 1. */
const GET = 0x101;
const DELETE = 0x102;
/** `struct nlmsghdr` and `struct nfgenmsg`. */
const HEADER_BYTES = 20;

const CTA_TUPLE_ORIG = 1;
const CTA_TUPLE_REPLY = 2;
const CTA_STATUS = 3;
const CTA_MARK = 8;
const CTA_ID = 12;
const CTA_ZONE = 18;
const CTA_TUPLE_PROTO = 2;
const CTA_PROTO_NUM = 1;
const CTA_PROTO_SRC_PORT = 2;
const CTA_PROTO_DST_PORT = 3;
const TYPE_MASK = 0x3fff;

const IPS_SRC_NAT = 0x10;
const IPS_DST_NAT = 0x20;
const ENOENT = 2;

/** Bytes of one answer: the kernel fills at most 32 KiB of a listing at a time. */
const PAGE_BYTES = 65_536;

export const Protocol = { TCP: 6, UDP: 17 } as const;

export interface TrackedConnection {
  /** As in {@link Protocol}; others are possible. */
  readonly protocol: number;
  /** Where its first packet was sent to, before any translation. 0 for protocols without ports. */
  readonly destinationPort: number;
  /** Where its packets really go. */
  readonly translatedPort: number;
  /** A rule changed its source, or its destination. */
  readonly isSourceTranslated: boolean;
  readonly isDestinationTranslated: boolean;
  readonly mark: number;
  readonly zone: number;
}

/**
 * Deletes the entries `isUnwanted` chooses; gives their number. Packets of a connection whose entry has gone are taken for the begin of a new
 * one: rules see them again, and a translation is lost. The table is worked on page by page, so memory does not grow with it.
 */
export async function deleteTracked(netns: number, isUnwanted: (connection: TrackedConnection) => boolean): Promise<number> {
  const sockets: number[] = [];
  const page = new Uint8Array(PAGE_BYTES);
  try {
    const list = openSocket(netns);
    sockets.push(list);
    const change = openSocket(netns);
    sockets.push(change);
    let deleted = 0;
    submit(list, message(GET, NLM_F_DUMP, 0, []));
    for (;;) {
      const entries = readMessages(receive(list, page));
      for (const entry of entries) {
        if (entry.error !== 0) throw new SystemError('list tracked connections', -entry.error);
        if (entry.type === NLMSG_DONE) return deleted;
        const parsed = parse(entry);
        if (isUnwanted(parsed.connection) && remove(change, entry.family, parsed.key)) deleted++;
      }
      await new Promise(setImmediate);
    }
  } finally {
    for (const socket of sockets) libc.close(socket);
  }
}

function openSocket(netns: number): number {
  let failure = 0;
  const fd = inNetworkNamespace(netns, () => {
    const made = libc.socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
    // Leaving the namespace makes further calls: the error number would be theirs.
    if (made < 0) failure = errno();
    return made;
  });
  if (fd < 0) throw new SystemError('socket(AF_NETLINK, NETLINK_NETFILTER)', failure);
  return fd;
}

interface Attribute {
  readonly type: number;
  readonly value: Uint8Array;
}

function message(type: number, flags: number, family: number, attributes: readonly Attribute[]): Buffer {
  const length = attributes.reduce((sum, { value }) => sum + 4 + align(value.length), HEADER_BYTES);
  const bytes = Buffer.alloc(length);
  bytes.writeUInt32LE(length, 0);
  bytes.writeUInt16LE(type, 4);
  bytes.writeUInt16LE(NLM_F_REQUEST | flags, 6);
  bytes.writeUInt8(family, 16);
  let at = HEADER_BYTES;
  for (const { type: kind, value } of attributes) {
    bytes.writeUInt16LE(4 + value.length, at);
    bytes.writeUInt16LE(kind, at + 2);
    bytes.set(value, at + 4);
    at += 4 + align(value.length);
  }
  return bytes;
}

function submit(socket: number, bytes: Buffer): void {
  if (Number(send(socket, ptr(bytes), bytes.length, 0)) < 0) throw new SystemError('send(NETLINK_NETFILTER)');
}

/** The kernel answers while it takes the request, so there is never anything to wait for. */
function receive(socket: number, into: Uint8Array): Uint8Array {
  const count = Number(libc.recv(socket, ptr(into), into.length, MSG_DONTWAIT));
  if (count < 0) throw new SystemError('recv(NETLINK_NETFILTER)');
  return into.subarray(0, count);
}

/** Used within one synchronous call. */
const acknowledgement = new Uint8Array(4096);

/** False when the entry has gone by itself. */
function remove(socket: number, family: number, key: readonly Attribute[]): boolean {
  submit(socket, message(DELETE, NLM_F_ACK, family, key));
  const answer = readMessages(receive(socket, acknowledgement))[0];
  if (answer?.type !== NLMSG_ERROR) throw new Error('delete a tracked connection: the kernel did not answer');
  if (answer.error !== 0 && answer.error !== -ENOENT) throw new SystemError('delete a tracked connection', -answer.error);
  return answer.error === 0;
}

interface Answer {
  readonly type: number;
  readonly family: number;
  /** How a request or a listing ended: 0 or a negative error number. */
  readonly error: number;
  readonly attributes: Uint8Array;
}

const align = (length: number): number => (length + 3) & ~3;
const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.length);

function readMessages(bytes: Uint8Array): Answer[] {
  const view = viewOf(bytes);
  const found: Answer[] = [];
  for (let at = 0; at + 16 <= bytes.length; ) {
    const length = view.getUint32(at, true);
    if (length < 16 || at + length > bytes.length) break;
    const type = view.getUint16(at + 4, true);
    const error = (type === NLMSG_ERROR || type === NLMSG_DONE) && length >= HEADER_BYTES ? view.getInt32(at + 16, true) : 0;
    const start = Math.min(at + HEADER_BYTES, at + length);
    found.push({ type, family: length > 16 ? view.getUint8(at + 16) : 0, error, attributes: bytes.subarray(start, at + length) });
    at += align(length);
  }
  return found;
}

function* attributesOf(bytes: Uint8Array): Generator<Attribute> {
  const view = viewOf(bytes);
  for (let at = 0; at + 4 <= bytes.length; ) {
    const length = view.getUint16(at, true);
    if (length < 4 || at + length > bytes.length) return;
    yield { type: view.getUint16(at + 2, true) & TYPE_MASK, value: bytes.subarray(at + 4, at + length) };
    at += align(length);
  }
}

/** What identifies the entry to the kernel, and what callers choose by. */
function parse(answer: Answer): { readonly connection: TrackedConnection; readonly key: readonly Attribute[] } {
  const key: Attribute[] = [];
  let [status, mark, zone] = [0, 0, 0];
  let [sent, replied] = [NO_PORTS, NO_PORTS];
  for (const attribute of attributesOf(answer.attributes)) {
    const { type, value } = attribute;
    if (type === CTA_TUPLE_ORIG || type === CTA_ID || type === CTA_ZONE) key.push(attribute);
    if (type === CTA_TUPLE_ORIG) sent = portsOf(value);
    else if (type === CTA_TUPLE_REPLY) replied = portsOf(value);
    else if (type === CTA_STATUS) status = viewOf(value).getUint32(0);
    else if (type === CTA_MARK) mark = viewOf(value).getUint32(0);
    else if (type === CTA_ZONE) zone = viewOf(value).getUint16(0);
  }
  const connection: TrackedConnection = {
    protocol: sent.protocol,
    destinationPort: sent.to,
    translatedPort: replied.from,
    isSourceTranslated: (status & IPS_SRC_NAT) !== 0,
    isDestinationTranslated: (status & IPS_DST_NAT) !== 0,
    mark,
    zone,
  };
  return { connection, key };
}

const NO_PORTS = { protocol: 0, from: 0, to: 0 };

function portsOf(tuple: Uint8Array): typeof NO_PORTS {
  const found = { ...NO_PORTS };
  for (const part of attributesOf(tuple)) {
    if (part.type !== CTA_TUPLE_PROTO) continue;
    for (const { type, value } of attributesOf(part.value)) {
      if (type === CTA_PROTO_NUM) found.protocol = viewOf(value).getUint8(0);
      else if (type === CTA_PROTO_SRC_PORT) found.from = viewOf(value).getUint16(0);
      else if (type === CTA_PROTO_DST_PORT) found.to = viewOf(value).getUint16(0);
    }
  }
  return found;
}
