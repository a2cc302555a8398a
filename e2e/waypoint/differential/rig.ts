/** Both proxies in one network namespace, with backends of their own, and conversations held with both at once. */
import { keyOf, type LabService, WaypointLab } from '../lab.ts';
import { Backends, PROBE_LINE, type Scripts } from './backend.ts';
import type { Case } from './case.ts';
import { RawClient } from './client.ts';
import type { Http2Case } from './corpus/http2.ts';
import { EnvoyProcess } from './envoy.ts';
import { envoyConfig } from './envoy-config.ts';
import { headers, PREFACE, readFrames } from './http2-frames.ts';
import { arrivalLines, conversationLines, streamLines } from './outcome.ts';
import { BACKEND_PORT, BACKENDS, type BackendName, PLAN, SERVICE_PORT } from './scenario.ts';

const ENVOY_PORT = 19_080;
/** Sent behind a case, to see whether the connection can be used on. */
export const PROBE = `${PROBE_LINE}\r\nHost: probe.test\r\n\r\n`;

/** How long an answer is waited for, milliseconds: at all; when the other proxy has answered; when none is expected. */
const PATIENCE = 8000;
const PATIENCE_BEHIND = 2000;
const PATIENCE_FOR_NONE = 300;
/** A server may ignore a stream it has closed: there is not always an answer. */
const PATIENCE_FOR_H2 = 3000;

const names = Object.keys(BACKENDS) as BackendName[];

export interface Side {
  readonly name: 'ours' | 'envoy';
  readonly port: number;
  readonly backends: Backends;
}

export class Rig {
  readonly lab = new WaypointLab();
  #envoy!: EnvoyProcess;
  #sides!: readonly [ours: Side, envoy: Side];

  async start(envoy: string, scripts: Scripts): Promise<void> {
    const { lab } = this;
    const address = (network: number, name: BackendName): string => `127.0.${network}.${BACKENDS[name]}`;
    const side = (network: number): Backends => {
      const backends = new Backends(scripts);
      lab.inside(() => {
        for (const name of names) if (name !== 'gone') backends.listen(name, address(network, name), BACKEND_PORT);
      });
      return backends;
    };
    const [ourBackends, envoyBackends] = [side(0), side(1)];
    const services: LabService[] = names.map((name) => ({
      name,
      ports: [{ port: SERVICE_PORT, targetPort: BACKEND_PORT, protocol: 'HTTP11' }],
      endpoints: [address(0, name)],
    }));
    await lab.start(services, [PLAN]);
    const clusters = new Map(names.map((name) => [keyOf(name), { name, address: address(1, name), port: BACKEND_PORT }]));
    const config = envoyConfig({ address: '127.0.0.1', port: ENVOY_PORT, table: PLAN.ports[0]!.http!, clusters });
    this.#envoy = new EnvoyProcess(envoy, lab, config);
    this.#sides = [
      { name: 'ours', port: lab.open('app', SERVICE_PORT), backends: ourBackends },
      { name: 'envoy', port: ENVOY_PORT, backends: envoyBackends },
    ];
    await this.#envoy.ready(async () => {
      const client = lab.inside(() => new RawClient(ENVOY_PORT));
      client.send(Buffer.from(PROBE));
      await Promise.race([client.until(() => client.received.length > 0), Bun.sleep(500)]);
      client.close();
      return client.received.length > 0;
    });
  }

  async stop(): Promise<void> {
    for (const { backends } of this.#sides ?? []) backends.stop();
    await this.#envoy?.stop();
    await this.lab.stop();
  }

  get sides(): readonly [ours: Side, envoy: Side] {
    return this.#sides;
  }

  connect(side: Side): RawClient {
    return this.lab.inside(() => new RawClient(side.port));
  }

  /** The outcomes of a case at ours and at Envoy. */
  async run(one: Case): Promise<readonly [ours: string[], envoy: string[]]> {
    if (this.#envoy.hasEnded) throw new Error(`Envoy has ended:\n${this.#envoy.log}`);
    for (const { backends } of this.#sides) backends.reset();
    const clients = this.#sides.map((side) => this.connect(side));
    for (const part of one.send) {
      if (typeof part === 'number') await Bun.sleep(part);
      else for (const client of clients) client.send(Buffer.from(part, 'latin1'));
    }
    if (one.ends) for (const client of clients) client.end();
    const finals = (client: RawClient): number => finalCount(client, one.methods);
    const patience = one.responses === 0 ? PATIENCE_FOR_NONE : PATIENCE;
    await together(clients, (client) => finals(client) >= Math.max(1, one.responses), patience);
    const before = clients.map(finals);
    const closed = clients.map((client) => client.isClosed);
    if (one.probes) {
      for (const client of clients) if (!client.isClosed) client.send(Buffer.from(PROBE));
      await together(clients, (client) => isProbed(client, one.methods), before.includes(0) ? PATIENCE_FOR_NONE : one.patience);
    }
    for (const client of clients) if (!one.probes && !client.isClosed) client.close();
    const outcomes = await Promise.all(
      this.#sides.map(async ({ backends }, at) => {
        const client = clients[at]!;
        const { messages, malformed, rest } = client.responses(one.methods);
        const probed = one.probes && isProbed(client, one.methods);
        const connection = !one.probes
          ? []
          : probed
            ? ['connection goes on']
            : client.isClosed || closed[at]
              ? ['connection is closed']
              : ['connection hangs'];
        client.close();
        await settled(backends, one.arrivals);
        const arrivals = probed ? withoutProbe(backends.arrivals) : backends.arrivals;
        return [...conversationLines(probed ? messages.slice(0, -1) : messages, malformed, rest), ...connection, ...arrivalLines(arrivals)];
      }),
    );
    return [outcomes[0]!, outcomes[1]!];
  }

  /** The same for a case of HTTP/2. A stream that is waited for is one whose frames were sent. */
  async runHttp2(one: Http2Case): Promise<readonly [ours: string[], envoy: string[]]> {
    if (this.#envoy.hasEnded) throw new Error(`Envoy has ended:\n${this.#envoy.log}`);
    for (const { backends } of this.#sides) backends.reset();
    const clients = this.#sides.map((side) => this.connect(side));
    for (const client of clients) client.send(Buffer.from(PREFACE + one.send, 'latin1'));
    const isOver = (client: RawClient, id?: number): boolean => {
      const { streams, hasGoneAway } = readFrames(client.received);
      const views = id === undefined ? [...streams.values()] : [streams.get(id)];
      return hasGoneAway || (views.length > 0 && views.every((view) => view !== undefined && (view.isEnded || view.isReset)));
    };
    await together(clients, (client) => isOver(client), PATIENCE_FOR_H2);
    for (const client of clients) if (!client.isClosed) client.send(Buffer.from(PROBE_FRAMES, 'latin1'));
    await together(clients, (client) => isOver(client, PROBE_STREAM), PATIENCE_FOR_H2);
    const outcomes = await Promise.all(
      this.#sides.map(async ({ backends }, at) => {
        const client = clients[at]!;
        const { streams, hasGoneAway } = readFrames(client.received);
        const probe = streams.get(PROBE_STREAM);
        const isProbed = probe !== undefined && !probe.isReset && probe.isEnded;
        client.close();
        await settled(backends, 0);
        const arrivals = isProbed ? withoutProbe(backends.arrivals) : backends.arrivals;
        return [
          ...streamLines(
            [...streams].filter(([id]) => id !== PROBE_STREAM),
            hasGoneAway || client.isClosed,
            isProbed,
          ),
          ...arrivalLines(arrivals),
        ];
      }),
    );
    return [outcomes[0]!, outcomes[1]!];
  }
}

