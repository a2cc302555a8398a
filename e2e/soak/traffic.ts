/** The mixed load: each kind is a handful of loops that go on until the run is over. Any error of theirs has to be explained. */
import * as packet from 'dns-packet';
import { ask, askTcp, askUdp } from '../ztunnel/dns-peers.ts';
import type { Pod } from '../ztunnel/network.ts';
import type { Causes } from './causes.ts';
import { Connection, Failure } from './connection.ts';
import { type Mesh, OUTSIDE_ADDRESS, OUTSIDE_NAME, Port, VIP } from './mesh.ts';
import type { Pace } from './pace.ts';
import { BLOCK, sendBlocks } from './servers.ts';

const DNS_IP = '10.96.0.10';
const random = (from: number, to: number): number => from + Math.floor(Math.random() * (to - from));
const oneOf = <T>(items: readonly T[]): T => items[random(0, items.length)]!;

/** How often each kind was done. */
export const KINDS = [
  'request',
  'connection',
  'half close',
  'bulk down',
  'bulk up',
  'slow stream',
  'slow reader',
  'DNS over UDP',
  'DNS over TCP',
  'denied',
  'toggled',
  'plain out',
  'plain in',
] as const;
export type Kind = (typeof KINDS)[number];

export class Traffic {
  readonly done = Object.fromEntries(KINDS.map((kind) => [kind, 0])) as Record<Kind, number>;
  readonly #mesh: Mesh;
  readonly #causes: Causes;
  readonly #pace: Pace;
  readonly #signal: AbortSignal;
  readonly #loops: Promise<void>[] = [];

  constructor(mesh: Mesh, causes: Causes, pace: Pace, signal: AbortSignal) {
    this.#mesh = mesh;
    this.#causes = causes;
    this.#pace = pace;
    this.#signal = signal;
  }

  start(): void {
    for (let i = 0; i < 24; i++) this.#loop('request', 0, () => this.#keepAlive());
    for (let i = 0; i < 2; i++) this.#loop('connection', 20, () => this.#once(this.#pair()));
    this.#loop('half close', 150, () => this.#upload('half close', random(1, 64)));
    this.#loop('bulk down', 900, () => this.#download(random(4, 32) * 1024));
    this.#loop('bulk up', 900, () => this.#upload('bulk up', random(4, 32) * 1024));
    for (let i = 0; i < 10; i++) this.#loop('slow stream', 0, () => this.#trickle(Port.echo, 'slow stream'));
    for (let i = 0; i < 4; i++) this.#loop('toggled', 500, () => this.#trickle(Port.toggled, 'toggled'));
    this.#loop('slow reader', 500, () => this.#slowReader());
    this.#loop('DNS over UDP', 50, () => this.#dns('DNS over UDP'));
    this.#loop('DNS over TCP', 300, () => this.#dns('DNS over TCP'));
    this.#loop('denied', 250, () => this.#denied());
    this.#loop('plain out', 300, () => this.#once([oneOf(this.#mesh.clients), this.#mesh.outside.ip, Port.echo], 'plain out'));
    this.#loop('plain in', 300, () => this.#once([this.#mesh.outside, oneOf(this.#mesh.servers).ip, Port.echo], 'plain in'));
  }

