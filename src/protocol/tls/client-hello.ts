/** The server name in a TLS ClientHello (RFC 8446 section 4.1.2, RFC 6066 section 3), for routing what is passed through unopened. */

export type ServerName =
  /** Not all of the message has come. */
  | { readonly kind: 'more' }
  /** Lower case; empty when the client names none. */
  | { readonly kind: 'name'; readonly name: string }
  | { readonly kind: 'invalid' };

/** Octets of a ClientHello that are looked at; a larger one counts as invalid. */
export const CLIENT_HELLO_LIMIT = 16_384;

const MORE: ServerName = { kind: 'more' };
const INVALID: ServerName = { kind: 'invalid' };
const NONE: ServerName = { kind: 'name', name: '' };

const HANDSHAKE_RECORD = 22;
const CLIENT_HELLO = 1;
const SERVER_NAME_EXTENSION = 0;
const HOST_NAME = 0;

/** `prefix` is what has come of the connection. */
export function readServerName(prefix: Uint8Array): ServerName {
  const message = handshakeMessage(prefix);
  if (!(message instanceof Uint8Array)) return message;
  // Version and random, then the session id.
  let at = 2 + 32;
  const skip = (lengthOctets: 1 | 2): boolean => {
    if (at + lengthOctets > message.length) return false;
    at += lengthOctets + (lengthOctets === 1 ? message[at]! : (message[at]! << 8) | message[at + 1]!);
    return at <= message.length;
  };
  if (!skip(1) || !skip(2) || !skip(1)) return INVALID;
  if (at === message.length) return NONE;
  if (at + 2 > message.length) return INVALID;
  const end = at + 2 + ((message[at]! << 8) | message[at + 1]!);
  at += 2;
  if (end > message.length) return INVALID;
  while (at + 4 <= end) {
    const type = (message[at]! << 8) | message[at + 1]!;
    const length = (message[at + 2]! << 8) | message[at + 3]!;
    at += 4;
    if (at + length > end) return INVALID;
    if (type === SERVER_NAME_EXTENSION) return hostName(message.subarray(at, at + length));
    at += length;
  }
  return at === end ? NONE : INVALID;
}

/** The body of the ClientHello, put together from its records. */
function handshakeMessage(prefix: Uint8Array): Uint8Array | ServerName {
  const parts: Uint8Array[] = [];
  let gathered = 0;
  let wanted = -1;
  let at = 0;
  while (wanted < 0 || gathered < wanted) {
    if (at + 5 > prefix.length) return at > CLIENT_HELLO_LIMIT ? INVALID : MORE;
    if (prefix[at] !== HANDSHAKE_RECORD) return INVALID;
    const length = (prefix[at + 3]! << 8) | prefix[at + 4]!;
    if (length === 0 || length > CLIENT_HELLO_LIMIT) return INVALID;
    const part = prefix.subarray(at + 5, at + 5 + length);
    parts.push(part);
    gathered += part.length;
    at += 5 + length;
    if (wanted < 0 && gathered >= 4) {
      const head = parts.length === 1 ? part : concat(parts, gathered);
      if (head[0] !== CLIENT_HELLO) return INVALID;
      wanted = 4 + ((head[1]! << 16) | (head[2]! << 8) | head[3]!);
      if (wanted > CLIENT_HELLO_LIMIT) return INVALID;
    }
    if (part.length < length && (wanted < 0 || gathered < wanted)) return MORE;
  }
  return concat(parts, gathered).subarray(4, wanted);
}

function concat(parts: readonly Uint8Array[], length: number): Uint8Array {
  if (parts.length === 1) return parts[0]!;
  const whole = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

function hostName(extension: Uint8Array): ServerName {
  if (extension.length < 5 || extension[2] !== HOST_NAME) return INVALID;
  const length = (extension[3]! << 8) | extension[4]!;
  if (length === 0 || 5 + length > extension.length) return INVALID;
  let name = '';
  for (let i = 5; i < 5 + length; i++) {
    const octet = extension[i]!;
    if (octet <= 0x20 || octet >= 0x7f) return INVALID;
    name += String.fromCharCode(octet);
  }
  return { kind: 'name', name: name.toLowerCase() };
}
