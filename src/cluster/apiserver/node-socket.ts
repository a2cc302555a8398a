import { createHash } from 'node:crypto';
import { LIMITS } from './limits.ts';

/** A WebSocket message or the end of the connection. */
export interface NodeSocketEvents {
  message(data: Uint8Array, isText: boolean): void;
  closed(code: number, reason: string): void;
}

const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';
const OPCODES = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const;
const HEAD_LIMIT = 16 * 1024;

interface Target {
  readonly hostname: string;
  readonly port: number;
  readonly path: string;
  readonly token: string;
  readonly protocols: readonly string[];
}

/** The node answered the upgrade with something else. */
export class UpgradeRefused extends Error {
  readonly status: number;
  constructor(status: number, message: string) {
    super(message);
    this.name = 'UpgradeRefused';
    this.status = status;
  }
}

/**
 * A WebSocket client (RFC 6455) on a raw socket, so that reading can pause: a slow kubectl must slow the process in the pod, not fill memory here.
 */
export class NodeSocket {
  protocol = '';
  #socket: Bun.Socket<undefined> | undefined;
  #events: NodeSocketEvents | undefined;
  #input: Buffer = Buffer.alloc(0);
  #output: Buffer[] = [];
  #outputBytes = 0;
  #isOpen = false;
  #isDone = false;
  #fragments: Buffer[] = [];
  #fragmentBytes = 0;
  #fragmentIsText = false;
  #isPaused = false;