  /** When every loop has noticed the end. */
  async finished(): Promise<void> {
    await Promise.all(this.#loops);
  }

  #loop(kind: Kind, pause: number, body: () => Promise<void>): void {
    this.#loops.push(
      (async () => {
        while (!this.#signal.aborted) {
          try {
            await body();
          } catch (error) {
            this.#causes.report(`client: ${kind}`, (error as Error).message);
            await Bun.sleep(200);
          }
          if (pause > 0) await Bun.sleep(pause * (0.5 + Math.random()));
        }
      })(),
    );
  }

  /** A client and where it connects: a server by address or the service of both. */
  #pair(): readonly [Pod, string, number] {
    const from = oneOf(this.#mesh.clients);
    return Math.random() < 0.3 ? [from, VIP, 80] : [from, oneOf(this.#mesh.servers).ip, Port.echo];
  }

  /** Requests on one connection, as fast as the pace allows, for a while. */
  async #keepAlive(): Promise<void> {
    const connection = await new Connection(...this.#pair()).connected();
    const until = performance.now() + random(10_000, 120_000);
    while (performance.now() < until && !this.#signal.aborted) {
      await this.#pace.turn();
      await connection.request();
      this.done.request++;
    }
    await connection.close();
  }

  async #once(route: readonly [Pod, string, number], kind: Kind = 'connection'): Promise<void> {
    const connection = await new Connection(...route).connected();
    await connection.request();
    await connection.close();
    this.done[kind]++;
  }

  async #upload(kind: Kind, blocks: number): Promise<void> {
    const connection = new Connection(oneOf(this.#mesh.clients), oneOf(this.#mesh.servers).ip, Port.sink).asText();
    await connection.connected();
    sendBlocks(connection.peer, blocks);
    await connection.close();
    const { text } = connection.peer;
    const expected = `${blocks * BLOCK.length} true`;
    if (text !== expected) throw new Failure(`${connection.route}: the server says "${text}" where "${expected}" was sent`);
    this.done[kind]++;
  }

  async #download(blocks: number): Promise<void> {
    const connection = await new Connection(oneOf(this.#mesh.clients), oneOf(this.#mesh.servers).ip, Port.source).connected();
    connection.peer.send(`${blocks}\n`);
    await connection.received(blocks * BLOCK.length, 'whole download');
    await connection.close();
    this.done['bulk down']++;
  }

  /** A few bytes now and then, for up to a minute. */
  async #trickle(port: number, kind: Kind): Promise<void> {
    const connection = await new Connection(oneOf(this.#mesh.clients), oneOf(this.#mesh.servers).ip, port).connected();
    const rounds = random(5, 120);
    for (let i = 0; i < rounds && !this.#signal.aborted; i++) {
      await connection.request();
      await Bun.sleep(random(100, 900));
    }
    await connection.close();
    this.done[kind]++;
  }

  /** Reads a little of a download at a time. */
  async #slowReader(): Promise<void> {
    const blocks = 12 * 1024;
    const connection = await new Connection(oneOf(this.#mesh.clients), oneOf(this.#mesh.servers).ip, Port.source).connected();
    connection.peer.send(`${blocks}\n`);
    while (connection.peer.received < blocks * BLOCK.length && !connection.peer.isEnded && !this.#signal.aborted) {
      connection.peer.socket!.pause();
      await Bun.sleep(random(50, 400));
      connection.peer.socket!.resume();
      await Bun.sleep(1);
    }
    if (!this.#signal.aborted) await connection.received(blocks * BLOCK.length, 'whole download');
    if (this.#signal.aborted) connection.peer.socket!.resume();
    await connection.close();
    this.done['slow reader']++;
  }

  async #dns(kind: 'DNS over UDP' | 'DNS over TCP'): Promise<void> {
    const client = oneOf(this.#mesh.clients);
    const [name, expected] =
      Math.random() < 0.5 ? (['web.default.svc.cluster.local', VIP] as const) : ([OUTSIDE_NAME, OUTSIDE_ADDRESS] as const);
    const query = ask(name);
    const message = kind === 'DNS over UDP' ? await askUdp(client, DNS_IP, query, 8_000) : (await askTcp(client, DNS_IP, [query]))[0];
    const answer = message === undefined ? undefined : packet.decode(message).answers?.[0];
    const found = answer !== undefined && 'data' in answer ? String(answer.data) : `no address (${message?.length ?? 0} bytes)`;
    if (found !== expected) throw new Failure(`${client.name} asks ${kind} for ${name}: ${found}, not ${expected}`);
    this.done[kind]++;
  }

  /** The policy's word: no byte comes back, and the connection ends. */
  async #denied(): Promise<void> {
    const connection = await new Connection(oneOf(this.#mesh.clients), oneOf(this.#mesh.servers).ip, Port.denied).connected();
    connection.peer.send(BLOCK);
    await connection.peer.closed.promise;
    if (connection.peer.received > 0) throw new Failure(`${connection.route}: answered although a policy denies it`);
    this.done.denied++;
  }
}
