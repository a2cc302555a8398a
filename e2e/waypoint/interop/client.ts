/** The cases of gRPC's interoperability tests on @grpc/grpc-js, a program: `client.ts ip:port case...`. One line of JSON per case. */
import assert from 'node:assert/strict';
import * as grpc from '@grpc/grpc-js';
import { INITIAL_KEY, METHODS, type Message, TRAILING_KEY, UNIMPLEMENTED_METHOD, UNIMPLEMENTED_SERVICE } from './messages.ts';

/** How a call ended. */
interface Ended {
  readonly responses: readonly Message[];
  readonly status: grpc.StatusObject;
  readonly initial: grpc.Metadata | undefined;
}

const [address = '', ...wanted] = process.argv.slice(2);
const options: grpc.ClientOptions = {
  'grpc.max_receive_message_length': 64 * 1024 * 1024,
  'grpc.max_send_message_length': 64 * 1024 * 1024,
};
const client = new grpc.Client(address, grpc.credentials.createInsecure(), options);

interface CallSettings {
  readonly metadata?: grpc.Metadata;
  readonly deadline?: number;
}

const zeros = (size: number): { readonly payload: { readonly body: Uint8Array } } => ({ payload: { body: new Uint8Array(size) } });

/** All kinds of calls are made as duplex streams with as many messages as their kind has. */
function open(method: grpc.MethodDefinition<Message, Message>, { metadata = new grpc.Metadata(), deadline }: CallSettings = {}) {
  const call = client.makeBidiStreamRequest(method.path, method.requestSerialize, method.responseDeserialize, metadata, {
    ...(deadline === undefined ? {} : { deadline: Date.now() + deadline }),
  });
  const responses: Message[] = [];
  let initial: grpc.Metadata | undefined;
  let wake = (): void => {};
  call.on('metadata', (received: grpc.Metadata) => {
    initial = received;
  });
  call.on('data', (message: Message) => {
    responses.push(message);
    wake();
  });
  call.on('error', () => {});
  const ended = new Promise<Ended>((resolve) => {
    call.on('status', (status: grpc.StatusObject) => {
      resolve({ responses, status, initial });
      wake();
    });
  });
  const response = async (index: number): Promise<Message> => {
    let isOver = false;
    void ended.then(() => (isOver = true));
    while (responses[index] === undefined) {
      if (isOver) throw new Error(`the call ended before response ${index}`);
      await new Promise<void>((resolve) => (wake = resolve));
    }
    return responses[index];
  };
  return { call, ended, response };
}

async function unary(method: grpc.MethodDefinition<Message, Message>, request: Message, settings?: CallSettings): Promise<Ended> {
  const { call, ended } = open(method, settings);
  call.write(request);
  call.end();
  return ended;
}

const sizes = (responses: readonly Message[]): number[] => responses.map(({ payload }) => payload?.body.length ?? 0);
const asked = (...all: number[]): Message => ({ responseParameters: all.map((size) => ({ size, intervalUs: 0 })) });

async function failsWith(code: number, message: string): Promise<void> {
  const responseStatus = { code, message };
  const one = await unary(METHODS.unaryCall, { responseStatus });
  assert.deepEqual([one.status.code, one.status.details], [code, message]);
  const { call, ended } = open(METHODS.fullDuplexCall);
  call.write({ responseStatus });
  call.end();
  const { status } = await ended;
  assert.deepEqual([status.code, status.details], [code, message]);
}

