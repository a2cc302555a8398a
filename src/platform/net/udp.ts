/** UDP sockets inside network namespaces, with a mark. Bun reads and writes them, the descriptor is made by us. */
import { hasInput, type OpenUdpOptions, openUdp, stopReceiving } from '../linux/index.ts';
import { reportFault } from './fault.ts';

export interface UdpEvents {
  /** `datagram` is only valid during the call; `whole` is false when the kernel had to cut it. */
  onDatagram(datagram: Buffer, port: number, address: string, whole: boolean): void;
  /** The network says so, for example that nobody listens at the peer: the socket stays usable. */
  onUdpError(error: NodeJS.ErrnoException): void;
}

/** What `Bun.udpSocket` gives and takes, with the option `fd`, which its types lack. */
type Socket = Bun.udp.Socket<'buffer'>;
type OpenSocket = (options: { fd: number; socket: object }) => Promise<Socket>;

/** How often a retired socket looks whether its queue is empty, in milliseconds. */
const QUEUE_LOOK_MS = 1;

export class UdpSocket {
  readonly #events: UdpEvents;
  readonly #fd: number;
  #socket: Socket | undefined;
  #closed = false;
  /** Sent before Bun had the socket ready. */
  #early: [data: Uint8Array, port: number, address: string][] = [];

  /** Throws a `SystemError` when the address cannot be used or the namespace is gone. */
  constructor(options: OpenUdpOptions, events: UdpEvents) {
    this.#events = events;
    const fd = openUdp(options);
    this.#fd = fd;
    const open = Bun.udpSocket as unknown as OpenSocket;
    const socket = {
      data: (_: Socket, data: Buffer, port: number, address: string, flags?: Bun.udp.ReceiveFlags) =>
        this.#received(data, port, address, flags?.truncated !== true),
      error: (error: NodeJS.ErrnoException) => {
        if (!this.#closed) this.#events.onUdpError(error);
      },
    };
    open({ fd, socket }).then(
      (opened) => this.#opened(opened),
      (error: NodeJS.ErrnoException) => {
        if (!this.#closed) this.#events.onUdpError(error);
      },
    );
  }

  /** Best effort, as the network is: what the kernel has no room for is lost. On a connected socket the peer must be named all the same. */
  send(data: Uint8Array, port: number, address: string): void {
    if (this.#closed) return;
    if (this.#socket === undefined) {
      this.#early.push([Uint8Array.from(data), port, address]);
      return;
    }
    try {
      this.#socket.send(data, port, address);
    } catch (error) {
      // Refused at once by a route or rule: the same to a sender as an error that comes later.
      this.#events.onUdpError(error as NodeJS.ErrnoException);
    }
  }

  /**
   * Leaves new datagrams to the other sockets of its port; without any they are refused. Those that had come before are still delivered, after which `whenEmpty` is
   * called; closing the socket at once would lose them. Answers can be sent until it is closed.
   */
  retire(whenEmpty: () => void): void {
    if (this.#closed) return;
    stopReceiving(this.#fd);
    const look = (): void => {
      if (this.#closed) return;
      if (hasInput(this.#fd)) setTimeout(look, QUEUE_LOOK_MS);
      else whenEmpty();
    };
    look();
  }

  close(): void {
    this.#closed = true;
    this.#early = [];
    this.#socket?.close();
    this.#socket = undefined;
  }

  #opened(socket: Socket): void {
    if (this.#closed) {
      socket.close();
      return;
    }
    this.#socket = socket;
    for (const [data, port, address] of this.#early.splice(0)) this.send(data, port, address);
  }

  #received(data: Buffer, port: number, address: string, whole: boolean): void {
    if (this.#closed) return;
    try {
      this.#events.onDatagram(data, port, address, whole);
    } catch (error) {
      reportFault(error);
    }
  }
}
