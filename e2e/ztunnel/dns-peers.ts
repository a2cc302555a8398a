/** The two ends around a DNS proxy: a nameserver that does what a test says, and clients that speak UDP and TCP. */
import fs from 'node:fs';
import path from 'node:path';
import * as packet from 'dns-packet';
import { UdpSocket } from '../../src/platform/net/index.ts';
import { dial, type Peer, type ServerHandle, serve } from './apps.ts';
import type { Pod } from './network.ts';

export type Protocol = 'udp' | 'tcp';

/** A query as it arrived. */
export interface Received {
  readonly bytes: Buffer;
  readonly protocol: Protocol;
  readonly source: string;
}

/** The messages to send back; an empty list is silence. */
type Script = (query: Received) => readonly Uint8Array[];

const inNamespace = <T>(pod: Pod, body: (fd: number) => T): T => {
  const fd = fs.openSync(`/run/netns/${pod.namespace}`, 'r');
  try {
    return body(fd);
  } finally {
    fs.closeSync(fd);
  }
};

export const framed = (message: Uint8Array): Buffer => {
  const length = Buffer.alloc(2);
  length.writeUInt16BE(message.length, 0);
  return Buffer.concat([length, message]);
};

/** The messages of a TCP stream. */
export const unframed = (stream: Buffer): Buffer[] => {
  const messages: Buffer[] = [];
  for (let at = 0; at + 2 <= stream.length; ) {
    const end = at + 2 + stream.readUInt16BE(at);
    if (end > stream.length) break;
    messages.push(stream.subarray(at + 2, end));
    at = end;
  }
  return messages;
};

/** The query turned into an answer with these records. */
export const reply = (query: Buffer, answers: packet.Answer[], flags = 0): Buffer => {
  const { id = 0, questions = [], flags: asked = 0 } = packet.decode(query);
  return packet.encode({
    type: 'response',
    id,
    flags: (asked & packet.RECURSION_DESIRED) | packet.RECURSION_AVAILABLE | flags,
    questions,
    answers,
  });
};

export class Nameserver {
  readonly received: Received[] = [];
  script: Script = ({ bytes }) => [reply(bytes, [], 3)];
  readonly #udp: UdpSocket[];
  #tcp: ServerHandle;
  readonly #pod: Pod;

  constructor(pod: Pod, addresses: readonly string[]) {
    this.#pod = pod;
    this.#udp = addresses.map((address) =>
      inNamespace(pod, (networkNamespace) => {
        const socket: UdpSocket = new UdpSocket(
          { address, port: 53, networkNamespace },
          {
            onDatagram: (bytes, port, source) => {
              const query: Received = { bytes: Buffer.from(bytes), protocol: 'udp', source };
              this.received.push(query);
              for (const message of this.#answersTo(query)) socket.send(message, port, source);
            },
            onUdpError: () => {},
          },
        );
        return socket;
      }),
    );
    this.#tcp = this.#serve();
  }

  #answersTo(query: Received): readonly Uint8Array[] {
    try {
      return this.script(query);
    } catch {
      return []; // a query that is no message: most nameservers are silent then
    }
  }

  #serve(): ServerHandle {
    return serve(this.#pod, 53, (peer) => {
      let stream = Buffer.alloc(0);
      peer.handle = (chunk) => {
        stream = Buffer.concat([stream, chunk]);
        for (const bytes of unframed(stream)) {
          const query: Received = { bytes: Buffer.from(bytes), protocol: 'tcp', source: '' };
          this.received.push(query);
          for (const message of this.#answersTo(query)) peer.send(framed(message));
          stream = stream.subarray(2 + bytes.length);
        }
      };
    });
  }

  /** Runs `body` while TCP connections are refused. */
  async withoutTcp(body: () => Promise<void>): Promise<void> {
    this.#tcp.close();
    await body();
    this.#tcp = this.#serve();
  }

  /** What it got since the last call. */
  take(): Received[] {
    return this.received.splice(0);
  }

  close(): void {
    for (const socket of this.#udp) socket.close();
    this.#tcp.close();
  }
}

