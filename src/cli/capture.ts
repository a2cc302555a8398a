import { parseArgs } from 'node:util';
import { PacketSocket, Tally } from '../platform/capture/index.ts';
import { EXIT } from './exit.ts';

const READ_MS = 5;
const REPORT_MS = 100;

const USAGE = `lateen capture --interface NAME [--network PREFIX] [--plaintext-port N] [--ignore-port N] [--needle TEXT]… [--until-eof]

Counts the TCP traffic on an interface and writes the totals as one line of JSON ten times a second, until SIGTERM.
  --network PREFIX     only addresses that begin so are counted (default: all)
  --plaintext-port N   connections opened to this port are counted
  --ignore-port N      connections to this port are left out
  --needle TEXT        text to look for in every packet; may be repeated
  --until-eof          end when standard input ends, too
Needs the right to open packet sockets (root, or CAP_NET_RAW) in this network namespace.
`;

/** `lateen capture`: returns when asked to end. */
export const runCapture = async (args: readonly string[]): Promise<number> => {
  let socket: PacketSocket;
  let tally: Tally;
  let untilEof = false;
  try {
    const { values } = parseArgs({
      args: [...args],
      options: {
        interface: { type: 'string' },
        network: { type: 'string', default: '' },
        'plaintext-port': { type: 'string', default: '0' },
        'ignore-port': { type: 'string', default: '0' },
        needle: { type: 'string', multiple: true, default: [] },
        'until-eof': { type: 'boolean', default: false },
        help: { type: 'boolean', short: 'h', default: false },
      },
    });
    if (values.help || values.interface === undefined) {
      (values.help ? process.stdout : process.stderr).write(USAGE);
      return values.help ? EXIT.ok : EXIT.usage;
    }
    untilEof = values['until-eof'];
    tally = new Tally({
      network: values.network,
      plaintextPort: Number(values['plaintext-port']),
      ignorePort: Number(values['ignore-port']),
      needles: values.needle,
    });
    socket = new PacketSocket(values.interface);
  } catch (error) {
    process.stderr.write(`error: ${error instanceof Error ? error.message : String(error)}\n`);
    return EXIT.failure;
  }
  const read = () => {
    for (let frame = socket.take(); frame !== undefined; frame = socket.take()) tally.add(frame);
  };
  const report = () => {
    read();
    process.stdout.write(`${JSON.stringify({ at: Date.now(), ...tally.totals })}\n`);
  };
  const timers = [setInterval(read, READ_MS), setInterval(report, REPORT_MS)];
  report();
  await new Promise<void>((resolve) => {
    process.once('SIGTERM', resolve);
    process.once('SIGINT', resolve);
    if (untilEof) {
      process.stdin.once('end', resolve);
      process.stdin.resume();
    }
    // The reader is gone: nobody wants the totals any more.
    process.stdout.once('error', () => resolve());
  });
  for (const timer of timers) clearInterval(timer);
  report();
  socket.close();
  return EXIT.ok;
};
