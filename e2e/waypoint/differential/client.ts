/** A client that sends any octets and keeps what comes back. */
import { Dial, type DialEvents, type TcpSocket } from '../../../src/platform/net/index.ts';
import { type Message, readMessage } from './message.ts';

export class RawClient implements DialEvents {
  #socket: TcpSocket | undefined;
  #received: Buffer[] = [];
  #unsent: Buffer[] = [];
  #isEnding = false;
  #waiting: (() => void)[] = [];
  isClosed = false;

  /** To be called where the address is. */
  constructor(port: number) {
    new Dial({ address: '127.0.0.1', port, timeout: 5000 }, this);
  }

  get received(): Buffer {
    if (this.#received.length !== 1) this.#received = [Buffer.concat(this.#received)];
    return this.#received[0]!;
  }

  send(bytes: Buffer): void {
    this.#unsent.push(bytes);
    this.#flush();
  }

  /** Says that nothing more will be sent. */
  end(): void {
    this.#isEnding = true;
    this.#flush();
  }

  close(): void {
    this.#socket?.terminate();
    this.#closed();
  }

  /** The responses that have come, given the methods that were asked; the last may be `malformed`. */
  responses(methods: readonly string[]): { readonly messages: readonly Message[]; readonly malformed?: string; readonly rest: string } {
    const bytes = this.received.toString('latin1');
    const messages: Message[] = [];
    let at = 0;
    let finals = 0;
    while (at < bytes.length) {
      const reading = readMessage(bytes, at, methods[finals] ?? 'GET', this.isClosed);
      if (reading === 'more') break;
      if ('malformed' in reading) return { messages, malformed: reading.malformed, rest: '' };
      messages.push(reading);
      at = reading.end;
      const status = Number(reading.startLine.slice(9, 12));
      if (status === 101) break;
      if (status >= 200) finals++;
    }
    return { messages, rest: bytes.slice(at) };
  }

  /** Resolves when `test` holds, or the connection is closed. */
  async until(test: () => boolean): Promise<void> {
    while (!this.isClosed && !test()) await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  onConnected(socket: TcpSocket): void {
    this.#socket = socket;
    this.#flush();
  }

  onDialFailed(): void {
    this.#closed();
  }

  onData(chunk: Buffer): void {
    this.#received.push(Buffer.from(chunk));
    this.#wake();
  }

  onEnd(): void {
    this.#closed();
    this.#socket?.end();
  }

  onDrain(): void {
    this.#flush();
  }

  onClose(): void {
    this.#closed();
  }

  #flush(): void {
    const socket = this.#socket;
    if (socket === undefined || this.isClosed) return;
    while (this.#unsent.length > 0) {
      const bytes = this.#unsent[0]!;
      const written = socket.write(bytes);
      if (written < bytes.length) {
        if (written > 0) this.#unsent[0] = bytes.subarray(written);
        return;
      }
      this.#unsent.shift();
    }
    if (this.#isEnding) socket.shutdown();
  }

  #closed(): void {
    this.isClosed = true;
    this.#wake();
  }

  #wake(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resolve of waiting) resolve();
  }
}