const CASES: Readonly<Record<string, () => Promise<void>>> = {
  async empty_unary() {
    const { status, responses } = await unary(METHODS.emptyCall, {});
    assert.equal(status.code, grpc.status.OK);
    assert.equal(responses.length, 1);
  },
  async large_unary() {
    const { responses, status } = await unary(METHODS.unaryCall, { responseSize: 314_159, ...zeros(271_828) });
    assert.equal(status.code, grpc.status.OK);
    assert.deepEqual(sizes(responses), [314_159]);
  },
  async very_large_unary() {
    const { responses, status } = await unary(METHODS.unaryCall, { responseSize: 16_000_000, ...zeros(16_000_000) });
    assert.equal(status.code, grpc.status.OK);
    assert.deepEqual(sizes(responses), [16_000_000]);
  },
  async compressed_unary() {
    const packed = new grpc.Client(address, grpc.credentials.createInsecure(), { 'grpc.default_compression_algorithm': 2 });
    const { path, requestSerialize, responseDeserialize } = METHODS.unaryCall;
    const response = await new Promise<Message | undefined>((resolve, reject) => {
      packed.makeUnaryRequest(path, requestSerialize, responseDeserialize, { responseSize: 314_159, ...zeros(271_828) }, (error, value) =>
        error ? reject(error) : resolve(value),
      );
    });
    packed.close();
    assert.equal(response?.payload?.body.length, 314_159);
  },
  async client_streaming() {
    const { call, ended } = open(METHODS.streamingInputCall);
    for (const size of [27_182, 8, 1828, 45_904]) call.write(zeros(size));
    call.end();
    const { responses, status } = await ended;
    assert.equal(status.code, grpc.status.OK);
    assert.equal(responses[0]?.aggregatedPayloadSize, 74_922);
  },
  async server_streaming() {
    const { responses, status } = await unary(METHODS.streamingOutputCall, asked(31_415, 9, 2653, 58_979));
    assert.equal(status.code, grpc.status.OK);
    assert.deepEqual(sizes(responses), [31_415, 9, 2653, 58_979]);
  },
  async ping_pong() {
    const { call, ended, response } = open(METHODS.fullDuplexCall);
    for (const [index, [size, own]] of (
      [
        [31_415, 27_182],
        [9, 8],
        [2653, 1828],
        [58_979, 45_904],
      ] as const
    ).entries()) {
      call.write({ ...asked(size), ...zeros(own) });
      assert.equal((await response(index)).payload?.body.length, size);
    }
    call.end();
    assert.equal((await ended).status.code, grpc.status.OK);
  },
  async empty_stream() {
    const { call, ended } = open(METHODS.fullDuplexCall);
    call.end();
    const { responses, status } = await ended;
    assert.equal(status.code, grpc.status.OK);
    assert.equal(responses.length, 0);
  },
  status_code_and_message: () => failsWith(2, 'test status message'),
  special_status_message: () => failsWith(2, '\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n'),
  async unimplemented_method() {
    assert.equal((await unary(UNIMPLEMENTED_METHOD, {})).status.code, grpc.status.UNIMPLEMENTED);
  },
  async unimplemented_service() {
    assert.equal((await unary(UNIMPLEMENTED_SERVICE, {})).status.code, grpc.status.UNIMPLEMENTED);
  },
  async cancel_after_begin() {
    const { call, ended } = open(METHODS.streamingInputCall);
    call.cancel();
    assert.equal((await ended).status.code, grpc.status.CANCELLED);
  },
  async cancel_after_first_response() {
    const { call, ended, response } = open(METHODS.fullDuplexCall);
    call.write({ ...asked(31_415), ...zeros(27_182) });
    await response(0);
    call.cancel();
    assert.equal((await ended).status.code, grpc.status.CANCELLED);
  },
  async timeout_on_sleeping_server() {
    const { call, ended } = open(METHODS.fullDuplexCall, { deadline: 100 });
    call.write(zeros(27_182));
    assert.equal((await ended).status.code, grpc.status.DEADLINE_EXCEEDED);
  },
  async custom_metadata() {
    const metadata = new grpc.Metadata();
    metadata.set(INITIAL_KEY, 'test_initial_metadata_value');
    metadata.set(TRAILING_KEY, Buffer.from([0xab, 0xab, 0xab]));
    const check = ({ status, initial }: Ended): void => {
      assert.equal(status.code, grpc.status.OK);
      assert.deepEqual(initial?.get(INITIAL_KEY), ['test_initial_metadata_value']);
      assert.deepEqual(status.metadata.get(TRAILING_KEY), [Buffer.from([0xab, 0xab, 0xab])]);
    };
    check(await unary(METHODS.unaryCall, { responseSize: 314_159, ...zeros(271_828) }, { metadata }));
    const { call, ended } = open(METHODS.fullDuplexCall, { metadata });
    call.write({ ...asked(314_159), ...zeros(271_828) });
    call.end();
    check(await ended);
  },
};

for (const name of wanted) {
  let problem = '';
  try {
    const run = CASES[name];
    if (run === undefined) throw new Error('no such case');
    await Promise.race([run(), new Promise((_, reject) => setTimeout(() => reject(new Error('took too long')), 10_000).unref())]);
  } catch (error) {
    problem = error instanceof Error ? error.message : String(error);
  }
  process.stdout.write(`${JSON.stringify({ name, problem })}\n`);
}
client.close();
process.exit(0);
