import { describe, expect, test } from 'bun:test';
import * as packet from 'dns-packet';
import fc from 'fast-check';
import { codeOf, encodeAnswer, encodeCode, isAnswerTo, MAX_MESSAGE_BYTES, type Query, readQuery, relayed, SERVFAIL } from './message.ts';

const opt = (udpPayloadSize: number, over: object = {}): packet.Answer => ({
  type: 'OPT',
  name: '.',
  udpPayloadSize,
  extendedRcode: 0,
  ednsVersion: 0,
  flags: 0,
  flag_do: false,
  options: [],
  ...over,
});
const ask = (name: string, type = 'A', over: packet.Packet = {}): Buffer =>
  packet.encode({
    type: 'query',
    id: 4711,
    flags: packet.RECURSION_DESIRED,
    questions: [{ name, type: type as packet.RecordType, class: 'IN' }],
    ...over,
  });
const read = (bytes: Buffer): Query => {
  const query = readQuery(bytes);
  if (query === undefined) throw new Error('not a query');
  return query;
};
const answer = (bytes: Buffer, addresses: string[], alias?: string, limit = read(bytes).udpBytes): packet.DecodedPacket =>
  packet.decode(encodeAnswer(bytes, read(bytes), { alias, addresses }, limit));

describe('what the mesh may answer', () => {
  test('is a plain question for addresses', () => {
    expect(read(ask('Web.ns1.svc.cluster.local'))).toEqual({
      type: 'a',
      name: 'Web.ns1.svc.cluster.local',
      address: { name: 'Web.ns1.svc.cluster.local', type: 'A' },
      questionEnd: 43,
      edns: undefined,
      udpBytes: 512,
      isTransfer: false,
    });
    expect(read(ask('web', 'AAAA', { additionals: [opt(1232, { flags: packet.DNSSEC_OK })] }))).toMatchObject({
      address: { name: 'web', type: 'AAAA' },
      edns: { dnssecOk: true },
      udpBytes: 1232,
    });
  });

  const other = (change: (bytes: Buffer) => void, base = ask('web')): Buffer => {
    change(base);
    return base;
  };
  test.each<[string, Buffer, string]>([
    ['SRV', ask('_http._tcp.web', 'SRV'), 'srv'],
    ['TXT', ask('web', 'TXT'), 'txt'],
    ['ANY', ask('web', 'ANY'), 'any'],
    ['HTTPS', other((bytes) => bytes.writeUInt16BE(65, bytes.length - 4)), 'https'],
    ['a type nobody knows', other((bytes) => bytes.writeUInt16BE(65_400, bytes.length - 4)), 'unknown'],
    ['another class', other((bytes) => bytes.writeUInt16BE(3, bytes.length - 2)), 'a'],
    ['a dynamic update', other((bytes) => bytes.writeUInt16BE(5 << 11, 2), ask('ns1.example', 'SOA')), 'soa'],
    ['a question with records', ask('web', 'A', { authorities: [{ type: 'A', name: 'web', data: '1.2.3.4' }] }), 'a'],
    ['a signed question', ask('web', 'A', { additionals: [opt(512), { type: 'A', name: 'key', data: '1.2.3.4' }] }), 'a'],
    ['a later version of EDNS', ask('web', 'A', { additionals: [opt(512, { ednsVersion: 1 })] }), 'a'],
    [
      'two questions',
      ask('a', 'A', {
        questions: [
          { type: 'A', name: 'a' },
          { type: 'AAAA', name: 'b' },
        ],
      }),
      'unknown',
    ],
    ['no question', packet.encode({ type: 'query', id: 1 }), 'unknown'],
    ['a name with a dot in a label', other((bytes) => bytes.write('a.b', 13), ask('axb')), 'unknown'],
    ['a name that is no text', other((bytes) => bytes.writeUInt8(0xff, 13), ask('axb')), 'unknown'],
    ['a name with a space', ask('a b'), 'a'],
    ['a name that points elsewhere', other((bytes) => bytes.writeUInt16BE(0xc000, 12)), 'unknown'],
    ['a question that breaks off', ask('web').subarray(0, 17), 'unknown'],
  ])('is not %s', (_, bytes, type) => {
    expect(read(bytes)).toMatchObject({ address: undefined, type });
  });

  test('is no answer, and nothing shorter than a header', () => {
    expect(readQuery(packet.encode({ type: 'response', id: 1, questions: [{ type: 'A', name: 'web' }] }))).toBeUndefined();
    expect(readQuery(Buffer.alloc(11))).toBeUndefined();
    expect(readQuery(Buffer.alloc(0))).toBeUndefined();
  });

  test('counts are not believed', () => {
    const bytes = ask('web');
    bytes.fill(0xff, 4, 12);
    expect(read(bytes)).toMatchObject({ address: undefined, questionEnd: 12 });
  });

  test('a client with records that are not EDNS is asked for no size', () => {
    expect(read(ask('web', 'A', { additionals: [{ type: 'A', name: 'k', data: '1.2.3.4' }] })).udpBytes).toBe(MAX_MESSAGE_BYTES);
    expect(read(ask('web', 'A', { additionals: [opt(100)] })).udpBytes).toBe(512);
  });

  test('zone transfers are known as such', () => {
    expect(read(ask('ns1.example', 'AXFR')).isTransfer).toBe(true);
    expect(read(ask('ns1.example', 'IXFR', { authorities: [] })).isTransfer).toBe(true);
  });
});

