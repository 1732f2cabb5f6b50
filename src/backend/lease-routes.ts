/** From the leases of the network to the routes of this host. */

import type { IpAddress, Prefix } from '../ip/ip.ts';
import { formatAddress, formatPrefix, sameAddress, samePrefix } from '../ip/ip.ts';
import { isInsideNetwork } from '../lease/allocator.ts';
import type { Lease } from '../lease/lease.ts';
import type { LeaseChange } from '../lease/lease-table.ts';
import { canReceive } from '../lease/lease-value.ts';
import type { Logger } from '../log/log.ts';
import type { NetworkConfig } from '../network-config/network-config.ts';
import type { RouteChange } from '../routing-table/route.ts';

export interface LeaseRoutesOptions {
  readonly config: NetworkConfig;
  readonly ownSubnet: Prefix;
  readonly ownPublicIp: IpAddress;
  /** Every host of a network sends from and to the same UDP port. */
  readonly port: number;
  readonly logger: Logger;
}

/** Above this, a batch is logged as two numbers: the first listing of a large network must not flood the log. */
const MAX_LOGGED_LEASES = 16;

/**
 * The routes that a batch of lease changes means to this host. The own subnet has none: the kernel leads there. A
 * lease that cannot be routed to is said to be so, and any route it had before is withdrawn.
 */
export function routesOf(changes: readonly LeaseChange[], options: LeaseRoutesOptions): RouteChange[] {
  const foreign = changes.filter(({ lease }) => !samePrefix(lease.subnet.ipv4, options.ownSubnet));
  const routes = foreign.map((change) => routeOf(change, options));
  logChanges(foreign, options.logger);
  return routes;
}

function routeOf({ kind, lease }: LeaseChange, options: LeaseRoutesOptions): RouteChange {
  const destination = lease.subnet.ipv4;
  if (kind === 'removed') return { kind: 'delete', destination };
  const problem = problemOf(lease, options);
  if (problem === undefined) {
    return { kind: 'set', route: { destination, nextHop: { address: lease.attributes.publicIp, port: options.port } } };
  }
  options.logger.warn({ subnet: formatPrefix(destination) }, `no route to ${formatPrefix(destination)}: ${problem}`);
  return { kind: 'delete', destination };
}

function problemOf(lease: Lease, { config, ownPublicIp }: LeaseRoutesOptions): string | undefined {
  const { publicIp } = lease.attributes;
  if (!isInsideNetwork(lease.subnet, config))
    return `its lease lies outside the network ${formatPrefix(config.network)}`;
  if (!canReceive(lease.attributes)) return `nothing can be sent to its PublicIP ${formatAddress(publicIp)}`;
  // Datagrams to ourselves would come back to the TUN and go out again until their TTL runs out.
  if (sameAddress(publicIp, ownPublicIp)) {
    return `its lease names this host's own PublicIP ${formatAddress(publicIp)} (a leftover, or two hosts with one address)`;
  }
  return undefined;
}

function logChanges(changes: readonly LeaseChange[], logger: Logger): void {
  if (changes.length > MAX_LOGGED_LEASES) {
    const added = changes.filter(({ kind }) => kind === 'set').length;
    logger.info({ set: added, removed: changes.length - added }, 'peers changed');
    return;
  }
  for (const { kind, lease } of changes) {
    const fields = { subnet: formatPrefix(lease.subnet.ipv4), publicIp: formatAddress(lease.attributes.publicIp) };
    logger.info(fields, kind === 'set' ? 'peer subnet added' : 'peer subnet removed');
  }
}
