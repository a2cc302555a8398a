/**
 * The other end of a test, run inside a pod:
 *   serve PORT…                answers every line with the address it came from and the line
 *   once HOST PORT             one exchange; exit code 1 and the reason when there is no answer
 *   hold HOST PORT             keeps one connection busy and logs, as JSON lines, when it opens, closes or fails; opens it again
 */
import net from 'node:net';

const [role, ...words] = process.argv.slice(2);
const ANSWER_LIMIT_MS = 5_000;
const BEAT_MS = 100;

export interface HoldEvent {
  readonly at: number;
  readonly event: 'open' | 'closed' | 'failed';
  readonly answers?: number;
  readonly reason?: string;
}

const serve = (port: number): void => {
  net
    .createServer((socket) => {
      socket.on('data', (chunk) => socket.write(`${socket.remoteAddress?.replace('::ffff:', '')} ${chunk}`));
      socket.on('error', () => socket.destroy()); // the caller is gone: nobody to tell
    })
    .listen(port, '0.0.0.0');
};

const once = (host: string, port: number): void => {
  const socket = net.connect({ host, port });
  const fail = (reason: string): void => {
    console.log(reason);
    process.exit(1);
  };
  setTimeout(() => fail(`no answer within ${ANSWER_LIMIT_MS} ms`), ANSWER_LIMIT_MS);
  socket.on('connect', () => socket.write('hello\n'));
  socket.on('data', (chunk) => {
    console.log(String(chunk).split(' ')[0]);
    process.exit(0);
  });
  socket.on('error', (error) => fail(error.message));
  socket.on('close', () => fail('closed without an answer'));
};

const hold = (host: string, port: number): void => {
  const say = (event: Omit<HoldEvent, 'at'>): void => console.log(JSON.stringify({ at: Date.now(), ...event }));
  const dial = (): void => {
    const socket = net.connect({ host, port });
    let answers = 0;
    let reason = '';
    const beat = setInterval(() => socket.write('beat\n'), BEAT_MS);
    const limit = setTimeout(() => socket.destroy(new Error('no answer')), ANSWER_LIMIT_MS);
    socket.on('connect', () => socket.write('beat\n'));
    socket.on('data', () => {
      limit.refresh();
      if (answers++ === 0) say({ event: 'open' });
    });
    socket.on('error', (error) => {
      reason = error.message;
    });
    socket.on('end', () => {
      reason ||= 'end';
    });
    socket.on('close', () => {
      clearInterval(beat);
      clearTimeout(limit);
      say({ event: answers > 0 ? 'closed' : 'failed', answers, reason });
      setTimeout(dial, BEAT_MS);
    });
  };
  dial();
};

if (role === 'serve') for (const port of words) serve(Number(port));
else if (role === 'once') once(words[0]!, Number(words[1]));
else if (role === 'hold') hold(words[0]!, Number(words[1]));
else if (role !== undefined) throw new Error(`peer.ts: ${role} is not serve, once or hold`);