describe('answers of the mesh', () => {
  test('are authoritative, under the id and in the spelling of the question, for 30 seconds', () => {
    const reply = answer(ask('WeB.ns1'), ['10.0.0.1', '10.0.0.2']);
    expect(reply).toMatchObject({
      id: 4711,
      type: 'response',
      rcode: 'NOERROR',
      flag_aa: true,
      flag_rd: true,
      flag_ra: true,
      flag_tc: false,
    });
    expect(reply.questions).toMatchObject([{ name: 'WeB.ns1', type: 'A', class: 'IN' }]);
    expect(reply.answers).toMatchObject([
      { name: 'WeB.ns1', type: 'A', class: 'IN', ttl: 30, data: '10.0.0.1' },
      { name: 'WeB.ns1', type: 'A', class: 'IN', ttl: 30, data: '10.0.0.2' },
    ]);
    expect(reply.additionals).toEqual([]);
  });

  test('name the alias, and then its addresses', () => {
    const reply = answer(ask('Web.ns1.ns1.svc.cluster.local', 'AAAA'), ['fd00::1'], 'web.ns1');
    expect(reply.answers).toMatchObject([
      { name: 'Web.ns1.ns1.svc.cluster.local', type: 'CNAME', ttl: 30, data: 'Web.ns1' },
      { name: 'Web.ns1', type: 'AAAA', ttl: 30, data: 'fd00::1' },
    ]);
  });

  test('without addresses say that the name exists', () => {
    expect(answer(ask('web'), [])).toMatchObject({ rcode: 'NOERROR', flag_aa: true, answers: [] });
  });

  test('speak EDNS to whoever does, and repeat that no checks are wanted', () => {
    const bytes = ask('web', 'A', { flags: packet.CHECKING_DISABLED, additionals: [opt(1232, { flags: packet.DNSSEC_OK })] });
    const reply = answer(bytes, ['10.0.0.1']);
    expect(reply).toMatchObject({ flag_cd: true, flag_rd: false, flag_ad: false });
    expect(reply.additionals).toMatchObject([{ type: 'OPT', udpPayloadSize: 4096, ednsVersion: 0, flag_do: true }]);
  });

  test('are as long as the client takes, and say so when something is missing', () => {
    const addresses = Array.from({ length: 256 }, (_, index) => `240.0.0.${index}`);
    const plain = answer(ask('large.com'), addresses);
    expect([plain.answers?.length, plain.flag_tc]).toEqual([30, true]);
    const bytes = ask('large.com', 'A', { additionals: [opt(1232)] });
    const wide = encodeAnswer(bytes, read(bytes), { alias: undefined, addresses }, 1232);
    expect(wide.length).toBeLessThanOrEqual(1232);
    expect([packet.decode(wide).answers?.length, packet.decode(wide).flag_tc]).toEqual([74, true]);
    const stream = answer(ask('large.com'), addresses, undefined, MAX_MESSAGE_BYTES);
    expect([stream.answers?.length, stream.flag_tc]).toEqual([256, false]);
  });

  test('a code repeats the question it can repeat', () => {
    const bytes = ask('web', 'TXT');
    const reply = packet.decode(encodeCode(bytes, read(bytes), SERVFAIL));
    expect(reply).toMatchObject({
      id: 4711,
      type: 'response',
      rcode: 'SERVFAIL',
      flag_aa: false,
      flag_rd: true,
      questions: [{ name: 'web', type: 'TXT' }],
    });
    const update = packet.encode({ type: 'query', id: 9, flags: 5 << 11 });
    expect(packet.decode(encodeCode(update, read(update), SERVFAIL))).toMatchObject({
      id: 9,
      opcode: 'UPDATE',
      rcode: 'SERVFAIL',
      questions: [],
    });
  });
});

