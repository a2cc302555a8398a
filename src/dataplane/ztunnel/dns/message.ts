/**
 * DNS messages as far as a proxy has to understand them (RFC 1035, EDNS: RFC 6891). What it cannot answer it forwards as it is, so a message
 * that is strange is not an error here, only opaque. Names are read by `dns-packet`, within bounds of ours: it would make arrays as long as a
 * message's counts say, and its text of a name is not always the name (a label may hold a dot or any octet).
 */
import * as packet from 'dns-packet';
import type { AddressType } from '../../../mesh/dns/index.ts';
import { ipFamily, ipToBytes, parseIp } from '../../../mesh/index.ts';

const HEADER = 12;
/** Without EDNS, over UDP (RFC 1035, 4.2.1). */
export const PLAIN_UDP_BYTES = 512;
/** More than UDP or the length field of TCP carry. */
export const MAX_MESSAGE_BYTES = 65_535;
/** Seconds a client may keep what the mesh answers; the contract's. */
export const ANSWER_TTL_S = 30;
/** What an answer says of EDNS: requests this long are fine. */
const OWN_UDP_BYTES = 4096;
const MAX_QUESTION = 255 + 4;

const QR = 0x8000;
const OPCODE = 0x7800;
const AA = 0x0400;
const TC = 0x0200;
const RD = 0x0100;
const RA = 0x0080;
const CD = 0x0010;
export const SERVFAIL = 2;
export const REFUSED = 5;

const TYPE_A = 1;
const TYPE_CNAME = 5;
const TYPE_AAAA = 28;
const TYPE_OPT = 41;
const CLASS_IN = 1;
/** The codec does not know these by name. */
const OTHER_TYPES: Readonly<Record<string, string>> = { UNKNOWN_64: 'svcb', UNKNOWN_65: 'https', UNKNOWN_256: 'uri' };

export interface Query {
  /** Type of the first question as metrics name it: lower case, `unknown` for what has no name or could not be read. */
  readonly type: string;
  /** Name of the first question, where it could be read. */
  readonly name: string | undefined;
  /** The question, if it is one the mesh may know the answer to: a plain query for addresses. */
  readonly address: { readonly name: string; readonly type: AddressType } | undefined;
  /** Where the only question ends; the end of the header if there is none, several, or an odd one. */
  readonly questionEnd: number;
  readonly edns: { readonly dnssecOk: boolean } | undefined;
  /** Octets the client takes over UDP. */
  readonly udpBytes: number;
  /** A zone transfer: its answer is many messages. */
  readonly isTransfer: boolean;
}

/** Undefined: no query, nothing may be said to it. */
export function readQuery(bytes: Buffer): Query | undefined {
  if (bytes.length < HEADER || bytes.length > MAX_MESSAGE_BYTES) return undefined;
  const flags = bytes.readUInt16BE(2);
  if ((flags & QR) !== 0) return undefined;
  const [questions, answers, authorities, additionals] = [4, 6, 8, 10].map((at) => bytes.readUInt16BE(at)) as [
    number,
    number,
    number,
    number,
  ];
  const question = questions === 1 ? readQuestion(bytes) : undefined;
  const questionEnd = question?.end ?? HEADER;
  // Behind the question there may be one record, which is then EDNS. Signatures and everything else are for the nameserver.
  const options = question !== undefined && answers + authorities === 0 && additionals === 1 ? readOptions(bytes) : undefined;
  const isPlain = (flags & OPCODE) === 0 && answers + authorities === 0 && (additionals === 0 || options?.version === 0);
  const isAddress = question !== undefined && isPlain && question.class === CLASS_IN && PRINTABLE.test(question.name);
  const type = question?.type === TYPE_A ? 'A' : question?.type === TYPE_AAAA ? 'AAAA' : undefined;
  return {
    type: question?.typeName ?? 'unknown',
    name: question?.name,
    address: isAddress && type !== undefined ? { name: question.name, type } : undefined,
    questionEnd,
    edns: options && { dnssecOk: options.dnssecOk },
    udpBytes: additionals === 0 ? PLAIN_UDP_BYTES : options === undefined ? MAX_MESSAGE_BYTES : Math.max(PLAIN_UDP_BYTES, options.udpBytes),
    isTransfer: question?.typeName === 'axfr' || question?.typeName === 'ixfr',
  };
}

/** Names of hosts. Others are no services; so nothing has to be said about case and length of other letters. */
const PRINTABLE = /^[\x21-\x7e]+$/;

interface Question {
  readonly name: string;
  readonly type: number;
  readonly typeName: string;
  readonly class: number;
  readonly end: number;
}

/** Undefined when the name is not one, or not the same after it has been text. */
function readQuestion(bytes: Buffer): Question | undefined {
  const alone = Buffer.from(bytes.subarray(0, HEADER + MAX_QUESTION));
  alone.writeUInt16BE(1, 4);
  alone.fill(0, 6, HEADER);
  try {
    const [question] = packet.decode(alone).questions ?? [];
    if (question === undefined) return undefined;
    const { name } = question;
    const again = packet.encode({ type: 'query', questions: [{ name, type: 'A' }] });
    const end = again.length;
    if (end > bytes.length || again.compare(bytes, HEADER, end - 4, HEADER, end - 4) !== 0) return undefined;
    const typeName = OTHER_TYPES[question.type] ?? (question.type.startsWith('UNKNOWN') ? 'unknown' : question.type.toLowerCase());
    return { name, type: bytes.readUInt16BE(end - 4), typeName, class: bytes.readUInt16BE(end - 2), end };
  } catch {
    return undefined; // no name: the message is forwarded as it is
  }
}

