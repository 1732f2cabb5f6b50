/**
 * Netlink messages and attributes as bytes (netlink(7), rtnetlink(7)), in the host's byte order.
 *
 *      0       2       4                        0       2       4
 *     +-------+-------+                        +-------+-------+------------------+
 *   0 |    length     |  header included       |length | type  | value ... padding|  to a multiple of 4
 *     +-------+-------+                        +-------+-------+------------------+
 *   4 | type  | flags |                          length counts itself and the type, not the padding
 *     +-------+-------+
 *   8 |   sequence    |
 *     +---------------+
 *  12 |    port id    |
 *     +---------------+  16: family header (ifinfomsg, ...), then attributes
 *
 * Decoding copies nothing: what it returns are views into the bytes given. Every length is checked against what is
 * there before it is used.
 */
import { endianness } from 'node:os';
import type { Family } from '../ip/ip.ts';

export const LITTLE_ENDIAN = endianness() === 'LE';

export const MESSAGE_HEADER_BYTES = 16;
const ATTRIBUTE_HEADER_BYTES = 4;
const ATTRIBUTE_MAX_BYTES = 0xffff;
/** NLA_F_NESTED; NLA_F_NET_BYTEORDER is the bit below. */
const NESTED = 0x8000;
const ATTRIBUTE_TYPE_MASK = 0x3fff;

export const NLM_F = {
  request: 0x1,
  ack: 0x4,
  dump: 0x300,
  replace: 0x100,
  exclusive: 0x200,
  create: 0x400,
} as const;

export const RTM = {
  newLink: 16,
  delLink: 17,
  getLink: 18,
  setLink: 19,
  newAddress: 20,
  delAddress: 21,
  getAddress: 22,
  newRoute: 24,
  delRoute: 25,
  getRoute: 26,
} as const;

/** AF_INET and AF_INET6 of Linux. */
export const ADDRESS_FAMILY = { 4: 2, 6: 10 } as const;

/** @returns undefined for a family that is neither IPv4 nor IPv6. */
export function familyOf(addressFamily: number): Family | undefined {
  if (addressFamily === ADDRESS_FAMILY[4]) return 4;
  return addressFamily === ADDRESS_FAMILY[6] ? 6 : undefined;
}

/** The bytes are not what the protocol says; told apart by `code`. */
export class NetlinkFormatError extends Error {
  readonly code = 'EBADMSG';
  constructor(message: string) {
    super(`malformed netlink message: ${message}`);
    this.name = 'NetlinkFormatError';
  }
}

export interface Message {
  /** RTM_* */
  readonly type: number;
  readonly flags: number;
  /** Family header and attributes. */
  readonly body: Uint8Array;
}

/** Attributes by type; of a type that repeats the last one counts, as in the kernel. */
export type Attributes = ReadonlyMap<number, Uint8Array>;

export function align4(length: number): number {
  return (length + 3) & ~3;
}

export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** Joins parts, each padded with zeros to a multiple of four. */
export function concatAligned(parts: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + align4(part.length), 0));
  let offset = 0;
  for (const part of parts) {
    bytes.set(part, offset);
    offset += align4(part.length);
  }
  return bytes;
}

/** A whole request; sequence and port id stay 0 for the transport to fill in. */
export function encodeMessage(type: number, flags: number, body: readonly Uint8Array[]): Uint8Array {
  const header = new Uint8Array(MESSAGE_HEADER_BYTES);
  const bytes = concatAligned([header, ...body]);
  const view = viewOf(bytes);
  view.setUint32(0, bytes.length, LITTLE_ENDIAN);
  view.setUint16(4, type, LITTLE_ENDIAN);
  view.setUint16(6, flags | NLM_F.request, LITTLE_ENDIAN);
  return bytes;
}

/** @throws NetlinkFormatError where the header is cut off or its length says more than is there. */
export function decodeMessage(bytes: Uint8Array): Message {
  if (bytes.length < MESSAGE_HEADER_BYTES) throw new NetlinkFormatError(`${bytes.length} bytes hold no header`);
  const view = viewOf(bytes);
  const length = view.getUint32(0, LITTLE_ENDIAN);
  if (length < MESSAGE_HEADER_BYTES || length > bytes.length) {
    throw new NetlinkFormatError(`length ${length} in ${bytes.length} bytes`);
  }
  return {
    type: view.getUint16(4, LITTLE_ENDIAN),
    flags: view.getUint16(6, LITTLE_ENDIAN),
    body: bytes.subarray(MESSAGE_HEADER_BYTES, length),
  };
}