const PROBE_STREAM = 101;
const PROBE_FRAMES = headers(
  PROBE_STREAM,
  [
    [':method', 'GET'],
    [':scheme', 'http'],
    [':authority', 'probe.test'],
    [':path', '/probe'],
  ],
  true,
);

const isFinal = (startLine: string): boolean => startLine[9] !== '1' || startLine.startsWith('101', 9);

function isProbed(client: RawClient, methods: readonly string[]): boolean {
  return (
    client
      .responses(methods)
      .messages.at(-1)
      ?.headers.some(([name]) => name === 'x-probe') ?? false
  );
}

function finalCount(client: RawClient, methods: readonly string[]): number {
  const { messages, malformed } = client.responses(methods);
  return messages.filter(({ startLine }) => isFinal(startLine)).length + (malformed === undefined ? 0 : 1);
}

/** Waits until `test` holds for all clients or their connections are closed; only a while longer for the second than for the first. */
async function together(clients: readonly RawClient[], test: (client: RawClient) => boolean, patience: number): Promise<void> {
  const done = clients.map((client) => client.until(() => test(client)));
  const first = await Promise.race([...done.map((one) => one.then(() => true)), Bun.sleep(patience).then(() => false)]);
  if (first) await Promise.race([Promise.all(done), Bun.sleep(PATIENCE_BEHIND)]);
}

/** Waits until the backends have what comes to them: requests that are under way end with their connections. */
async function settled(backends: Backends, arrivals: number): Promise<void> {
  const deadline = performance.now() + PATIENCE_BEHIND;
  while (performance.now() < deadline && (!backends.isQuiet || backends.arrivals.length < arrivals)) await Bun.sleep(5);
}

function withoutProbe(arrivals: Backends['arrivals']): Backends['arrivals'] {
  const at = arrivals.findLastIndex((arrival) => 'message' in arrival && arrival.message.startLine === PROBE_LINE);
  return at < 0 ? arrivals : arrivals.toSpliced(at, 1);
}
