/** Judges what a capture of the underlay shows, packet by packet: a slow, obvious reading with no code of the core. */
import { internetChecksum, onesComplementSum } from '../../src/encap/checksum.ts';
import { decodeIpv4, hasRightHeaderChecksum, type Ipv4Packet, PROTOCOL } from '../../src/encap/ipv4-header.ts';
import { decodeUdp } from '../../src/encap/udp-datagram.ts';

export interface OverlayPacket {
  readonly outer: Ipv4Packet;
  readonly inner: Ipv4Packet;
  /** Everything that is wrong with it; empty for a sound one. */
  readonly defects: readonly string[];
}

/** @param bytes the IP packet on the underlay, without link header. */
export function judgeOverlayPacket(bytes: Uint8Array, mtuBytes: number): OverlayPacket {
  const outer = decoded(bytes, 'outer');
  const { moreFragments, fragmentOffsetBytes } = outer.header;
  const datagram = decodeUdp(outer.payload);
  if (datagram === undefined) throw new Error('an outer packet without a whole UDP datagram');
  const inner = decoded(datagram.payload, 'inner');
  const checks: [string, boolean][] = [
    [`${outer.header.totalLengthBytes} bytes on the wire`, outer.header.totalLengthBytes > mtuBytes],
    ['bytes behind the outer packet', bytes.length !== outer.header.totalLengthBytes],
    ['outer fragment', moreFragments || fragmentOffsetBytes !== 0],
    ['outer header checksum', !hasRightHeaderChecksum(outer)],
    ['outer UDP checksum', !isRightOrOpen(outer)],
    ['outer UDP length', datagram.payload.length !== outer.payload.length - 8],
    ['inner header checksum', !hasRightHeaderChecksum(inner)],
    ['inner total length', inner.header.totalLengthBytes !== datagram.payload.length],
    ['inner checksum', !hasRightTransportChecksum(inner)],
  ];
  return { outer, inner, defects: checks.flatMap(([name, isWrong]) => (isWrong ? [name] : [])) };
}

function decoded(bytes: Uint8Array, what: string): Ipv4Packet {
  const result = decodeIpv4(bytes);
  if (!result.ok) throw new Error(`${what} packet: ${result.defect}`);
  return result.packet;
}

/** One's complement sum of the pseudo-header (RFC 768, RFC 9293 3.1). */
function pseudoHeaderSum({ bytes, header, payload }: Ipv4Packet): number {
  return onesComplementSum(bytes.subarray(12, 20), header.protocol + payload.length);
}

/** A veth leaves the outer checksum open (CHECKSUM_PARTIAL): the field then holds the pseudo-header's sum. */
function isRightOrOpen(packet: Ipv4Packet): boolean {
  const field = decodeUdp(packet.payload)?.checksum;
  const pseudo = pseudoHeaderSum(packet);
  return field === 0 || field === pseudo || onesComplementSum(packet.payload, pseudo) === 0xffff;
}

function hasRightTransportChecksum(packet: Ipv4Packet): boolean {
  const { protocol, moreFragments, fragmentOffsetBytes } = packet.header;
  // A fragment's checksum is over more than it shows.
  if (moreFragments || fragmentOffsetBytes !== 0) return true;
  if (protocol === PROTOCOL.icmp) return internetChecksum(packet.payload) === 0;
  if (protocol === PROTOCOL.udp && decodeUdp(packet.payload)?.checksum === 0) return true;
  return onesComplementSum(packet.payload, pseudoHeaderSum(packet)) === 0xffff;
}

/** Payload bytes of an inner TCP segment; 0 for anything else. */
export function tcpPayloadBytes({ header, payload }: Ipv4Packet): number {
  return header.protocol === PROTOCOL.tcp ? payload.length - ((payload[12] ?? 0) >> 4) * 4 : 0;
}