/** The only record of a message after its only question, if that is EDNS. */
function readOptions(bytes: Buffer): { version: number; udpBytes: number; dnssecOk: boolean } | undefined {
  try {
    const [record] = packet.decode(bytes).additionals ?? [];
    if (record?.type !== 'OPT') return undefined;
    return { version: record.ednsVersion, udpBytes: record.udpPayloadSize, dnssecOk: record.flag_do };
  } catch {
    return undefined; // damaged: its reader is the nameserver
  }
}

export interface LocalAnswer {
  /** What the asked name is an alias of: its first labels. */
  readonly alias: string | undefined;
  readonly addresses: readonly string[];
}

/** The mesh's own answer to an address query. Addresses that do not fit into `limit` octets are left out and the answer is marked as cut. */
export function encodeAnswer(bytes: Buffer, query: Query, { alias, addresses }: LocalAnswer, limit: number): Buffer {
  const { questionEnd, edns } = query;
  const aliasBytes = alias === undefined ? 0 : HEADER + alias.length + 2;
  const size = addresses.length > 0 && ipFamily(addresses[0]!) === 6 ? HEADER + 16 : HEADER + 4;
  const room = limit - questionEnd - aliasBytes - (edns ? 11 : 0);
  const count = Math.max(0, Math.min(addresses.length, Math.floor(room / size)));
  const out = Buffer.alloc(questionEnd + aliasBytes + count * size + (edns ? 11 : 0));
  bytes.copy(out, 0, 0, questionEnd);
  putHeader(out, bytes, AA | (count < addresses.length ? TC : 0), [1, count + (alias === undefined ? 0 : 1), 0, edns ? 1 : 0]);
  let at = questionEnd;
  /** The name the addresses belong to, as a pointer to where it stands in the message (RFC 1035, 4.1.4). */
  let owner = HEADER;
  if (alias !== undefined) {
    at = putRecord(out, at, owner, TYPE_CNAME, alias.length + 2);
    owner = at;
    // The alias is the beginning of the asked name, here in the asker's own spelling.
    at += bytes.copy(out, at, HEADER, HEADER + alias.length + 1) + 1;
  }
  for (const address of addresses.slice(0, count)) {
    at = putRecord(out, at, owner, ipFamily(address) === 6 ? TYPE_AAAA : TYPE_A, size - HEADER);
    // Addresses of the registry are canonical.
    out.set(ipToBytes(parseIp(address)!), at);
    at += size - HEADER;
  }
  if (edns) {
    out.writeUInt16BE(TYPE_OPT, at + 1);
    out.writeUInt16BE(OWN_UDP_BYTES, at + 3);
    out.writeUInt16BE(edns.dnssecOk ? packet.DNSSEC_OK : 0, at + 7);
  }
  return out;
}

/** An answer that consists of a code, such as {@link SERVFAIL}. */
export function encodeCode(bytes: Buffer, query: Query, code: number): Buffer {
  const out = Buffer.from(bytes.subarray(0, query.questionEnd));
  putHeader(out, bytes, code, [query.questionEnd > HEADER ? 1 : 0, 0, 0, 0]);
  return out;
}

function putHeader(out: Buffer, query: Buffer, flags: number, counts: readonly [number, number, number, number]): void {
  out.writeUInt16BE((query.readUInt16BE(2) & (OPCODE | RD | CD)) | QR | RA | flags, 2);
  for (const [index, count] of counts.entries()) out.writeUInt16BE(count, 4 + 2 * index);
}

/** Everything of a record before its data; returns where that begins. */
function putRecord(out: Buffer, at: number, owner: number, type: number, length: number): number {
  out.writeUInt16BE(0xc000 | owner, at);
  out.writeUInt16BE(type, at + 2);
  out.writeUInt16BE(CLASS_IN, at + 4);
  out.writeUInt32BE(ANSWER_TTL_S, at + 6);
  out.writeUInt16BE(length, at + 10);
  return at + HEADER;
}

/** Whether a message can be the answer to the query that was sent: id, kind, and the question if it repeats one, in any case. */
export function isAnswerTo(sent: Buffer, query: Query, message: Buffer): boolean {
  if (message.length < HEADER || message.readUInt16BE(0) !== sent.readUInt16BE(0)) return false;
  const flags = message.readUInt16BE(2);
  if ((flags & QR) === 0 || (flags & OPCODE) !== (sent.readUInt16BE(2) & OPCODE)) return false;
  const { questionEnd } = query;
  if (questionEnd === HEADER || message.readUInt16BE(4) === 0) return true;
  if (message.length < questionEnd || message.compare(sent, questionEnd - 4, questionEnd, questionEnd - 4, questionEnd) !== 0) return false;
  for (let i = HEADER; i < questionEnd - 4; i++) if (lower(message[i]!) !== lower(sent[i]!)) return false;
  return true;
}

const lower = (octet: number): number => (octet >= 0x41 && octet <= 0x5a ? octet + 0x20 : octet);

export const codeOf = (message: Buffer): number => message.readUInt16BE(2) & 0xf;
export const answersOf = (message: Buffer): number => message.readUInt16BE(6);

/** The answer for the asker: under its own id, and no longer than it takes; the rest it fetches over TCP. */
export function relayed(message: Buffer, asked: Buffer, query: Query, limit: number): Buffer {
  const hasQuestion = query.questionEnd > HEADER && message.readUInt16BE(4) > 0;
  const out = Buffer.from(message.length <= limit ? message : message.subarray(0, hasQuestion ? query.questionEnd : HEADER));
  out.writeUInt16BE(asked.readUInt16BE(0), 0);
  if (out.length < message.length) {
    out.writeUInt16BE(out.readUInt16BE(2) | TC, 2);
    out.writeUInt16BE(hasQuestion ? 1 : 0, 4);
    out.fill(0, 6, HEADER);
  }
  return out;
}
