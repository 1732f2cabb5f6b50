/**
 * Which subnet a host gets: the decisions of lease acquisition as functions of values. In order: the lease that
 * already names the host's public IP, the subnet it held before (from the subnet file), a free one at random.
 */
import {
  baseAddress,
  contains,
  type IpAddress,
  isUnspecified,
  lastAddress,
  overlaps,
  type Prefix,
  sameAddress,
  sizeOf,
} from '../ip/ip.ts';
import type { NetworkConfig } from '../network-config/network-config.ts';
import type { Lease, Subnet } from './lease.ts';

/**
 * How many free subnets are drawn from. Drawing from several keeps hosts that start in the same instant apart;
 * flanneld uses the same number.
 */
export const MAX_CANDIDATES = 100;

/** What the listed leases hold for this host. */
export type OwnLease<L extends Lease> =
  | { readonly kind: 'none' }
  /** Take it over again. */
  | { readonly kind: 'reusable'; readonly lease: L }
  /** It no longer fits the configuration: to be deleted. */
  | { readonly kind: 'incompatible'; readonly lease: L };

/**
 * Finds the host's own lease by public IP. flanneld looks at the first match alone; here a lease that fits the
 * configuration is preferred wherever it stands in the list, so that a stale one before it costs the host no subnet.
 * 0.0.0.0 is nobody's address and matches nothing.
 */
export function findOwn<L extends Lease>(
  leases: readonly L[],
  publicIp: IpAddress,
  config: NetworkConfig,
): OwnLease<L> {
  if (isUnspecified(publicIp)) return { kind: 'none' };
  const own = leases.filter((lease) => sameAddress(lease.attributes.publicIp, publicIp));
  const reusable = own.find((lease) => isCompatible(lease.subnet, config));
  if (reusable !== undefined) return { kind: 'reusable', lease: reusable };
  const first = own[0];
  return first === undefined ? { kind: 'none' } : { kind: 'incompatible', lease: first };
}

/** Whether the configuration could have handed out this subnet: right length, between SubnetMin and SubnetMax. */
export function isCompatible(subnet: Subnet, config: NetworkConfig): boolean {
  const { base, length } = subnet.ipv4;
  if (length !== config.subnetLength) return false;
  if (base < config.subnetMin.value || base > config.subnetMax.value) return false;
  return config.enableIpv6 ? isCompatibleIpv6(subnet.ipv6, config) : subnet.ipv6 === undefined;
}

function isCompatibleIpv6(ipv6: Prefix | undefined, config: NetworkConfig): boolean {
  const { ipv6SubnetLength, ipv6SubnetMin, ipv6SubnetMax } = config;
  if (ipv6 === undefined || ipv6SubnetMin === undefined || ipv6SubnetMax === undefined) return false;
  return ipv6.length === ipv6SubnetLength && ipv6.base >= ipv6SubnetMin.value && ipv6.base <= ipv6SubnetMax.value;
}

/**
 * Whether the subnet is a proper part of the network. A lease that is not (left over from another network, or a stray
 * key such as `0.0.0.0-0`) must get no route: it would catch traffic of others.
 */
export function isInsideNetwork(subnet: Subnet, config: NetworkConfig): boolean {
  return subnet.ipv4.length > config.network.length && contains(config.network, baseAddress(subnet.ipv4));
}

/** Whether the subnet of an earlier run can be leased again: it must fit the configuration and overlap no lease. */
export function judgePrevious(
  previous: Subnet,
  config: NetworkConfig,
  taken: readonly Prefix[],
): 'usable' | 'incompatible' | 'taken' {
  if (!isCompatible(previous, config)) return 'incompatible';
  return taken.some((prefix) => overlaps(prefix, previous.ipv4)) ? 'taken' : 'usable';
}

/**
 * Picks a subnet: uniform among the first 100 between SubnetMin and SubnetMax that overlap nothing taken. Costs a sort
 * of `taken` and one pass over it, whatever the size of the network.
 * @param taken every subnet that has a key, reservations included; any order and lengths.
 * @param random uniform in [0, 1).
 * @returns undefined where none is free.
 */
export function allocateSubnet(
  config: NetworkConfig,
  taken: readonly Prefix[],
  random: () => number,
): Subnet | undefined {
  const free = firstFree(config, taken);
  const base = free[Math.floor(random() * free.length)];
  return base === undefined ? undefined : { ipv4: { family: 4, base, length: config.subnetLength } };
}

function firstFree(config: NetworkConfig, taken: readonly Prefix[]): bigint[] {
  const size = sizeOf({ family: 4, base: 0n, length: config.subnetLength });
  const first = config.subnetMin.value;
  const occupied = taken.filter((prefix) => prefix.family === 4).sort((a, b) => Number(a.base - b.base));
  const free: bigint[] = [];
  let next = 0;
  for (let base = first; base <= config.subnetMax.value && free.length < MAX_CANDIDATES; ) {
    const obstacle = occupied[next];
    if (obstacle === undefined || obstacle.base >= base + size) {
      free.push(base);
      base += size;
      continue;
    }
    // Two prefixes are nested or disjoint, so an obstacle that starts before the end of this subnet and reaches into
    // it blocks all subnets up to its own last address.
    const blockedUpTo = lastAddress(obstacle).value;
    next++;
    if (blockedUpTo >= base) base += ((blockedUpTo - base) / size + 1n) * size;
  }
  return free;
}
