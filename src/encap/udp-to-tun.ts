/** From a peer to the TUN: what becomes of a datagram that came to the port. */
import { decodeIpv4, decrementTtl, hasRightHeaderChecksum } from './ipv4-header.ts';
import { type Dropped, drop } from './verdict.ts';

export type UdpToTunVerdict =
  /** Write `packet`, a copy with its TTL one lower, to the TUN. */
  { readonly verdict: 'forward'; readonly packet: Uint8Array } | Dropped;

/**
 * @param datagram payload of one UDP datagram; not changed.
 * @param localAddresses this host's own addresses (unsigned 32 bits). No peer may use one as inner source: the device
 *   has `accept_local=1`, for the sake of our own ICMP answers, so the kernel no longer refuses such packets.
 */
export function udpToTun(datagram: Uint8Array, localAddresses: ReadonlySet<number>): UdpToTunVerdict {
  const decoded = decodeIpv4(datagram);
  if (!decoded.ok) return drop(decoded.defect);
  const inner = decoded.packet;
  if (!hasRightHeaderChecksum(inner)) return drop('badHeaderChecksum');
  if (inner.header.ttl === 0) return drop('ttlZero');
  if (localAddresses.has(inner.header.source)) return drop('martianSource');
  if (inner.header.ttl === 1) return drop('ttlExpired');
  return { verdict: 'forward', packet: decrementTtl(inner) };
}
