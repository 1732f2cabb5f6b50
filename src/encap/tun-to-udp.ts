/** From the TUN to a peer: what becomes of a packet that the kernel routed into the device. */
import { netUnreachable, owesAnswer } from './icmp.ts';
import { decodeIpv4, decrementTtl } from './ipv4-header.ts';
import { type Dropped, drop } from './verdict.ts';

/** `Hop` is the caller's next hop; this room only hands it on. All bytes are copies. */
export type TunToUdpVerdict<Hop> =
  /** Send `datagram`, the inner packet with its TTL one lower, to `nextHop`. */
  | { readonly verdict: 'forward'; readonly datagram: Uint8Array; readonly nextHop: Hop }
  /** Write `packet`, an ICMP error, back to the TUN. */
  | { readonly verdict: 'answer'; readonly packet: Uint8Array }
  | Dropped;

/**
 * The header's checksum is not verified: the kernel made or checked it. The route comes before the TTL, so a packet
 * that would expire here and has no route is answered with net unreachable, as by the real flanneld.
 * @param packet one packet as read from the TUN; not changed.
 * @param lookup next hop for an IPv4 destination (unsigned 32 bits), the longest match.
 * @param deviceAddress the TUN device's own address, source of answers.
 */
export function tunToUdp<Hop>(
  packet: Uint8Array,
  lookup: (destination: number) => Hop | undefined,
  deviceAddress: number,
): TunToUdpVerdict<Hop> {
  const decoded = decodeIpv4(packet);
  if (!decoded.ok) return drop(decoded.defect);
  const inner = decoded.packet;
  if (inner.header.ttl === 0) return drop('ttlZero');
  const nextHop = lookup(inner.header.destination);
  if (nextHop === undefined) {
    if (!owesAnswer(inner)) return drop('noRoute');
    return { verdict: 'answer', packet: netUnreachable(inner, deviceAddress) };
  }
  if (inner.header.ttl === 1) return drop('ttlExpired');
  return { verdict: 'forward', datagram: decrementTtl(inner), nextHop };
}
