import { dlopen, ptr } from 'bun:ffi';
import { libc, SystemError } from '../linux/index.ts';

const AF_PACKET = 17;
const SOCK_RAW = 3;
const SOCK_CLOEXEC = 0o2000000;
const ETH_P_ALL_BE = 0x0300;
const SOL_SOCKET = 1;
const SO_RCVBUF = 8;
const SO_RCVBUFFORCE = 33;
const SOL_PACKET = 263;
const PACKET_ADD_MEMBERSHIP = 1;
const PACKET_MR_PROMISC = 1;
const MSG_DONTWAIT = 0x40;

/** What may wait in the kernel between two readings: a tenth of a second at gigabit speed, and more. */
const RECEIVE_BUFFER = 32 * 1024 * 1024;
/** The largest frame: a segment not yet cut to the link's size. */
const MAX_FRAME = 128 * 1024;

const { if_nametoindex } = dlopen('libc.so.6', { if_nametoindex: { args: ['cstring'], returns: 'u32' } }).symbols;

/** Frames of one interface, as they pass, those of other machines included. Needs CAP_NET_RAW in the network namespace. */
export class PacketSocket {
  readonly #fd: number;
  readonly #frame = new Uint8Array(MAX_FRAME);

  constructor(name: string) {
    const nameBytes = Buffer.from(`${name}\0`);
    const index = if_nametoindex(ptr(nameBytes));
    if (index === 0) throw new Error(`there is no network interface "${name}" here`);
    this.#fd = libc.socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, ETH_P_ALL_BE);
    if (this.#fd < 0) throw new SystemError('socket(AF_PACKET)');
    const size = new Int32Array([RECEIVE_BUFFER]);
    if (libc.setsockopt(this.#fd, SOL_SOCKET, SO_RCVBUFFORCE, ptr(size), 4) !== 0)
      libc.setsockopt(this.#fd, SOL_SOCKET, SO_RCVBUF, ptr(size), 4);
    const address = new DataView(new ArrayBuffer(20));
    address.setUint16(0, AF_PACKET, true);
    address.setUint16(2, ETH_P_ALL_BE, true);
    address.setInt32(4, index, true);
    if (libc.bind(this.#fd, ptr(address.buffer), 20) !== 0) throw new SystemError(`bind(${name})`);
    // A bridge shows frames between its ports only to those who ask for all.
    const membership = new DataView(new ArrayBuffer(16));
    membership.setInt32(0, index, true);
    membership.setUint16(4, PACKET_MR_PROMISC, true);
    if (libc.setsockopt(this.#fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, ptr(membership.buffer), 16) !== 0)
      throw new SystemError(`setsockopt(PACKET_ADD_MEMBERSHIP, ${name})`);
  }

  /** The next frame that waits, valid until the next call; undefined when none does. */
  take(): Uint8Array | undefined {
    const length = Number(libc.recv(this.#fd, ptr(this.#frame), MAX_FRAME, MSG_DONTWAIT));
    return length > 0 ? this.#frame.subarray(0, length) : undefined;
  }

  close(): void {
    libc.close(this.#fd);
  }
}
