// Its WebAssembly build of llhttp has no types.
// @ts-expect-error
import wasm from 'undici/lib/llhttp/llhttp-wasm.js';
import { latin1 } from '../../bytes.ts';
import type { HeaderList } from '../../http2/types.ts';
import type { Message, Outcome } from './message.ts';

/** The part of llhttp's exports used here. */
interface Exports {
  readonly memory: WebAssembly.Memory;
  _initialize(): void;
  llhttp_alloc(type: number): number;
  llhttp_free(parser: number): void;
  llhttp_execute(parser: number, data: number, length: number): number;
  llhttp_finish(parser: number): number;
  llhttp_get_error_pos(parser: number): number;
  llhttp_get_error_reason(parser: number): number;
  llhttp_get_http_major(parser: number): number;
  llhttp_get_http_minor(parser: number): number;
  llhttp_get_method(parser: number): number;
  llhttp_method_name(method: number): number;
  llhttp_resume_after_upgrade(parser: number): void;
  llhttp_should_keep_alive(parser: number): number;
  malloc(size: number): number;
}

const Type = { REQUEST: 1, RESPONSE: 2 } as const;
const Code = { OK: 0, CLOSED_CONNECTION: 5, PAUSED_UPGRADE: 22 } as const;
/** Octets of an input at most. */
const ROOM = 1 << 17;

type Mutable = { -readonly [K in keyof Message]: Message[K] extends HeaderList ? [string, string][] : Message[K] };

let run: { messages: Mutable[]; asked: readonly string[]; finals: number; isRequest: boolean; isTunnel: boolean } = {
  messages: [],
  asked: [],
  finals: 0,
  isRequest: true,
  isTunnel: false,
};

const exports = instance();
const room = exports.malloc(ROOM);

const text = (at: number, length: number): string => latin1(new Uint8Array(exports.memory.buffer), at, at + length);

function zeroTerminated(at: number): string {
  const memory = new Uint8Array(exports.memory.buffer);
  return at === 0 ? '' : latin1(memory, at, memory.indexOf(0, at));
}

function instance(): Exports {
  const current = (): Mutable => run.messages[run.messages.length - 1]!;
  let isName = false;
  const list = (): [string, string][] => (current().hasHead ? current().trailers : current().headers);
  const env = {
    wasm_on_message_begin: () => {
      run.messages.push({
        method: '',
        target: '',
        status: 0,
        reason: '',
        minorVersion: 1,
        isKeptAlive: false,
        headers: [],
        body: '',
        trailers: [],
        hasHead: false,
        isComplete: false,
      });
      isName = false;
      return 0;
    },
    wasm_on_url: (_: number, at: number, length: number) => {
      current().target += text(at, length);
      return 0;
    },
    wasm_on_status: (_: number, at: number, length: number) => {
      current().reason += text(at, length);
      return 0;
    },
    wasm_on_header_field: (_: number, at: number, length: number) => {
      if (!isName) list().push(['', '']);
      isName = true;
      list().at(-1)![0] += text(at, length);
      return 0;
    },
    wasm_on_header_value: (_: number, at: number, length: number) => {
      isName = false;
      list().at(-1)![1] += text(at, length);
      return 0;
    },
    wasm_on_headers_complete: (parser: number, status: number) => {
      const message = current();
      message.hasHead = true;
      message.status = status;
      message.minorVersion = exports.llhttp_get_http_minor(parser);
      if (run.isRequest) {
        message.method = zeroTerminated(exports.llhttp_method_name(exports.llhttp_get_method(parser)));
        return 0;
      }
      const asked = run.asked[run.finals];
      if (asked === 'CONNECT' && status >= 200 && status < 300) {
        run.isTunnel = true;
        return 2;
      }
      return asked === 'HEAD' ? 1 : 0;
    },
    wasm_on_body: (_: number, at: number, length: number) => {
      current().body += text(at, length);
      return 0;
    },
    wasm_on_message_complete: (parser: number) => {
      current().isComplete = true;
      // Only now it knows of an answer to HEAD that there is no body to wait for.
      current().isKeptAlive = exports.llhttp_should_keep_alive(parser) === 1;
      if (current().status >= 200) run.finals++;
      if (current().status === 101) run.isTunnel = true;
      return 0;
    },
  };
  const result = new WebAssembly.Instance(new WebAssembly.Module(wasm), { env }).exports as unknown as Exports;
  result._initialize();
  return result;
}

/** What llhttp, with no lenient flag, makes of an input that then ends. It stops behind a message after which the connection closes, and at a tunnel. */
export function readWithLlhttp(kind: 'request' | 'response', bytes: Uint8Array, asked: readonly string[]): Outcome {
  run = { messages: [], asked, finals: 0, isRequest: kind === 'request', isTunnel: false };
  const parser = exports.llhttp_alloc(run.isRequest ? Type.REQUEST : Type.RESPONSE);
  try {
    new Uint8Array(exports.memory.buffer).set(bytes, room);
    let at = room;
    let code = exports.llhttp_execute(parser, at, bytes.length);
    while (code === Code.PAUSED_UPGRADE && run.isRequest) {
      at = exports.llhttp_get_error_pos(parser);
      exports.llhttp_resume_after_upgrade(parser);
      code = exports.llhttp_execute(parser, at, room + bytes.length - at);
    }
    if (code === Code.CLOSED_CONNECTION) return { messages: run.messages.filter((message) => message.isComplete), problem: '' };
    if (code !== Code.OK && code !== Code.PAUSED_UPGRADE) {
      return { messages: run.messages, problem: `${code} ${zeroTerminated(exports.llhttp_get_error_reason(parser))}` };
    }
    const end = code === Code.OK ? exports.llhttp_finish(parser) : Code.OK;
    return { messages: run.messages, problem: end === Code.OK ? '' : 'truncated' };
  } finally {
    exports.llhttp_free(parser);
  }
}
