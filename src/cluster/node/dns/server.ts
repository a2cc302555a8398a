/** The cluster's DNS on UDP and TCP, in every node's own namespace. */

import fs from 'node:fs';
import * as packet from 'dns-packet';
import type { EndpointSlice, Informer, Service } from '../../../platform/kubernetes/index.ts';
import type { Logger } from '../../../platform/telemetry/index.ts';
import { NETWORK } from '../../config.ts';
import { messageOf } from '../../error.ts';
import { answer, type DnsData, type DnsRecord } from './records.ts';

const PORT = 53;
const TTL_S = 5;
/** Without EDNS an answer over UDP may have 512 bytes. */
const PLAIN_UDP_LIMIT = 512;
const MAX_UDP = 4096;
const MAX_TCP_PENDING = 64 * 1024;
/** A client that says nothing for this long is gone. */
const TCP_IDLE_S = 10;
const MAX_TCP_CLIENTS = 256;
const UPSTREAM_LIMIT_MS = 2_000;
/** Questions that wait for the first lists; who asks more asks again. */
const MAX_EARLY = 1024;
const SERVICE_LABEL = 'kubernetes.io/service-name';

interface TcpClient {
  buffer: Buffer;
  /** Its questions are being answered. */
  isBusy: boolean;
}

export class DnsServer {
  readonly #data: DnsData;
  readonly #log: Logger;
  readonly #upstreams: readonly string[];
  /** Undefined once both lists are complete: until then a name that is not there may only not have been heard of. */
  #synced: Promise<unknown> | undefined;
  #early = 0;
  #udp: Bun.udp.Socket<'buffer'> | undefined;
  #tcp: Bun.TCPSocketListener<TcpClient> | undefined;
  #tcpClients = 0;

  constructor(services: Informer<Service>, slices: Informer<EndpointSlice>, log: Logger) {
    this.#log = log;
    this.#data = informerData(services, slices);
    this.#synced = Promise.all([services.synced, slices.synced]).then(() => {
      this.#synced = undefined;
    });
    this.#synced.catch(() => {}); // stopped before: whoever waits is told
    this.#upstreams = hasDefaultRoute() ? hostResolvers(fs.readFileSync('/etc/resolv.conf', 'utf8')) : [];
  }

  async listen(hostname: string, port = PORT): Promise<void> {
    this.#udp = await Bun.udpSocket({
      hostname,
      port,
      socket: {
        data: (socket, query, from, address) => {
          void this.#respond(query, true).then((reply) => {
            if (reply !== undefined) socket.send(reply, from, address);
          });
        },
      },
    });
    this.#tcp = Bun.listen<TcpClient>({
      hostname,
      port,
      socket: {
        open: (socket) => {
          socket.data = { buffer: Buffer.alloc(0), isBusy: false };
          if (++this.#tcpClients > MAX_TCP_CLIENTS) socket.terminate();
          else socket.timeout(TCP_IDLE_S);
        },
        data: (socket, chunk) => {
          socket.timeout(TCP_IDLE_S);
          socket.data.buffer = Buffer.concat([socket.data.buffer, chunk]);
          if (socket.data.buffer.length > MAX_TCP_PENDING) socket.terminate();
          else if (!socket.data.isBusy) void this.#answerTcp(socket);
        },
        timeout: (socket) => socket.terminate(),
        close: () => {
          this.#tcpClients--;
        },
      },
    });
  }

  get port(): number | undefined {
    return this.#udp?.port;
  }

  close(): void {
    this.#udp?.close();
    this.#tcp?.stop(true);
  }

  /** One question after the other: answers come in the order of the questions. */
  async #answerTcp(socket: Bun.Socket<TcpClient>): Promise<void> {
    const client = socket.data;
    client.isBusy = true;
    while (client.buffer.length >= 2 && client.buffer.length >= 2 + client.buffer.readUInt16BE(0)) {
      const length = client.buffer.readUInt16BE(0);
      const query = client.buffer.subarray(2, 2 + length);
      client.buffer = client.buffer.subarray(2 + length);
      const reply = await this.#respond(query, false);
      if (reply === undefined) {
        socket.end();
        return;
      }
      const head = Buffer.alloc(2);
      head.writeUInt16BE(reply.length);
      socket.write(Buffer.concat([head, reply]));
    }
    client.isBusy = false;
  }

  /** Undefined for what is not a question: nothing is sent back. */
  async #respond(bytes: Buffer, udp: boolean): Promise<Buffer | undefined> {
    let query: packet.DecodedPacket;
    try {
      query = packet.decode(bytes);
    } catch {
      return undefined; // not DNS
    }
    const question = query.questions?.[0];
    if (query.type !== 'query' || question === undefined) return undefined;
    try {
      if (this.#synced !== undefined) {
        if (this.#early >= MAX_EARLY) return undefined;
        this.#early++;
        await this.#synced;
      }
      const found = answer({ name: question.name, type: question.type }, NETWORK.domain, this.#data);
      if (found === undefined) return await this.#forward(bytes, query, udp);
      const records: DnsRecord[] = shuffle([...found.records]);
      // A resolver follows a CNAME itself only if the answer leads somewhere; names inside the cluster are followed here.
      const alias = records.find((record) => record.type === 'CNAME');
      if (alias !== undefined && question.type !== 'CNAME') {
        const target = answer({ name: alias.data as string, type: question.type }, NETWORK.domain, this.#data);
        for (const record of target?.records ?? []) records.push({ ...record, name: alias.data as string });
      }
      return encode(query, found.exists ? 0 : 3, records, udp);
    } catch (error) {
      this.#log.warn('a DNS question could not be answered', { name: question.name, error: messageOf(error) });
      return encode(query, 2, [], udp);
    }
  }

  async #forward(bytes: Buffer, query: packet.DecodedPacket, udp: boolean): Promise<Buffer> {
    for (const upstream of this.#upstreams) {
      const reply = await askUpstream(upstream, bytes);
      if (reply !== undefined) return reply;
    }
    return encode(query, 3, [], udp);
  }
}

