/** One TCP segment of a captured frame. Addresses are text; `payload` is a view into the frame. */
export interface Segment {
  readonly source: string;
  readonly destination: string;
  readonly sourcePort: number;
  readonly destinationPort: number;
  readonly sequence: number;
  readonly syn: boolean;
  readonly ack: boolean;
  readonly fin: boolean;
  readonly rst: boolean;
  readonly payload: Uint8Array;
}

const ETHERNET_HEADER = 14;
const IPV4 = 0x0800;
const IPV6 = 0x86dd;
const TCP = 6;

/** Reads Ethernet, IPv4 or IPv6, and TCP headers; anything else, and anything cut short, is undefined. */
export const parseFrame = (frame: Uint8Array): Segment | undefined => {
  if (frame.length < ETHERNET_HEADER) return undefined;
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  const kind = view.getUint16(12);
  if (kind === IPV4) return parseIpv4(frame, view);
  if (kind === IPV6) return parseIpv6(frame, view);
  return undefined;
};

const parseIpv4 = (frame: Uint8Array, view: DataView): Segment | undefined => {
  const at = ETHERNET_HEADER;
  if (frame.length < at + 20 || view.getUint8(at + 9) !== TCP) return undefined;
  const headerLength = (view.getUint8(at) & 0x0f) * 4;
  const end = Math.min(frame.length, at + totalLength(view.getUint16(at + 2), frame.length - at));
  // Only the first fragment has a TCP header.
  if ((view.getUint16(at + 6) & 0x1fff) !== 0) return undefined;
  return parseTcp(
    frame,
    view,
    at + headerLength,
    end,
    frame.subarray(at + 12, at + 16).join('.'),
    frame.subarray(at + 16, at + 20).join('.'),
  );
};

/** Segments that the sending host's network card would have cut carry a length of 0. */
const totalLength = (stated: number, available: number): number => (stated === 0 ? available : stated);

const parseIpv6 = (frame: Uint8Array, view: DataView): Segment | undefined => {
  const at = ETHERNET_HEADER;
  if (frame.length < at + 40 || view.getUint8(at + 6) !== TCP) return undefined;
  const end = Math.min(frame.length, at + 40 + totalLength(view.getUint16(at + 4), frame.length - at - 40));
  return parseTcp(frame, view, at + 40, end, groups(view, at + 8), groups(view, at + 24));
};

const groups = (view: DataView, at: number): string =>
  Array.from({ length: 8 }, (_, index) => view.getUint16(at + index * 2).toString(16)).join(':');

const parseTcp = (frame: Uint8Array, view: DataView, at: number, end: number, source: string, destination: string): Segment | undefined => {
  if (end < at + 20) return undefined;
  const flags = view.getUint8(at + 13);
  const payloadAt = at + (view.getUint8(at + 12) >> 4) * 4;
  if (payloadAt < at + 20 || payloadAt > end) return undefined;
  return {
    source,
    destination,
    sourcePort: view.getUint16(at),
    destinationPort: view.getUint16(at + 2),
    sequence: view.getUint32(at + 4),
    syn: (flags & 0x02) !== 0,
    ack: (flags & 0x10) !== 0,
    fin: (flags & 0x01) !== 0,
    rst: (flags & 0x04) !== 0,
    payload: frame.subarray(payloadAt, end),
  };
};
