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

/** Lines of a kind in one batch; the rest is a number. The first listing of a large network must not flood the log. */
const MAX_LINES = 16;

/**
 * The routes that a batch of lease changes means to this host. The own subnet has none: the kernel leads there. A
 * lease that cannot be routed to is said to be so, and any route it had before is withdrawn.
 */
export function routesOf(changes: readonly LeaseChange[], options: LeaseRoutesOptions): RouteChange[] {
  const foreign = changes.filter(({ lease }) => !samePrefix(lease.subnet.ipv4, options.ownSubnet));
  const judged = foreign.map((change) => ({
    change,
    problem: change.kind === 'set' ? problemOf(change.lease, options) : undefined,
  }));
  logUnroutable(
    judged.flatMap(({ change, problem }) => (problem === undefined ? [] : [{ lease: change.lease, problem }])),
    options.logger,
  );
  logPeers(
    judged.flatMap(({ change, problem }) => (problem === undefined ? [change] : [])),
    options.logger,
  );
  return judged.map(({ change: { kind, lease }, problem }): RouteChange => {
    const destination = lease.subnet.ipv4;
    if (kind === 'removed' || problem !== undefined) return { kind: 'delete', destination };
    return { kind: 'set', route: { destination, nextHop: { address: lease.attributes.publicIp, port: options.port } } };
  });
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

function logUnroutable(leases: readonly { readonly lease: Lease; readonly problem: string }[], logger: Logger): void {
  for (const { lease, problem } of leases.slice(0, MAX_LINES)) {
    const subnet = formatPrefix(lease.subnet.ipv4);
    logger.warn({ subnet }, `no route to ${subnet}: ${problem}`);
  }
  const count = leases.length - MAX_LINES;
  if (count > 0) logger.warn({ count }, `no routes to ${count} more subnets, for such reasons`);
}

function logPeers(changes: readonly LeaseChange[], logger: Logger): void {
  if (changes.length > MAX_LINES) {
    const added = changes.filter(({ kind }) => kind === 'set').length;
    logger.info({ set: added, removed: changes.length - added }, 'peers changed');
    return;
  }
  for (const { kind, lease } of changes) {
    const fields = { subnet: formatPrefix(lease.subnet.ipv4), publicIp: formatAddress(lease.attributes.publicIp) };
    logger.info(fields, kind === 'set' ? 'peer subnet added' : 'peer subnet removed');
  }
}
