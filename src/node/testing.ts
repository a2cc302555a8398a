/** Real network namespaces and sockets for this room's tests: a node and a pod joined by a veth pair. Not part of the program. */
import { ptr } from 'bun:ffi';
import fs from 'node:fs';
import {
  allowForeignAddress,
  bindSocket,
  closeDescriptor,
  inNetworkNamespace,
  libc,
  openTcp,
  originalDestination,
  SystemError,
  startConnect,
} from '../platform/linux/index.ts';

/** Another for each process: what looks for a pod by its address finds those of every run on the machine. */
const SUBNET = `10.${192 + ((process.pid >> 8) % 32)}.${process.pid & 255}`;
const SUBNET6 = `fd00:201:${process.pid.toString(16)}`;
export const NODE_IP = `${SUBNET}.1`;
export const POD_IP = `${SUBNET}.2`;
export const NODE_IP6 = `${SUBNET6}::1`;
export const POD_IP6 = `${SUBNET6}::2`;

let made = 0;

const run = (...argv: string[]): string => {
  const { exitCode, stdout, stderr } = Bun.spawnSync(argv);
  if (exitCode !== 0) throw new Error(`${argv.join(' ')}: ${stderr.toString()}`);
  return stdout.toString();
};

export class TestNetwork {
  readonly node: number;
  readonly pod: number;
  readonly podPath: string;
  readonly #names: string[];
  readonly #opened: number[] = [];
  readonly #closables: { stop: (force?: boolean) => void }[] = [];
  readonly #sockets: { end: () => void }[] = [];
  #accepted: Raw[] = [];

  constructor() {
    const base = `na-${process.pid}-${made++}`;
    const [node, pod] = [`${base}n`, `${base}p`];
    this.#names = [node, pod];
    for (const name of [node, pod]) run('ip', 'netns', 'add', name);
    run('ip', '-n', node, 'link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', 'eth0', 'netns', pod);
    for (const [name, v4, v6] of [
      [node, NODE_IP, NODE_IP6],
      [pod, POD_IP, POD_IP6],
    ] as const) {
      run('ip', '-n', name, 'addr', 'add', `${v4}/24`, 'dev', 'eth0');
      run('ip', '-n', name, 'addr', 'add', `${v6}/64`, 'dev', 'eth0', 'nodad');
      for (const link of ['lo', 'eth0']) run('ip', '-n', name, 'link', 'set', link, 'up');
    }
    run('ip', '-n', pod, 'route', 'add', 'default', 'via', NODE_IP);
    run('ip', '-n', pod, 'route', 'add', 'default', 'via', NODE_IP6);
    this.podPath = `/run/netns/${pod}`;
    this.node = fs.openSync(`/run/netns/${node}`, 'r');
    this.pod = fs.openSync(this.podPath, 'r');
    inNetworkNamespace(this.pod, () => fs.writeFileSync('/proc/sys/net/ipv4/conf/all/rp_filter', '0'));
    inNetworkNamespace(this.pod, () => fs.writeFileSync('/proc/sys/net/ipv4/conf/eth0/rp_filter', '0'));
  }

  /** What `nft`, `ip rule` and table 100 show in the pod. */
  state(): string {
    return run(
      'ip',
      'netns',
      'exec',
      this.#names[1]!,
      'sh',
      '-c',
      'nft list ruleset; ip rule; ip -6 rule; ip route show table all type local default; ip -6 route show table 100 2>/dev/null || true',
    );
  }