describe('answers of a nameserver', () => {
  const sent = ask('www.example.com');
  const reply = (over: packet.Packet): Buffer =>
    packet.encode({ type: 'response', id: 4711, questions: [{ name: 'www.example.com', type: 'A', class: 'IN' }], ...over });
  test.each<[string, boolean, packet.Packet]>([
    ['the same question', true, {}],
    ['the question in another case', true, { questions: [{ name: 'WWW.example.COM', type: 'A' }] }],
    ['no question', true, { questions: [], flags: 1 }],
    ['another id', false, { id: 4712 }],
    ['another name', false, { questions: [{ name: 'www.example.net', type: 'A' }] }],
    ['another type', false, { questions: [{ name: 'www.example.com', type: 'AAAA' }] }],
    ['a question', false, { type: 'query' }],
    ['another kind of message', false, { flags: 5 << 11 }],
  ])('with %s is one: %p', (_, expected, over) => {
    expect(isAnswerTo(sent, read(sent), reply(over))).toBe(expected);
  });

  test('pass as they are but for the id', () => {
    const asked = Buffer.from(sent);
    asked.writeUInt16BE(99, 0);
    const message = reply({ answers: [{ type: 'TXT', name: 'www.example.com', data: 'x'.repeat(100) }] });
    const passed = relayed(message, asked, read(asked), 512);
    expect(passed.readUInt16BE(0)).toBe(99);
    expect(passed.subarray(2)).toEqual(message.subarray(2));
  });

  test('that are too long for the client are cut behind the question and marked', () => {
    const message = reply({
      answers: Array.from({ length: 40 }, () => ({ type: 'TXT', name: 'www.example.com', data: 'x'.repeat(100) }) as const),
    });
    const cut = packet.decode(relayed(message, sent, read(sent), 512));
    expect(cut).toMatchObject({ id: 4711, flag_tc: true, questions: [{ name: 'www.example.com' }], answers: [] });
    const bare = reply({ questions: [], answers: [{ type: 'TXT', name: 'www.example.com', data: 'x'.repeat(600) }] });
    expect(packet.decode(relayed(bare, sent, read(sent), 512))).toMatchObject({ flag_tc: true, questions: [], answers: [] });
  });
});

describe('whatever comes', () => {
  /** Octets that begin like a query more often than not, with counts that may be near the truth. */
  const nearQueries = fc
    .tuple(
      fc.uint8Array({ minLength: 12, maxLength: 12 }),
      fc.uint8Array({ maxLength: 80 }),
      fc.array(fc.constantFrom(0, 1, 2), { minLength: 4, maxLength: 4 }),
    )
    .map(([head, rest, counts]) => {
      const bytes = Buffer.concat([head, rest]);
      bytes[2]! &= 0x7f;
      for (const [index, count] of counts.entries()) bytes.writeUInt16BE(count, 4 + 2 * index);
      return bytes;
    });
  const mutated = fc.tuple(fc.nat({ max: 200 }), fc.nat({ max: 255 })).chain(([at, octet]) =>
    fc
      .constantFrom(ask('web.ns1.svc.cluster.local'), ask('web', 'AAAA', { additionals: [opt(1232)] }), ask('_a._b.c', 'SRV'))
      .map((base) => {
        const bytes = Buffer.from(base);
        bytes[at % bytes.length] = octet;
        return bytes;
      }),
  );
  const anything = fc.oneof(
    fc.uint8Array({ maxLength: 700 }).map((octets) => Buffer.from(octets)),
    nearQueries,
    mutated,
  );

  test('reading and refusing it never throws, and a refusal is a message with its id', () => {
    fc.assert(
      fc.property(anything, (bytes) => {
        const query = readQuery(bytes);
        if (query === undefined) return;
        const reply = encodeCode(bytes, query, SERVFAIL);
        expect(reply.readUInt16BE(0)).toBe(bytes.readUInt16BE(0));
        expect(codeOf(reply)).toBe(SERVFAIL);
        expect(packet.decode(reply).type).toBe('response');
      }),
      { numRuns: 3000 },
    );
  });

  test('what counts as a question for addresses can be answered, and the answer is read back', () => {
    let answered = 0;
    fc.assert(
      fc.property(mutated, (bytes) => {
        const query = readQuery(bytes);
        if (query?.address === undefined) return;
        answered++;
        const addresses = query.address.type === 'A' ? ['10.0.0.1', '10.0.0.2'] : ['fd00::1'];
        const reply = packet.decode(encodeAnswer(bytes, query, { alias: undefined, addresses }, query.udpBytes));
        expect(reply.answers?.map((each) => ('data' in each ? each.data : ''))).toEqual(addresses);
        expect(reply.questions?.[0]?.name).toBe(query.address.name);
      }),
      { numRuns: 2000 },
    );
    expect(answered).toBeGreaterThan(100);
  });

  test('taking it for an answer never throws', () => {
    fc.assert(
      fc.property(anything, anything, (bytes, message) => {
        const query = readQuery(bytes);
        if (query === undefined || !isAnswerTo(bytes, query, message)) return;
        expect(relayed(message, bytes, query, 512).length).toBeLessThanOrEqual(512);
      }),
      { numRuns: 3000 },
    );
    const sent = ask('web');
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 900 }), (rest) => {
        const message = Buffer.concat([sent.subarray(0, 2), Buffer.from([0x80, 0]), rest]);
        if (isAnswerTo(sent, read(sent), message)) expect(relayed(message, sent, read(sent), 512).length).toBeLessThanOrEqual(512);
      }),
    );
  });
});
