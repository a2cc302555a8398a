/**
 * A DNS client, run inside a pod with the pod's own resolver configuration:
 *   lookup NAME TYPE    the answers, as JSON; exit code 1 and the code when there are none
 *   steady NAME TYPE    asks two hundred times a second, each time once over UDP, and logs what stays without an answer, as JSON lines
 */
import dgram from 'node:dgram';
import dns from 'node:dns';
import fs from 'node:fs';
import * as packet from 'dns-packet';

const [role, name = '', type = 'A'] = process.argv.slice(2);
const BEAT_MS = 5;
const ANSWER_LIMIT_MS = 2_000;

export interface SteadyEvent {
  readonly at: number;
  readonly event: 'first' | 'lost';
  readonly reason: string;
}

async function lookup(): Promise<void> {
  try {
    console.log(JSON.stringify(type === 'A' ? await dns.promises.resolve4(name, { ttl: true }) : await dns.promises.resolve(name, type)));
  } catch (error) {
    console.log((error as NodeJS.ErrnoException).code);
    process.exit(1);
  }
}

function steady(): void {
  const server = /^nameserver\s+(\S+)/m.exec(fs.readFileSync('/etc/resolv.conf', 'utf8'))?.[1] ?? '';
  let first = true;
  const say = (event: SteadyEvent['event'], reason: string): void => console.log(JSON.stringify({ at: Date.now(), event, reason }));
  const ask = (): void => {
    const socket = dgram.createSocket('udp4');
    const done = (reason?: string): void => {
      clearTimeout(limit);
      socket.close();
      if (reason !== undefined) say('lost', reason);
      else if (first) say('first', '');
      if (reason === undefined) first = false;
    };
    const limit = setTimeout(() => done('no answer'), ANSWER_LIMIT_MS);
    socket.once('error', (error) => done(error.message));
    socket.once('message', (message) => done(((packet.decode(message).flags ?? 0) & 15) === 0 ? undefined : 'refused'));
    socket.connect(53, server, () =>
      socket.send(
        packet.encode({ type: 'query', id: 1, flags: packet.RECURSION_DESIRED, questions: [{ name, type: type as packet.RecordType }] }),
      ),
    );
  };
  setInterval(ask, BEAT_MS);
}

if (role === 'lookup') await lookup();
else if (role === 'steady') steady();
else if (role !== undefined) throw new Error(`resolve.ts: ${role} is neither lookup nor steady`);
