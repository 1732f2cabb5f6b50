/**
 * The UDP datagram (RFC 768): header of 8 bytes and payload. The overlay's own datagrams are built by the kernel; this
 * decodes captures of the underlay and the inner packets that trace shows.
 */
import { onesComplementSum } from './checksum.ts';
import { type Ipv4Header, PROTOCOL } from './ipv4-header.ts';

export const UDP_HEADER_BYTES = 8;

export interface UdpDatagram {
  readonly sourcePort: number;
  readonly destinationPort: number;
  /** 0 where the sender computed none. */
  readonly checksum: number;
  /** A view of the bytes that were decoded. */
  readonly payload: Uint8Array;
}

/**
 * @param bytes payload of an IPv4 packet that is no later fragment; bytes beyond the UDP length are cut off.
 * @returns undefined where header or length do not fit into `bytes`.
 */
export function decodeUdp(bytes: Uint8Array): UdpDatagram | undefined {
  if (bytes.length < UDP_HEADER_BYTES) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const length = view.getUint16(4);
  if (length < UDP_HEADER_BYTES || length > bytes.length) return undefined;
  return {
    sourcePort: view.getUint16(0),
    destinationPort: view.getUint16(2),
    checksum: view.getUint16(6),
    payload: bytes.subarray(UDP_HEADER_BYTES, length),
  };
}

type Endpoints = Pick<Ipv4Header, 'source' | 'destination'>;

/** Builds the datagram with its checksum over the pseudo-header of `endpoints`. */
export function encodeUdp(endpoints: Endpoints, datagram: Omit<UdpDatagram, 'checksum'>): Uint8Array {
  const bytes = new Uint8Array(UDP_HEADER_BYTES + datagram.payload.length);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, datagram.sourcePort);
  view.setUint16(2, datagram.destinationPort);
  view.setUint16(4, bytes.length);
  bytes.set(datagram.payload, UDP_HEADER_BYTES);
  const checksum = ~sumWithPseudoHeader(endpoints, bytes) & 0xffff;
  // On the wire 0 means "no checksum", so a computed 0 is sent as the other zero.
  view.setUint16(6, checksum === 0 ? 0xffff : checksum);
  return bytes;
}

/** Whether a whole, unfragmented datagram carries a right checksum or none. */
export function hasRightUdpChecksum(endpoints: Endpoints, datagramBytes: Uint8Array): boolean {
  if (decodeUdp(datagramBytes)?.checksum === 0) return true;
  return sumWithPseudoHeader(endpoints, datagramBytes) === 0xffff;
}

function sumWithPseudoHeader(endpoints: Endpoints, bytes: Uint8Array): number {
  const pseudo = new Uint8Array(12);
  const view = new DataView(pseudo.buffer);
  view.setUint32(0, endpoints.source);
  view.setUint32(4, endpoints.destination);
  view.setUint8(9, PROTOCOL.udp);
  view.setUint16(10, bytes.length);
  return onesComplementSum(bytes, onesComplementSum(pseudo));
}
