/** One selector and the interface it leads to. */
import { formatAddress, type IpAddress, sameAddress } from '../ip/ip.ts';
import { type Link, ROUTE_TYPE, type Route } from '../rtnetlink/rtnetlink.ts';
import { usableAddresses } from './address-choice.ts';
import type { NetworkView } from './network-view.ts';

/** `text` is the flag as the operator gave it. */
export type Selector = { readonly text: string } & (
  | { readonly kind: 'address'; readonly address: IpAddress }
  | { readonly kind: 'name'; readonly name: string }
  | { readonly kind: 'pattern'; readonly pattern: RegExp }
  | { readonly kind: 'can-reach'; readonly address: IpAddress }
  | { readonly kind: 'default-route' }
);

export type Outcome = { readonly link: Link; readonly address: IpAddress } | { readonly problem: string };

/** @returns the usable interface (IPv4 address, MTU above 0) that the selector leads to, or why there is none. */
export function candidateOf(view: NetworkView, selector: Selector): Outcome {
  switch (selector.kind) {
    case 'address':
      return byAddress(view, selector.address);
    case 'name': {
      const link = view.links.find((each) => each.name === selector.name);
      return link === undefined ? { problem: 'the host has no interface of this name' } : usable(view, link);
    }
    case 'pattern':
      return byPattern(view, selector.pattern);
    case 'can-reach':
      return byDestination(view, selector.address);
    case 'default-route':
      return byDefaultRoute(view);
  }
}

/** @param pinned the address to bind to; without it the best one of the interface. */
function usable(view: NetworkView, link: Link, pinned?: IpAddress): Outcome {
  if (link.mtuBytes === 0) return { problem: `interface ${link.name} has an MTU of 0` };
  const address = pinned ?? usableAddresses(view.addresses, link.index)[0];
  if (address === undefined) return { problem: `interface ${link.name} has no usable IPv4 address` };
  return { link, address };
}

/** Any address the host has, deprecated or loopback ones too: the operator asked for exactly this one. */
function byAddress(view: NetworkView, address: IpAddress): Outcome {
  const owner = view.addresses.find((each) => sameAddress(each.address, address));
  const link = view.links.find((each) => each.index === owner?.index);
  return link === undefined ? { problem: 'no interface of this host has the address' } : usable(view, link, address);
}

/** Addresses of all interfaces come before names; the address that matched is the one to bind to. */
function byPattern(view: NetworkView, pattern: RegExp): Outcome {
  const problems: string[] = [];
  const attempt = (link: Link, pinned?: IpAddress): Outcome | undefined => {
    const outcome = usable(view, link, pinned);
    if (!('problem' in outcome)) return outcome;
    problems.push(outcome.problem);
    return undefined;
  };
  for (const link of view.links) {
    const match = usableAddresses(view.addresses, link.index).find((each) => pattern.test(formatAddress(each)));
    const found = match && attempt(link, match);
    if (found) return found;
  }
  for (const link of view.links) {
    const found = pattern.test(link.name) ? attempt(link) : undefined;
    if (found) return found;
  }
  return { problem: problems[0] ?? 'it matches no IPv4 address and no name of an interface' };
}

function byDestination(view: NetworkView, destination: IpAddress): Outcome {
  const route = view.routeTo(destination);
  if (route === undefined) return { problem: 'the host has no route to it' };
  // The kernel answers with lo and its 64 KiB MTU, which faces nobody.
  if (route.type === ROUTE_TYPE.local) return byAddress(view, destination);
  const link = linkOf(view, route);
  if (link === undefined) return { problem: 'the route to it names no interface' };
  return usable(view, link, route.preferredSource);
}

function linkOf(view: NetworkView, route: Route): Link | undefined {
  return view.links.find((link) => link.index === route.nextHops[0]?.index);
}

function byDefaultRoute(view: NetworkView): Outcome {
  const [route] = view.routes
    .filter((each) => each.destination.length === 0 && each.type === ROUTE_TYPE.unicast)
    .sort((a, b) => a.priority - b.priority);
  if (route === undefined) return { problem: 'the host has no IPv4 default route' };
  const indexes = new Set(route.nextHops.map((hop) => hop.index));
  if (indexes.size > 1) {
    const names = view.links.filter((link) => indexes.has(link.index)).map((link) => link.name);
    return { problem: `it leads over several interfaces (${names.join(', ')})` };
  }
  const link = linkOf(view, route);
  return link === undefined ? { problem: 'it names no interface' } : usable(view, link);
}