  inPod(...argv: string[]): string {
    return run('ip', 'netns', 'exec', this.#names[1]!, ...argv);
  }

  /** A namespace behind an interface of the pod, which forwards for it, as for a virtual machine. Gives its descriptor; its address ends in 2. */
  addVirtualMachine(link: string, subnet: string): number {
    const [node, pod] = this.#names as [string, string];
    const vm = `${pod}v`;
    run('ip', 'netns', 'add', vm);
    this.#names.push(vm);
    run('ip', '-n', pod, 'link', 'add', link, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', vm);
    run('ip', '-n', pod, 'addr', 'add', `${subnet}.1/24`, 'dev', link);
    run('ip', '-n', pod, 'link', 'set', link, 'up');
    run('ip', '-n', vm, 'addr', 'add', `${subnet}.2/24`, 'dev', 'eth0');
    run('ip', '-n', vm, 'link', 'set', 'eth0', 'up');
    run('ip', '-n', vm, 'route', 'add', 'default', 'via', `${subnet}.1`);
    run('ip', '-n', node, 'route', 'add', `${subnet}.0/24`, 'via', POD_IP);
    this.inPod('sysctl', '-qw', 'net.ipv4.ip_forward=1');
    const fd = fs.openSync(`/run/netns/${vm}`, 'r');
    this.#opened.push(fd);
    return fd;
  }

  /** A server that greets each connection with `NAME REMOTE-ADDRESS ORIGINAL-DESTINATION` and then echoes. */
  serve(namespace: number, name: string, port: number, hostname = '::'): void {
    const listener = inNetworkNamespace(namespace, () =>
      Bun.listen({
        hostname,
        port,
        socket: {
          open: (socket) => {
            this.#accepted.push(socket as unknown as Raw);
            const to = originalDestination((socket as unknown as { fd: number }).fd);
            socket.write(`${name} ${socket.remoteAddress.replace('::ffff:', '')} ${to ? `${to.address}:${to.port}` : '-'}\n`);
          },
          data: (socket, data) => {
            socket.write(data);
          },
        },
      }),
    );
    this.#closables.push(listener);
  }

  /** Connects from a namespace; the server's greeting tells who answered. */
  async connect(
    namespace: number,
    address: string,
    port: number,
    options: { mark?: number; from?: string; fromPort?: number } = {},
  ): Promise<TestConnection> {
    const family = address.includes(':') ? 6 : 4;
    const fd = openTcp({ family, networkNamespace: namespace, ...(options.mark !== undefined && { mark: options.mark }) });
    if (options.from !== undefined && !allowForeignAddress(fd, family)) throw new Error('IP_TRANSPARENT is not allowed here');
    if (options.from !== undefined || options.fromPort !== undefined) {
      const refused = bindSocket(fd, options.from ?? (family === 4 ? '0.0.0.0' : '::'), options.fromPort);
      if (refused) throw refused;
    }
    const outcome = startConnect(fd, address, port);
    if (outcome instanceof SystemError) {
      closeDescriptor(fd);
      throw outcome;
    }
    const connection = new TestConnection();
    // The types of Bun do not list `fd`, which connects nothing but takes over a socket.
    const socket = await Bun.connect({ fd, socket: connection.handlers } as unknown as Parameters<typeof Bun.connect>[0]);
    connection.socket = socket as unknown as Raw;
    this.#sockets.push(connection.socket);
    connection.greeting = await connection.line();
    return connection;
  }

  /** Every server says something to each of its clients, unasked. */
  announce(text: string): void {
    for (const socket of this.#accepted) socket.write(`${text}\n`);
  }

  /** A UDP server that answers each datagram with its name. */
  async serveUdp(namespace: number, name: string, port: number, hostname: string): Promise<void> {
    const opening = inNetworkNamespace(namespace, () =>
      Bun.udpSocket({ hostname, port, socket: { data: (socket, _, from, address) => void socket.send(name, from, address) } }),
    );
    const socket = await opening;
    this.#closables.push({ stop: () => socket.close() });
  }

  /** A UDP client with a port of its own; each call sends a datagram and gives the answer. */
  async askUdp(namespace: number, address: string, port: number): Promise<() => Promise<string>> {
    let wake = (_: string) => {};
    const opening = inNetworkNamespace(namespace, () =>
      Bun.udpSocket({ hostname: address.includes(':') ? '::' : '0.0.0.0', socket: { data: (_, data) => wake(data.toString()) } }),
    );
    const socket = await opening;
    this.#closables.push({ stop: () => socket.close() });
    return async () => {
      const answered = new Promise<string>((resolve) => (wake = resolve));
      socket.send('?', port, address);
      return Promise.race([answered, Bun.sleep(LINE_LIMIT_MS).then(() => 'no answer')]);
    };
  }

  /** Both ends of every connection cease to exist without a packet, as when a machine fails. */
  vanish(...connections: readonly TestConnection[]): void {
    for (const { socket } of connections) vanish(socket);
    for (const socket of this.#accepted.splice(0)) vanish(socket);
  }

  close(): void {
    for (const socket of this.#sockets) socket.end();
    for (const closable of this.#closables) closable.stop(true);
    for (const fd of [this.node, this.pod, ...this.#opened]) fs.closeSync(fd);
    for (const name of this.#names) run('ip', 'netns', 'del', name);
  }
}

interface Raw {
  readonly fd: number;
  write: (text: string) => number;
  end: () => void;
  terminate: () => void;
}

const SOL_TCP = 6;
/** A socket in repair mode says nothing when it is closed. */
const TCP_REPAIR = 19;

function vanish(socket: Raw): void {
  const on = new Int32Array([1]);
  if (libc.setsockopt(socket.fd, SOL_TCP, TCP_REPAIR, ptr(on), 4) !== 0) return; // closed already
  socket.terminate();
}

const LINE_LIMIT_MS = 3_000;

export class TestConnection {
  socket!: Raw;
  greeting = '';
  #text = '';
  #wake = () => {};
  #ended = false;
  readonly handlers = {
    data: (_: unknown, data: Uint8Array) => {
      this.#text += Buffer.from(data).toString();
      this.#wake();
    },
    close: () => {
      this.#ended = true;
      this.#wake();
    },
    error: () => {},
    connectError: () => {
      this.#ended = true;
      this.#wake();
    },
  };

  async line(): Promise<string> {
    const deadline = performance.now() + LINE_LIMIT_MS;
    for (;;) {
      const end = this.#text.indexOf('\n');
      if (end >= 0) {
        const line = this.#text.slice(0, end);
        this.#text = this.#text.slice(end + 1);
        return line;
      }
      if (this.#ended) throw new Error('the connection ended');
      const left = deadline - performance.now();
      if (left <= 0) throw new Error(`no line within ${LINE_LIMIT_MS} ms`);
      await Promise.race([new Promise<void>((resolve) => (this.#wake = resolve)), Bun.sleep(left)]);
    }
  }

  async echo(text: string): Promise<string> {
    this.socket.write(`${text}\n`);
    return this.line();
  }
}