/**
 * Splits a body into its fixed family header and its attributes.
 * @param headerBytes size of the header, a multiple of 4.
 * @throws NetlinkFormatError
 */
export function splitBody(body: Uint8Array, headerBytes: number): { header: DataView; attributes: Attributes } {
  if (body.length < headerBytes) throw new NetlinkFormatError(`${body.length} bytes, need a header of ${headerBytes}`);
  return {
    header: viewOf(body.subarray(0, headerBytes)),
    attributes: decodeAttributes(body.subarray(headerBytes)),
  };
}

/** @throws NetlinkFormatError where an attribute's length is too short or leads outside. */
export function decodeAttributes(bytes: Uint8Array): Attributes {
  const attributes = new Map<number, Uint8Array>();
  const view = viewOf(bytes);
  let offset = 0;
  while (offset < bytes.length) {
    const rest = bytes.length - offset;
    if (rest < ATTRIBUTE_HEADER_BYTES) throw new NetlinkFormatError(`${rest} bytes after the last attribute`);
    const length = view.getUint16(offset, LITTLE_ENDIAN);
    const type = view.getUint16(offset + 2, LITTLE_ENDIAN) & ATTRIBUTE_TYPE_MASK;
    if (length < ATTRIBUTE_HEADER_BYTES || length > rest) {
      throw new NetlinkFormatError(`attribute ${type} of length ${length} in ${rest} bytes`);
    }
    attributes.set(type, bytes.subarray(offset + ATTRIBUTE_HEADER_BYTES, offset + length));
    offset += align4(length);
  }
  return attributes;
}

/** @throws RangeError where the value is too long for the length field: a programming error. */
export function encodeBytes(type: number, value: Uint8Array): Uint8Array {
  const length = ATTRIBUTE_HEADER_BYTES + value.length;
  if (length > ATTRIBUTE_MAX_BYTES) throw new RangeError(`netlink attribute of ${value.length} bytes`);
  const bytes = new Uint8Array(length);
  const view = viewOf(bytes);
  view.setUint16(0, length, LITTLE_ENDIAN);
  view.setUint16(2, type, LITTLE_ENDIAN);
  bytes.set(value, ATTRIBUTE_HEADER_BYTES);
  return bytes;
}

export function encodeU8(type: number, value: number): Uint8Array {
  return encodeBytes(type, Uint8Array.of(value));
}

export function encodeU32(type: number, value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  viewOf(bytes).setUint32(0, value, LITTLE_ENDIAN);
  return encodeBytes(type, bytes);
}

/** UTF-8 with the closing NUL that the kernel's names carry. */
export function encodeText(type: number, value: string): Uint8Array {
  return encodeBytes(type, new TextEncoder().encode(`${value}\0`));
}

export function encodeNested(type: number, attributes: readonly Uint8Array[]): Uint8Array {
  return encodeBytes(type | NESTED, concatAligned(attributes));
}

/** @throws NetlinkFormatError where the attribute is there but too short for a number of this size. */
export function readU8(attributes: Attributes, type: number): number | undefined {
  return readNumber(attributes, type, 1, (view) => view.getUint8(0));
}

/** @throws NetlinkFormatError where the attribute is there but too short for a number of this size. */
export function readU32(attributes: Attributes, type: number): number | undefined {
  return readNumber(attributes, type, 4, (view) => view.getUint32(0, LITTLE_ENDIAN));
}

function readNumber(attributes: Attributes, type: number, size: number, read: (view: DataView) => number) {
  const value = attributes.get(type);
  if (value === undefined) return undefined;
  if (value.length < size) throw new NetlinkFormatError(`attribute ${type}: ${value.length} bytes, need ${size}`);
  return read(viewOf(value));
}

/** Text up to the first NUL. */
export function readText(attributes: Attributes, type: number): string | undefined {
  const value = attributes.get(type);
  if (value === undefined) return undefined;
  const end = value.indexOf(0);
  return new TextDecoder().decode(end < 0 ? value : value.subarray(0, end));
}

/** @returns no attributes at all where the attribute is absent. @throws NetlinkFormatError */
export function readNested(attributes: Attributes, type: number): Attributes {
  const value = attributes.get(type);
  return value === undefined ? new Map() : decodeAttributes(value);
}
