/**
 * The IPv4 header (RFC 791, section 3.1), options carried as bytes.
 *
 *     0                   1                   2                   3
 *     0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
 *    +-------+-------+---------------+-------------------------------+
 *  0 |version|  IHL  |      TOS      |         total length          |
 *  4 |        identification         |R|D|M|  fragment offset / 8    |
 *  8 |      TTL      |   protocol    |        header checksum        |
 * 12 |                            source                             |
 * 16 |                          destination                          |
 * 20 |                    options, (IHL - 5) * 4                     |
 *    +---------------------------------------------------------------+
 */
import { internetChecksum, updateChecksum } from './checksum.ts';
import type { DropReason } from './verdict.ts';

export const MIN_HEADER_BYTES = 20;
export const MAX_HEADER_BYTES = 60;
export const MAX_PACKET_BYTES = 65_535;

/** Protocol numbers (IANA) that this room looks into. */
export const PROTOCOL = { icmp: 1, tcp: 6, udp: 17 } as const;

const TTL_OFFSET = 8;
const CHECKSUM_OFFSET = 10;

/** What a sender chooses; addresses are unsigned 32-bit numbers. */
export interface Ipv4Fields {
  /** The whole octet: DSCP and ECN. */
  readonly tos: number;
  readonly identification: number;
  /** The bit that RFC 791 wants to be zero. */
  readonly reservedFlag: boolean;
  readonly dontFragment: boolean;
  readonly moreFragments: boolean;
  /** A multiple of 8. */
  readonly fragmentOffsetBytes: number;
  readonly ttl: number;
  readonly protocol: number;
  readonly source: number;
  readonly destination: number;
  /** 0 to 40 bytes, a multiple of 4. */
  readonly options: Uint8Array;
}

export interface Ipv4Header extends Ipv4Fields {
  readonly headerLengthBytes: number;
  readonly totalLengthBytes: number;
  /** As it stood in the packet, right or wrong. */
  readonly headerChecksum: number;
}

/** A packet with a sound header. The arrays are views of the bytes it was decoded from. */
export interface Ipv4Packet {
  readonly header: Ipv4Header;
  /** The packet, cut off at its total length. */
  readonly bytes: Uint8Array;
  readonly payload: Uint8Array;
}

/** Why bytes are no IPv4 packet. */
export type HeaderDefect = Extract<
  DropReason,
  'ipv6Unsupported' | 'truncated' | 'badVersion' | 'badHeaderLength' | 'badTotalLength'
>;

export type DecodedIpv4 =
  | { readonly ok: true; readonly packet: Ipv4Packet }
  | { readonly ok: false; readonly defect: HeaderDefect };

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/**
 * Checks the lengths, in the order in which the native core counts defects, and decodes. Bytes beyond the total length
 * are cut off, as the kernel does on receipt. Neither the checksum nor the TTL is judged here.
 */
export function decodeIpv4(bytes: Uint8Array): DecodedIpv4 {
  const defect = findDefect(bytes);
  if (defect !== undefined) return { ok: false, defect };
  const view = viewOf(bytes);
  const headerLengthBytes = (view.getUint8(0) & 0x0f) * 4;
  const totalLengthBytes = view.getUint16(2);
  const fragment = view.getUint16(6);
  const header: Ipv4Header = {
    headerLengthBytes,
    totalLengthBytes,
    tos: view.getUint8(1),
    identification: view.getUint16(4),
    reservedFlag: (fragment & 0x8000) !== 0,
    dontFragment: (fragment & 0x4000) !== 0,
    moreFragments: (fragment & 0x2000) !== 0,
    fragmentOffsetBytes: (fragment & 0x1fff) * 8,
    ttl: view.getUint8(TTL_OFFSET),
    protocol: view.getUint8(9),
    headerChecksum: view.getUint16(CHECKSUM_OFFSET),
    source: view.getUint32(12),
    destination: view.getUint32(16),
    options: bytes.subarray(MIN_HEADER_BYTES, headerLengthBytes),
  };
  const packet = {
    header,
    bytes: bytes.subarray(0, totalLengthBytes),
    payload: bytes.subarray(headerLengthBytes, totalLengthBytes),
  };
  return { ok: true, packet };
}

function findDefect(bytes: Uint8Array): HeaderDefect | undefined {
  const first = bytes[0];
  if (first === undefined) return 'truncated';
  if (first >> 4 === 6) return 'ipv6Unsupported';
  if (bytes.length < MIN_HEADER_BYTES) return 'truncated';
  if (first >> 4 !== 4) return 'badVersion';
  const headerLength = (first & 0x0f) * 4;
  if (headerLength < MIN_HEADER_BYTES || headerLength > bytes.length) return 'badHeaderLength';
  const totalLength = viewOf(bytes).getUint16(2);
  if (totalLength < headerLength || totalLength > bytes.length) return 'badTotalLength';
  return undefined;
}

/** Whether the header's checksum is right. */
export function hasRightHeaderChecksum(packet: Ipv4Packet): boolean {
  return internetChecksum(packet.bytes.subarray(0, packet.header.headerLengthBytes)) === 0;
}

/**
 * Builds a packet; lengths and checksum are computed.
 * @throws RangeError where options or payload do not fit: a programming error.
 */
export function encodeIpv4(fields: Ipv4Fields, payload: Uint8Array): Uint8Array {
  const headerLength = MIN_HEADER_BYTES + fields.options.length;
  const totalLength = headerLength + payload.length;
  if (headerLength > MAX_HEADER_BYTES || headerLength % 4 !== 0) {
    throw new RangeError(`IPv4 options of ${fields.options.length} bytes`);
  }
  if (totalLength > MAX_PACKET_BYTES) throw new RangeError(`IPv4 packet of ${totalLength} bytes`);
  const flags = (fields.reservedFlag ? 4 : 0) | (fields.dontFragment ? 2 : 0) | (fields.moreFragments ? 1 : 0);
  const bytes = new Uint8Array(totalLength);
  const view = viewOf(bytes);
  view.setUint8(0, 0x40 | (headerLength / 4));
  view.setUint8(1, fields.tos);
  view.setUint16(2, totalLength);
  view.setUint16(4, fields.identification);
  view.setUint16(6, (flags << 13) | (fields.fragmentOffsetBytes / 8));
  view.setUint8(TTL_OFFSET, fields.ttl);
  view.setUint8(9, fields.protocol);
  view.setUint32(12, fields.source);
  view.setUint32(16, fields.destination);
  bytes.set(fields.options, MIN_HEADER_BYTES);
  bytes.set(payload, headerLength);
  view.setUint16(CHECKSUM_OFFSET, internetChecksum(bytes.subarray(0, headerLength)));
  return bytes;
}

/**
 * A copy of the packet with its TTL one lower and the checksum updated, not recomputed: a wrong one stays wrong, so
 * that damage is never blessed. The TTL must not be 0.
 */
export function decrementTtl(packet: Ipv4Packet): Uint8Array {
  const bytes = packet.bytes.slice();
  const view = viewOf(bytes);
  const oldWord = view.getUint16(TTL_OFFSET);
  const newWord = oldWord - 0x0100;
  view.setUint16(TTL_OFFSET, newWord);
  view.setUint16(CHECKSUM_OFFSET, updateChecksum(packet.header.headerChecksum, oldWord, newWord));
  return bytes;
}