export const ask = (name: string, type = 'A', over: packet.Packet = {}): Buffer =>
  packet.encode({
    type: 'query',
    id: Math.floor(Math.random() * 65_536),
    flags: packet.RECURSION_DESIRED,
    questions: [{ name, type: type as packet.RecordType, class: 'IN' }],
    ...over,
  });

export const edns = (udpPayloadSize: number): packet.Answer => ({
  type: 'OPT',
  name: '.',
  udpPayloadSize,
  extendedRcode: 0,
  ednsVersion: 0,
  flags: 0,
  flag_do: false,
  options: [],
});

/** A UDP client in a pod. Only `server` itself can answer it: a proxy has to be unnoticeable. */
export class UdpClient {
  readonly received: Buffer[] = [];
  readonly errors: string[] = [];
  readonly #server: string;
  readonly #socket: UdpSocket;
  #wake: (() => void) | undefined;

  constructor(pod: Pod, server: string) {
    this.#server = server;
    this.#socket = inNamespace(pod, (networkNamespace) => {
      const options = { address: server, port: 53, connect: true, networkNamespace };
      return new UdpSocket(options, {
        onDatagram: (bytes) => {
          this.received.push(Buffer.from(bytes));
          this.#wake?.();
        },
        onUdpError: (error) => {
          this.errors.push(error.code ?? error.message);
          this.#wake?.();
        },
      });
    });
  }

  send(message: Uint8Array): void {
    this.#socket.send(message, 53, this.#server);
  }

  /** The answer to a query, by its id; undefined when the network reports an error or nothing comes. */
  async ask(query: Buffer, limit = 12_000): Promise<Buffer | undefined> {
    const errors = this.errors.length;
    this.send(query);
    const deadline = performance.now() + limit;
    for (;;) {
      const found = this.received.findIndex((each) => each.length >= 2 && each.readUInt16BE(0) === query.readUInt16BE(0));
      if (found >= 0) return this.received.splice(found, 1)[0];
      const left = deadline - performance.now();
      if (left <= 0 || this.errors.length > errors) return undefined;
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#wake = resolve;
      const timer = setTimeout(resolve, left);
      await promise;
      clearTimeout(timer);
    }
  }

  close(): void {
    this.#socket.close();
  }
}

export async function askUdp(pod: Pod, server: string, query: Buffer, limit?: number): Promise<Buffer | undefined> {
  const client = new UdpClient(pod, server);
  const answer = await client.ask(query, limit);
  client.close();
  return answer;
}

/** Sends queries on one connection and waits for as many messages. */
export async function askTcp(pod: Pod, server: string, queries: readonly Buffer[], messages = queries.length): Promise<Buffer[]> {
  const peer: Peer = dial(pod, server, 53);
  let stream = Buffer.alloc(0);
  const { promise, resolve } = Promise.withResolvers<void>();
  peer.handle = (chunk) => {
    stream = Buffer.concat([stream, chunk]);
    if (unframed(stream).length >= messages) resolve();
  };
  void peer.ended.promise.then(resolve);
  await peer.connected.promise;
  peer.send(Buffer.concat(queries.map(framed)));
  await promise;
  peer.socket?.terminate();
  return unframed(stream);
}

/** A program that runs another one with this `/etc/resolv.conf`. */
export function withResolvConf(directory: string, name: string, text: string, program: string): string {
  const file = path.join(directory, `${name}.resolv.conf`);
  fs.writeFileSync(file, text);
  const script = path.join(directory, `${name}.sh`);
  // `ip netns exec` has given the process mounts of its own.
  fs.writeFileSync(script, `#!/bin/sh\nmount --bind ${file} /etc/resolv.conf && exec ${program} "$@"\n`, { mode: 0o755 });
  return script;
}
