/** How large a packet the overlay carries. */
import { OperatorError } from '../errors/errors.ts';
import { MAX_PACKET_BYTES, MIN_HEADER_BYTES } from './ipv4-header.ts';
import { UDP_HEADER_BYTES } from './udp-datagram.ts';

/** What encapsulation adds to a packet: the outer IPv4 header, without options, and the UDP header. */
export const OVERHEAD_BYTES = MIN_HEADER_BYTES + UDP_HEADER_BYTES;

/** Every IPv4 link carries this much (RFC 791, section 3.2), and Linux accepts no less for a TUN device. */
export const MIN_DEVICE_MTU_BYTES = 68;

/** The largest payload of one UDP datagram. */
export const MAX_DEVICE_MTU_BYTES = MAX_PACKET_BYTES - OVERHEAD_BYTES;

/**
 * MTU of the TUN device for an external interface of `externalMtuBytes`: 28 less, and never more than one datagram
 * can carry (the loopback's MTU of 65536 would allow one byte more).
 * @param interfaceName names the interface in the error.
 * @throws OperatorError (`host`) where nothing useful is left.
 */
export function deviceMtu(externalMtuBytes: number, interfaceName?: string): number {
  const mtuBytes = externalMtuBytes - OVERHEAD_BYTES;
  if (Number.isInteger(mtuBytes) && mtuBytes >= MIN_DEVICE_MTU_BYTES) return Math.min(mtuBytes, MAX_DEVICE_MTU_BYTES);
  const where = interfaceName === undefined ? 'the external interface' : `the external interface ${interfaceName}`;
  const neededBytes = MIN_DEVICE_MTU_BYTES + OVERHEAD_BYTES;
  throw new OperatorError(
    'host',
    `${where} has an MTU of ${externalMtuBytes} bytes, too small for the overlay, which needs at least ${neededBytes}: ` +
      'raise it (ip link set DEV mtu 1500) or choose another interface with --iface',
  );
}
