import { type IpAddress, isUnspecified, type Prefix, contains as prefixContains } from '../ip/ip.ts';
import type { Address } from '../rtnetlink/rtnetlink.ts';

const LINK_LOCAL: Prefix = { family: 4, base: 0xa9fe0000n, length: 16 };
const LOOPBACK: Prefix = { family: 4, base: 0x7f000000n, length: 8 };
const MULTICAST_AND_ABOVE = 0xe0000000n;
const RESERVED_FROM = 0xf0000000n;
const BROADCAST = 0xffffffffn;

/**
 * IPv4 addresses of one link that can face other hosts, the best first: global before link-local, permanent before
 * dynamic, primary before secondary, else the kernel's order. Deprecated, loopback and multicast ones are left out.
 */
export function usableAddresses(addresses: readonly Address[], index: number): IpAddress[] {
  return addresses
    .filter((each) => each.index === index && each.address.family === 4 && !each.deprecated)
    .filter((each) => isUnicast(each.address))
    .sort((a, b) => rank(a) - rank(b))
    .map((each) => each.address);
}

function rank(address: Address): number {
  return (
    (prefixContains(LINK_LOCAL, address.address) ? 4 : 0) + (address.permanent ? 0 : 2) + (address.secondary ? 1 : 0)
  );
}

/** Class E counts as unicast, as it does for Linux and for flannel. */
function isUnicast(address: IpAddress): boolean {
  if (isUnspecified(address) || prefixContains(LOOPBACK, address) || address.value === BROADCAST) return false;
  return address.value < MULTICAST_AND_ABOVE || address.value >= RESERVED_FROM;
}