const FLAG_AA = 1 << 10;
function encode(query: packet.DecodedPacket, rcode: number, records: readonly DnsRecord[], udp: boolean): Buffer {
  const reply = {
    type: 'response' as const,
    id: query.id ?? 0,
    flags: ((query.flags ?? 0) & packet.RECURSION_DESIRED) | packet.RECURSION_AVAILABLE | FLAG_AA | rcode,
    questions: query.questions ?? [],
    answers: records.map((record) => ({ ...record, ttl: TTL_S, class: 'IN' as const })) as packet.Answer[],
  };
  const bytes = packet.encode(reply);
  const edns = query.additionals?.find((record) => record.type === 'OPT');
  const limit = Math.min(MAX_UDP, Math.max(PLAIN_UDP_LIMIT, edns?.type === 'OPT' ? edns.udpPayloadSize : PLAIN_UDP_LIMIT));
  if (!udp || bytes.length <= limit) return bytes;
  return packet.encode({ ...reply, flags: reply.flags | packet.TRUNCATED_RESPONSE, answers: [] });
}

async function askUpstream(hostname: string, query: Buffer): Promise<Buffer | undefined> {
  const { promise, resolve } = Promise.withResolvers<Buffer | undefined>();
  const socket = await Bun.udpSocket({
    connect: { hostname, port: PORT },
    socket: { data: (_, reply) => resolve(Buffer.from(reply)), error: () => resolve(undefined) },
  });
  const timer = setTimeout(() => resolve(undefined), UPSTREAM_LIMIT_MS);
  socket.send(query);
  const reply = await promise;
  clearTimeout(timer);
  socket.close();
  return reply;
}

/** The embedded cluster has no way out unless somebody gave its host side one. */
const hasDefaultRoute = (): boolean => process.env['LATEEN_DNS_UPSTREAM'] === '1';
const hostResolvers = (resolvConf: string): string[] =>
  [...resolvConf.matchAll(/^\s*nameserver\s+(\S+)/gm)]
    .map((match) => match[1]!)
    .filter((address) => !address.startsWith('127.') && address !== NETWORK.dnsService);

function shuffle<T>(list: T[]): T[] {
  for (let last = list.length - 1; last > 0; last--) {
    const other = Math.floor(Math.random() * (last + 1));
    [list[last], list[other]] = [list[other]!, list[last]!];
  }
  return list;
}

/** Indexes kept from the watches: a question costs a few look-ups, not a scan. */
function informerData(services: Informer<Service>, slices: Informer<EndpointSlice>): DnsData {
  const byService = new Map<string, Map<string, EndpointSlice>>();
  const byAddress = new Map<string, Service>();
  const keyOf = (slice: EndpointSlice): string => `${slice.metadata?.namespace}/${slice.metadata?.labels?.[SERVICE_LABEL] ?? ''}`;
  const drop = (slice: EndpointSlice): void => {
    const group = byService.get(keyOf(slice));
    group?.delete(slice.metadata?.name ?? '');
    if (group?.size === 0) byService.delete(keyOf(slice));
  };
  const put = (slice: EndpointSlice): void => {
    const key = keyOf(slice);
    const group = byService.get(key) ?? new Map<string, EndpointSlice>();
    group.set(slice.metadata?.name ?? '', slice);
    byService.set(key, group);
  };
  slices.addHandlers({
    onAdd: put,
    onUpdate: (slice, before) => {
      drop(before);
      put(slice);
    },
    onDelete: drop,
  });
  const forget = (service: Service): void => {
    for (const address of service.spec?.clusterIPs ?? [service.spec?.clusterIP ?? '']) byAddress.delete(address);
  };
  const note = (service: Service): void => {
    for (const address of service.spec?.clusterIPs ?? [service.spec?.clusterIP ?? '']) byAddress.set(address, service);
  };
  services.addHandlers({
    onAdd: note,
    onUpdate: (service, before) => {
      forget(before);
      note(service);
    },
    onDelete: forget,
  });
  return {
    service: (namespace, name) => services.get(namespace, name),
    slices: (namespace, service) => [...(byService.get(`${namespace}/${service}`)?.values() ?? [])],
    serviceByAddress: (address) => byAddress.get(address),
    namespaceExists: (namespace) => !services.inNamespace(namespace).next().done,
  };
}
