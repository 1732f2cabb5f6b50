/**
 * Does the overlay network collide with what the host itself uses? A route to the overlay would then take the host's
 * own traffic (an SSH session, the way to the other flannelds) into the tunnel, or a narrower route would keep overlay
 * traffic out of it.
 *
 *   an overlap                                         no overlap
 *   -----------------------------------------------    --------------------------------------------------------
 *   an address, or its on-link network, that shares    our own devices
 *   addresses with the overlay network                 bridges of containers (docker0, cni0, br-...) whose
 *   a route on the link to a network that holds the    network lies inside the overlay network; a veth with a
 *   overlay network (neighbours would be cut off)      single address of it (one container without a bridge)
 *   any route to the overlay network or to a part of   the default route, and a wider network behind a gateway:
 *   it, also one left behind by another backend        the longer prefix is meant to win
 *                                                      a refusing route (blackhole) of another length
 *
 * The external interface never counts as a container's, even if it is a bridge. Only the main table is looked at:
 * policy routing is the operator's own affair.
 */
import { OperatorError } from '../errors/errors.ts';
import {
  baseAddress,
  contains,
  formatAddress,
  formatPrefix,
  type IpAddress,
  overlaps,
  type Prefix,
  prefixOf,
  samePrefix,
} from '../ip/ip.ts';
import { type Link, ROUTE_TABLE, ROUTE_TYPE, type Route } from '../rtnetlink/rtnetlink.ts';
import type { NetworkView } from './network-view.ts';

export interface OverlapContext {
  /** Names of the devices that we make ourselves. */
  readonly ownDevices: readonly string[];
  /** Name of the interface that faces the other hosts. */
  readonly externalInterface?: string;
}

export type Overlap =
  | { readonly kind: 'address'; readonly address: IpAddress; readonly prefixLength: number; readonly device: string }
  | {
      readonly kind: 'route';
      readonly destination: Prefix;
      /** Absent for a refusing route (blackhole). */
      readonly device?: string;
      readonly gateway?: IpAddress;
    };

/** @returns the first overlap found, addresses before routes; undefined where there is none. */
export function findOverlap(
  network: Prefix,
  view: Pick<NetworkView, 'links' | 'addresses' | 'routes'>,
  context: OverlapContext,
): Overlap | undefined {
  const links = new Map(view.links.map((link) => [link.index, link]));
  for (const { index, address, prefixLength } of view.addresses) {
    const link = links.get(index);
    const onLink = prefixOf(address, prefixLength);
    if (link === undefined || !overlaps(network, onLink) || isOurs(link, onLink, network, context)) continue;
    return { kind: 'address', address, prefixLength, device: link.name };
  }
  for (const route of view.routes) {
    const found = route.table === ROUTE_TABLE.main ? routeOverlap(network, route, links, context) : undefined;
    if (found) return found;
  }
  return undefined;
}

function isOurs(link: Link, onLink: Prefix, network: Prefix, context: OverlapContext): boolean {
  if (context.ownDevices.includes(link.name)) return true;
  if (link.name === context.externalInterface) return false;
  const isInside = onLink.length > network.length && contains(network, baseAddress(onLink));
  if (link.kind === 'bridge') return isInside;
  return link.kind === 'veth' && isInside && onLink.length === 32;
}

function routeOverlap(
  network: Prefix,
  route: Route,
  links: ReadonlyMap<number, Link>,
  context: OverlapContext,
): Overlap | undefined {
  const { destination } = route;
  if (destination.length === 0 || !overlaps(network, destination)) return undefined;
  if (route.type !== ROUTE_TYPE.unicast) {
    return samePrefix(network, destination) ? { kind: 'route', destination } : undefined;
  }
  for (const hop of route.nextHops) {
    const link = links.get(hop.index ?? 0);
    if (link !== undefined && hop.gateway === undefined && isOurs(link, destination, network, context)) continue;
    if (link !== undefined && context.ownDevices.includes(link.name)) continue;
    if (hop.gateway !== undefined && destination.length < network.length) continue;
    return {
      kind: 'route',
      destination,
      ...(link !== undefined && { device: link.name }),
      ...(hop.gateway !== undefined && { gateway: hop.gateway }),
    };
  }
  return undefined;
}

/** The line for the operator. */
export function overlapError(network: Prefix, overlap: Overlap): OperatorError {
  const overlay = `the overlay network ${formatPrefix(network)}`;
  if (overlap.kind === 'address') {
    const address = `${formatAddress(overlap.address)}/${overlap.prefixLength}`;
    return new OperatorError(
      'host',
      `${overlay} overlaps address ${address} of this host's device ${overlap.device}; ` +
        'choose another Network in the configuration, or remove the address',
    );
  }
  const via = overlap.gateway === undefined ? '' : ` via ${formatAddress(overlap.gateway)}`;
  const device = overlap.device === undefined ? '' : ` dev ${overlap.device}`;
  const route = `${formatPrefix(overlap.destination)}${via}${device}`;
  return new OperatorError(
    'host',
    `${overlay} overlaps this host's route ${route}; choose another Network in the configuration, ` +
      `or remove the route if it is a leftover (ip route del ${formatPrefix(overlap.destination)}${via}${device})`,
  );
}
