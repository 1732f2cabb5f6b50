/**
 * The last part of a lease's key, which names its subnet:
 *
 *     10.5.21.0-24                       IPv4
 *     10.5.21.0-24&fd00:5:15::-64        dual stack (the IPv4 part is always there)
 */
import { baseAddress, type Family, formatAddress, type Prefix, parseAddress, prefixOf } from '../ip/ip.ts';
import type { Subnet } from './lease.ts';

/** A canonical key has at most 19 + 1 + 43 characters; the rest is room for what the rule allows in front. */
const MAX_KEY_LENGTH = 512;

const KEY_TAIL = /([0-9]+)\.([0-9]+)\.([0-9]+)\.([0-9]+)-([0-9]+)(?:&([a-f0-9:]+)-([0-9]+))?$/;

/** flanneld reads the lengths as integers of 5 and 7 bits, hence no /32 and no /128. */
const MAX_IPV4_LENGTH = 31;
const MAX_IPV6_LENGTH = 127;

/**
 * Reads a key as flanneld does: the rule is anchored at the end only, so anything may stand in front of the first
 * octet; the hexadecimal digits are lowercase; a prefix length may have leading zeros. Use `isCanonicalKey` to tell
 * the key that a flanneld writes from others that name the same subnet.
 *
 * - Separators 2 and 3 match any character in flanneld's expression, but what matched must then parse as an address,
 *   so only dots ever pass: strict dots here accept the same keys.
 * - Octets above 255 and octets with leading zeros are refused by both.
 * - Host bits (`10.5.21.7-24`) are kept by flanneld, which leaves it with a route that can match nothing. Here the
 *   key is refused: no flanneld writes it, and cleared it would be a second name for another host's subnet.
 * - An IPv4-mapped IPv6 half is refused for the same reason.
 * - Keys longer than 512 characters are refused, to bound the work that a foreign key can cause.
 *
 * @param keyTail what follows `<prefix>/subnets/`.
 * @returns undefined where the key names no subnet.
 */
export function parseSubnetKey(keyTail: string): Subnet | undefined {
  if (keyTail.length > MAX_KEY_LENGTH) return undefined;
  const match = KEY_TAIL.exec(keyTail);
  if (match === null) return undefined;
  const ipv4 = parseNetwork(match.slice(1, 5).join('.'), match[5], 4, MAX_IPV4_LENGTH);
  if (ipv4 === undefined) return undefined;
  if (match[6] === undefined) return { ipv4 };
  const ipv6 = parseNetwork(match[6], match[7], 6, MAX_IPV6_LENGTH);
  return ipv6 === undefined ? undefined : { ipv4, ipv6 };
}

function parseNetwork(text: string, lengthText: string | undefined, family: Family, max: number): Prefix | undefined {
  const address = parseAddress(text);
  const length = Number(lengthText);
  if (address === undefined || address.family !== family || !(length <= max)) return undefined;
  const prefix = prefixOf(address, length);
  return prefix.base === address.value ? prefix : undefined;
}

/** The key that a flanneld writes for this subnet. */
export function formatSubnetKey(subnet: Subnet): string {
  const ipv4 = formatHalf(subnet.ipv4);
  return subnet.ipv6 === undefined ? ipv4 : `${ipv4}&${formatHalf(subnet.ipv6)}`;
}

function formatHalf(prefix: Prefix): string {
  return `${formatAddress(baseAddress(prefix))}-${prefix.length}`;
}

/** Whether `keyTail` is the one key that a flanneld would write for its subnet, not an alias of it. */
export function isCanonicalKey(keyTail: string): boolean {
  const subnet = parseSubnetKey(keyTail);
  return subnet !== undefined && formatSubnetKey(subnet) === keyTail;
}
