/** Hosts to choose from, written as a table. */

import type { NetworkView } from '../../src/external-interface/network-view.ts';
import { contains, type IpAddress, parseAddress, parsePrefix, prefixOf } from '../../src/ip/ip.ts';
import type { Address, Link, Route } from '../../src/rtnetlink/rtnetlink.ts';

export function ip(text: string): IpAddress {
  const address = parseAddress(text);
  if (address === undefined) throw new Error(`no address: ${text}`);
  return address;
}

export function net(text: string) {
  const prefix = parsePrefix(text);
  if (prefix === undefined) throw new Error(`no prefix: ${text}`);
  return prefix;
}

export interface LinkSketch {
  readonly name: string;
  readonly kind?: string;
  readonly mtuBytes?: number;
  /** `ADDRESS/LENGTH`, then any of the words deprecated, dynamic, secondary. */
  readonly addresses?: readonly string[];
}

export interface RouteSketch {
  readonly to: string;
  /** `DEVICE` or `DEVICE via GATEWAY`. */
  readonly hops: readonly string[];
  readonly source?: string;
  readonly priority?: number;
  readonly type?: number;
  readonly table?: number;
}

/** Links get the indexes 1, 2, ... in their order; each address brings the route to its network, as the kernel's do. */
export function sketch(links: readonly LinkSketch[], routes: readonly RouteSketch[] = []): NetworkView {
  const addresses = links.flatMap((link, i) => (link.addresses ?? []).map((text) => addressOf(i + 1, text)));
  const indexOf = (name: string) => {
    const position = links.findIndex((link) => link.name === name);
    return position < 0 ? 4711 : position + 1;
  };
  const all = [
    ...routes.map((each) => routeOf(each, indexOf)),
    ...addresses.filter((each) => each.prefixLength < 32 && each.address.family === 4).map(connectedRoute),
  ];
  return {
    links: links.map(linkOf),
    addresses,
    routes: all,
    routeTo: (address) =>
      [...all]
        .filter((route) => contains(route.destination, address))
        .sort((a, b) => b.destination.length - a.destination.length)[0],
  };
}

function linkOf(link: LinkSketch, position: number): Link {
  return {
    index: position + 1,
    name: link.name,
    mtuBytes: link.mtuBytes ?? 1500,
    txQueueLength: 1000,
    up: true,
    lowerUp: true,
    loopback: link.name === 'lo',
    operState: 'up',
    ipv6Enabled: true,
    ...(link.kind !== undefined && { kind: link.kind }),
  };
}

function addressOf(index: number, text: string): Address {
  const [cidr = '', ...words] = text.split(' ');
  const [address = '', length] = cidr.split('/');
  return {
    index,
    address: ip(address),
    prefixLength: Number(length),
    scope: 0,
    permanent: !words.includes('dynamic'),
    deprecated: words.includes('deprecated'),
    temporary: false,
    secondary: words.includes('secondary'),
    tentative: false,
  };
}

function connectedRoute(address: Address): Route {
  return {
    ...blankRoute,
    destination: prefixOf(address.address, address.prefixLength),
    scope: 253,
    protocol: 2,
    preferredSource: address.address,
    nextHops: [{ index: address.index, weight: 1, onlink: false, dead: false }],
  };
}

const blankRoute = { table: 254, type: 1, scope: 0, protocol: 3, typeOfService: 0, priority: 0 } as const;

function routeOf(route: RouteSketch, indexOf: (name: string) => number): Route {
  return {
    ...blankRoute,
    destination: net(route.to),
    priority: route.priority ?? 0,
    type: route.type ?? 1,
    table: route.table ?? 254,
    nextHops: route.hops.map((text) => {
      const [device = '', , gateway] = text.split(' ');
      return {
        index: indexOf(device),
        weight: 1,
        onlink: false,
        dead: false,
        ...(gateway !== undefined && { gateway: ip(gateway) }),
      };
    }),
    ...(route.source !== undefined && { preferredSource: ip(route.source) }),
  };
}