  /** Connects and upgrades. Rejects with `UpgradeRefused`, or with the error of the connection. */
  static async connect(target: Target): Promise<NodeSocket> {
    const self = new NodeSocket();
    const key = Buffer.from(crypto.getRandomValues(new Uint8Array(16))).toString('base64');
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    await Bun.connect({
      hostname: target.hostname,
      port: target.port,
      socket: {
        open: (socket) => {
          self.#socket = socket;
          socket.write(
            `GET ${target.path} HTTP/1.1\r\nHost: ${target.hostname}:${target.port}\r\nAuthorization: Bearer ${target.token}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${key}\r\nSec-WebSocket-Protocol: ${target.protocols.join(', ')}\r\n\r\n`,
          );
        },
        data: (_socket, chunk) => {
          self.#input = Buffer.concat([self.#input, chunk]);
          if (!self.#isOpen) self.#handshake(key, resolve, reject);
          if (self.#isOpen) self.#parse();
        },
        drain: () => self.#flush(),
        close: () => {
          reject(new UpgradeRefused(502, 'the node closed the connection during the upgrade'));
          self.#finish(1006, 'the node closed the connection');
        },
        error: (_socket, error) => self.#finish(1006, error.message),
        connectError: (_socket, error) => reject(error),
      },
    });
    await promise;
    return self;
  }

  #handshake(key: string, resolve: () => void, reject: (error: Error) => void): void {
    const end = this.#input.indexOf('\r\n\r\n');
    if (end < 0) {
      if (this.#input.length > HEAD_LIMIT) this.#refuse(reject, 502, 'the head of the node’s answer is too long');
      return;
    }
    const [statusLine = '', ...lines] = this.#input.toString('latin1', 0, end).split('\r\n');
    const headers = new Map(
      lines.map((line) => [line.slice(0, line.indexOf(':')).trim().toLowerCase(), line.slice(line.indexOf(':') + 1).trim()]),
    );
    const status = Number(statusLine.split(' ')[1]);
    if (status !== 101) {
      const body = this.#input.toString('utf8', end + 4).trim();
      this.#refuse(reject, status, body === '' ? statusLine : body);
      return;
    }
    const expected = createHash('sha1')
      .update(key + GUID)
      .digest('base64');
    if (headers.get('sec-websocket-accept') !== expected) {
      this.#refuse(reject, 502, 'the node answered the upgrade with a wrong Sec-WebSocket-Accept');
      return;
    }
    this.protocol = headers.get('sec-websocket-protocol') ?? '';
    this.#input = this.#input.subarray(end + 4);
    this.#isOpen = true;
    // frames wait until somebody listens
    this.pause();
    resolve();
  }

  #refuse(reject: (error: Error) => void, status: number, message: string): void {
    reject(new UpgradeRefused(status, message));
    this.#isDone = true;
    this.#socket?.end();
  }

  /** Starts delivering messages. */
  listen(events: NodeSocketEvents): void {
    this.#events = events;
    this.resume();
    this.#parse();
  }

  pause(): void {
    if (this.#isPaused) return;
    this.#isPaused = true;
    this.#socket?.pause();
  }

  resume(): void {
    if (!this.#isPaused) return;
    this.#isPaused = false;
    this.#socket?.resume();
    this.#parse();
  }

  #parse(): void {
    while (!this.#isPaused && !this.#isDone && this.#events !== undefined) {
      const buffer = this.#input;
      if (buffer.length < 2) return;
      let length = buffer[1]! & 0x7f;
      let offset = 2;
      if (length === 126) {
        if (buffer.length < 4) return;
        length = buffer.readUInt16BE(2);
        offset = 4;
      } else if (length === 127) {
        if (buffer.length < 10) return;
        length = Number(buffer.readBigUInt64BE(2));
        offset = 10;
      }
      if (length > LIMITS.streamBufferBytes || this.#fragmentBytes + length > LIMITS.streamBufferBytes) {
        this.close(1009, `a message is larger than ${LIMITS.streamBufferBytes} bytes`);
        return;
      }
      if (buffer.length < offset + length) return;
      const payload = buffer.subarray(offset, offset + length);
      this.#input = buffer.subarray(offset + length);
      this.#frame(buffer[0]! & 0x0f, (buffer[0]! & 0x80) !== 0, payload);
    }
  }

  #frame(opcode: number, isFinal: boolean, payload: Buffer): void {
    switch (opcode) {
      case OPCODES.ping:
        this.#send(OPCODES.pong, payload);
        return;
      case OPCODES.pong:
        return;
      case OPCODES.close:
        this.#finish(payload.length >= 2 ? payload.readUInt16BE(0) : 1000, payload.toString('utf8', 2));
        return;
      case OPCODES.text:
      case OPCODES.binary:
        this.#fragmentIsText = opcode === OPCODES.text;
        break;
      default:
        break;
    }
    if (isFinal && this.#fragments.length === 0) {
      this.#events?.message(payload, this.#fragmentIsText);
      return;
    }
    this.#fragments.push(Buffer.from(payload));
    this.#fragmentBytes += payload.length;
    if (!isFinal) return;
    const whole = Buffer.concat(this.#fragments);
    this.#fragments = [];
    this.#fragmentBytes = 0;
    this.#events?.message(whole, this.#fragmentIsText);
  }

  /** False when the node does not keep up: the limit is reached and the connection is being closed. */
  send(data: Uint8Array, isText: boolean): boolean {
    return this.#send(isText ? OPCODES.text : OPCODES.binary, data);
  }

  #send(opcode: number, payload: Uint8Array): boolean {
    if (this.#isDone) return false;
    if (this.#outputBytes + payload.length > LIMITS.streamBufferBytes) {
      this.close(1009, 'the pod reads too slowly');
      return false;
    }
    const long = payload.length > 65535 ? 8 : payload.length > 125 ? 2 : 0;
    const frame = Buffer.alloc(2 + long + 4 + payload.length);
    frame[0] = 0x80 | opcode;
    frame[1] = 0x80 | (long === 8 ? 127 : long === 2 ? 126 : payload.length);
    if (long === 2) frame.writeUInt16BE(payload.length, 2);
    if (long === 8) frame.writeBigUInt64BE(BigInt(payload.length), 2);
    // a zero mask is a valid mask; masking protects shared proxies, and there is none on this private link
    frame.set(payload, 2 + long + 4);
    this.#output.push(frame);
    this.#outputBytes += frame.length;
    this.#flush();
    return true;
  }

  #flush(): void {
    while (this.#output.length > 0) {
      const frame = this.#output[0]!;
      const written = this.#socket?.write(frame) ?? 0;
      if (written < 0) return;
      this.#outputBytes -= written;
      if (written < frame.length) {
        this.#output[0] = frame.subarray(written);
        return;
      }
      this.#output.shift();
    }
  }

  close(code: number, reason: string): void {
    if (this.#isDone) return;
    const payload = Buffer.alloc(2 + Buffer.byteLength(reason));
    payload.writeUInt16BE(code, 0);
    payload.write(reason, 2);
    if (code !== 1009) this.#send(OPCODES.close, payload);
    this.#finish(code, reason);
  }

  #finish(code: number, reason: string): void {
    if (this.#isDone) return;
    this.#isDone = true;
    this.#socket?.end();
    this.#events?.closed(code, reason);
  }
}
