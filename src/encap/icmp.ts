/** ICMP (RFC 792): the message header, and the error that answers a packet which cannot be delivered. */
import { internetChecksum } from './checksum.ts';
import { encodeIpv4, type Ipv4Packet, PROTOCOL } from './ipv4-header.ts';

const ICMP_HEADER_BYTES = 8;

/** Destination unreachable, source quench, redirect, time exceeded, parameter problem. */
const ERROR_TYPES: ReadonlySet<number> = new Set([3, 4, 5, 11, 12]);

export const DESTINATION_UNREACHABLE = 3;
export const NET_UNREACHABLE_CODE = 0;

/** As the real flanneld sends; enough, since the answer has one hop to the container behind this host. */
const ANSWER_TTL = 8;

/** RFC 792: the offender's header and the first 64 bits of its data. */
const QUOTED_PAYLOAD_BYTES = 8;

export interface IcmpMessage {
  readonly type: number;
  readonly code: number;
  readonly checksum: number;
  /** Bytes 4 to 7, whose meaning depends on the type. */
  readonly rest: number;
  /** What follows: echo data, or the packet that an error quotes. A view of the bytes that were decoded. */
  readonly body: Uint8Array;
}

/** @returns undefined for fewer than 8 bytes. */
export function decodeIcmp(bytes: Uint8Array): IcmpMessage | undefined {
  if (bytes.length < ICMP_HEADER_BYTES) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return {
    type: view.getUint8(0),
    code: view.getUint8(1),
    checksum: view.getUint16(2),
    rest: view.getUint32(4),
    body: bytes.subarray(ICMP_HEADER_BYTES),
  };
}

export function isIcmpError(type: number): boolean {
  return ERROR_TYPES.has(type);
}

/**
 * Whether an ICMP error may be sent because of `offender` (RFC 1122, section 3.2.2; RFC 1812, section 4.3.2.7): not
 * for an ICMP error or what might be one, nor a later fragment, nor where the source is no single host, nor where the
 * destination is many hosts. An echo request is answered.
 */
export function owesAnswer(offender: Ipv4Packet): boolean {
  const { header, payload } = offender;
  if (header.fragmentOffsetBytes !== 0) return false;
  if (!isSingleHost(header.source) || isMulticast(header.destination) || header.destination === 0xffffffff)
    return false;
  if (header.protocol !== PROTOCOL.icmp) return true;
  const type = payload[0];
  return type !== undefined && !isIcmpError(type);
}

function isMulticast(address: number): boolean {
  return address >>> 28 === 0xe;
}

/** Not on network 0 ("this network"), no loopback, multicast, class E or broadcast. */
function isSingleHost(address: number): boolean {
  const network = address >>> 24;
  return network !== 0 && network !== 127 && network < 224;
}

/**
 * Net unreachable (type 3, code 0) for `offender`, as a packet for the TUN, from `deviceAddress` to the offender's
 * source. It quotes the offender as it was read: its header with options, and at most 8 bytes of what really followed.
 */
export function netUnreachable(offender: Ipv4Packet, deviceAddress: number): Uint8Array {
  const quote = offender.bytes.subarray(0, offender.header.headerLengthBytes + QUOTED_PAYLOAD_BYTES);
  const message = new Uint8Array(ICMP_HEADER_BYTES + quote.length);
  message[0] = DESTINATION_UNREACHABLE;
  message[1] = NET_UNREACHABLE_CODE;
  message.set(quote, ICMP_HEADER_BYTES);
  new DataView(message.buffer).setUint16(2, internetChecksum(message));
  return encodeIpv4(
    {
      tos: 0,
      identification: 0,
      reservedFlag: false,
      dontFragment: false,
      moreFragments: false,
      fragmentOffsetBytes: 0,
      ttl: ANSWER_TTL,
      protocol: PROTOCOL.icmp,
      source: deviceAddress,
      destination: offender.header.source,
      options: new Uint8Array(0),
    },
    message,
  );
}
