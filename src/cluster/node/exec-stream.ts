/** `kubectl exec` over a WebSocket: the first byte of each frame is the channel. */
import type { ServerWebSocket } from 'bun';
import { messageOf } from '../error.ts';
import { type ProcessRef, processRef, signalProcess } from '../processes.ts';
import type { ChannelStream } from './channel-stream.ts';
import { enterContainer, environmentOf } from './exec-command.ts';

const STDIN = 0;
const STDOUT = 1;
const STDERR = 2;
const ERROR = 3;
const RESIZE = 4;
/** v5 only: the other side has ended a channel, named by the next byte. */
const CLOSE = 255;
/** Output waiting in the socket beyond this stops reading from the program. */
const MAX_BUFFERED = 1024 * 1024;

const TERMINAL_DRAIN_MS = 300;

type Socket = ServerWebSocket<ChannelStream>;

export class ExecStream implements ChannelStream {
  readonly #main: ProcessRef;
  readonly #command: readonly string[];
  readonly #tty: boolean;
  readonly #canClose: boolean;
  #child: Bun.Subprocess<'pipe' | 'ignore', 'pipe' | 'inherit', 'pipe' | 'inherit'> | undefined;
  #terminal: Bun.Terminal | undefined;
  #ref: ProcessRef | undefined;
  #drained = Promise.withResolvers<void>();
  readonly #terminalEnded = Promise.withResolvers<void>();

  constructor(main: ProcessRef, command: readonly string[], tty: boolean, canClose: boolean) {
    this.#main = main;
    this.#command = command;
    this.#tty = tty;
    this.#canClose = canClose;
  }

  open(socket: Socket): void {
    void this.#run(socket).catch((error: unknown) => {
      send(socket, ERROR, Buffer.from(JSON.stringify(failure('InternalError', messageOf(error)))));
      socket.close(1000);
    });
  }

  message(_socket: Socket, frame: Buffer): void {
    const channel = frame[0];
    const body = frame.subarray(1);
    if (channel === STDIN) {
      if (this.#terminal !== undefined) this.#terminal.write(body);
      else if (typeof this.#child?.stdin === 'object') {
        this.#child.stdin.write(body);
        void this.#child.stdin.flush();
      }
    } else if (channel === CLOSE && this.#canClose && body[0] === STDIN) {
      if (typeof this.#child?.stdin === 'object') void this.#child.stdin.end();
    } else if (channel === RESIZE && this.#terminal !== undefined) {
      const size = JSON.parse(body.toString('utf8')) as { Width?: number; Height?: number };
      if (size.Width && size.Height) this.#terminal.resize(size.Width, size.Height);
    }
  }

  drain(): void {
    this.#drained.resolve();
  }

  close(): void {
    if (this.#ref !== undefined) signalProcess(this.#ref, 'SIGKILL');
    this.#terminal?.close();
    this.#drained.resolve();
  }

  async #run(socket: Socket): Promise<void> {
    const command = enterContainer(this.#main, this.#command);
    const env = { ...environmentOf(this.#main), ...(this.#tty && { TERM: 'xterm' }) };
    if (this.#tty) {
      this.#terminal = new Bun.Terminal({
        cols: 80,
        rows: 24,
        data: (_, chunk) => send(socket, STDOUT, chunk),
        exit: () => this.#terminalEnded.resolve(),
      });
      this.#child = Bun.spawn(command, { env, terminal: this.#terminal }) as never; // its three streams are the terminal
    } else this.#child = Bun.spawn(command, { env, stdin: 'pipe', stdout: 'pipe', stderr: 'pipe' });
    const child = this.#child!;
    this.#ref = processRef(child.pid);
    const outputs: Promise<void>[] = [];
    if (!this.#tty) {
      outputs.push(
        this.#copy(child.stdout as unknown as ReadableStream<Uint8Array>, socket, STDOUT),
        this.#copy(child.stderr as unknown as ReadableStream<Uint8Array>, socket, STDERR),
      );
    }
    const code = await child.exited;
    await Promise.all(outputs);
    // What the program wrote last is still on its way through the terminal.
    if (this.#tty) await Promise.race([this.#terminalEnded.promise, Bun.sleep(TERMINAL_DRAIN_MS)]);
    const status =
      code === 0
        ? { metadata: {}, status: 'Success' }
        : {
            ...failure('NonZeroExitCode', `command terminated with non-zero exit code: exit status ${code}`),
            details: { causes: [{ reason: 'ExitCode', message: String(code) }] },
          };
    send(socket, ERROR, Buffer.from(JSON.stringify(status)));
    socket.close(1000);
  }

  async #copy(from: ReadableStream<Uint8Array>, socket: Socket, channel: number): Promise<void> {
    for await (const chunk of from) {
      send(socket, channel, chunk);
      while (socket.readyState === WebSocket.OPEN && socket.getBufferedAmount() > MAX_BUFFERED) {
        this.#drained = Promise.withResolvers<void>();
        await this.#drained.promise;
      }
    }
  }
}

const failure = (reason: string, message: string) => ({ metadata: {}, status: 'Failure', reason, message });

function send(socket: Socket, channel: number, body: Uint8Array): void {
  const frame = Buffer.allocUnsafe(body.length + 1);
  frame[0] = channel;
  frame.set(body, 1);
  socket.send(frame);
}
