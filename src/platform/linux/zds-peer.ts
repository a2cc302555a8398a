/** The announcing side of one ZDS connection over its socket: the machine of `protocol/zds` with its timer, its sends in order and its waiting callers. */
import { type ZdsInput, ZdsMachine, type ZdsOutput, type ZdsRequest } from '../../protocol/index.ts';
import type { SeqpacketConnection } from './seqpacket.ts';
import { closeDescriptor } from './sockets.ts';

/** `undefined` is success, text the reason of the refusal. */
export type ZdsAnswer = string | undefined;

export interface ZdsPeerEvents {
  /** The peer said a valid hello: requests may be made. */
  onHello(): void;
  /** Once, at the end of the connection; requests that waited are answered with the same reason. */
  onClosed(reason: string): void;
}

export class ZdsPeer {
  readonly #connection: SeqpacketConnection;
  readonly #events: ZdsPeerEvents;
  readonly #machine = new ZdsMachine(performance.now());
  readonly #waiting = new Map<number, (answer: ZdsAnswer) => void>();
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** Sends in order: a `send` may have to wait for room. */
  #sending: Promise<void> = Promise.resolve();
  #nextId = 1;

  /** Takes over `connection`. */
  constructor(connection: SeqpacketConnection, events: ZdsPeerEvents) {
    this.#connection = connection;
    this.#events = events;
  }

  get isOpen(): boolean {
    return this.#machine.isOpen;
  }

  /** Serves the connection until its end. */
  async run(): Promise<void> {
    this.#schedule();
    let reason: string | undefined;
    try {
      for (;;) {
        const message = await this.#connection.receive();
        if (!message) break;
        // Descriptors that came in although they may not are closed with the number that says so.
        for (const fd of message.fds) closeDescriptor(fd);
        this.#handle({ kind: 'received', bytes: message.bytes, descriptors: message.fds.length });
      }
    } catch (error) {
      reason = (error as Error).message;
    }
    this.end(reason);
  }

  /** The answer comes when the peer has acknowledged, which it does one request after the other. A namespace descriptor must stay open until then. */
  request(request: ZdsRequest): Promise<ZdsAnswer> {
    const id = this.#nextId++;
    const { promise, resolve } = Promise.withResolvers<ZdsAnswer>();
    this.#waiting.set(id, resolve);
    this.#handle({ kind: 'request', id, request });
    return promise;
  }

  end(reason?: string): void {
    this.#handle(reason === undefined ? { kind: 'ended' } : { kind: 'ended', reason });
  }

  #handle(input: ZdsInput): void {
    this.#perform(this.#machine.handle(input, performance.now()));
  }

  #perform(outputs: readonly ZdsOutput[]): void {
    for (const output of outputs) {
      if (output.kind === 'hello') this.#events.onHello();
      else if (output.kind === 'send') this.#send(output);
      else if (output.kind === 'close') {
        this.#connection.close();
        this.#events.onClosed(output.reason);
      } else {
        this.#waiting.get(output.id)?.(output.error);
        this.#waiting.delete(output.id);
      }
    }
    this.#schedule();
  }

  #send({ bytes, netns }: { readonly bytes: Uint8Array; readonly netns?: number }): void {
    this.#sending = this.#sending
      .then(() => this.#connection.send(bytes, netns))
      .catch((error: Error) => this.end(`cannot be sent to: ${error.message}`));
  }

  #schedule(): void {
    clearTimeout(this.#timer);
    const deadline = this.#machine.nextDeadline();
    if (deadline === undefined) return;
    const wait = Math.max(0, deadline - performance.now());
    this.#timer = setTimeout(() => this.#perform(this.#machine.tick(performance.now())), wait + 1);
  }
}
