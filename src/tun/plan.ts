/** The difference between the device as it is and as it should be, as a list of steps. */
import { baseAddress, formatPrefix, type Prefix, prefixOf, sameAddress, samePrefix } from '../ip/ip.ts';
import {
  type Address,
  type AddressSpec,
  type Link,
  type LinkChange,
  ROUTE_PROTOCOL,
  ROUTE_TABLE,
  ROUTE_TYPE,
  type Route,
  type RouteSpec,
  SCOPE,
} from '../rtnetlink/rtnetlink.ts';
import { TUN_ALIAS, type TunDesiredState } from './tun.ts';

export interface TunObserved {
  readonly link: Link;
  /** Addresses of the device; others are ignored. */
  readonly addresses: readonly Address[];
  /** IPv4 routes of the main table. */
  readonly routes: readonly Route[];
}

export type TunAction =
  /** Turn IPv6 off on the device; where that cannot be done, `change` makes the kernel nearly silent. */
  | { readonly kind: 'silence-ipv6'; readonly change: LinkChange }
  | { readonly kind: 'accept-local'; readonly change: LinkChange }
  | { readonly kind: 'set-link'; readonly change: LinkChange }
  | { readonly kind: 'delete-address'; readonly address: AddressSpec }
  | { readonly kind: 'add-address'; readonly address: AddressSpec }
  | { readonly kind: 'link-up'; readonly change: LinkChange }
  | { readonly kind: 'add-route'; readonly route: RouteSpec }
  | { readonly kind: 'replace-route'; readonly route: RouteSpec };

/**
 * The steps in the order they must be taken: IPv6 is silenced before the link goes up (the kernel announces itself at
 * once), the route needs the link up. An empty list says that all is well.
 */
export function planTun(desired: TunDesiredState, observed: TunObserved): TunAction[] {
  const { link } = observed;
  const actions: TunAction[] = [];
  if (link.ipv6Enabled && link.ipv6AddressGeneration !== 'none') {
    actions.push({ kind: 'silence-ipv6', change: { index: link.index, ipv6AddressGeneration: 'none' } });
  }
  if (desired.acceptLocal && link.acceptLocal !== true) {
    actions.push({ kind: 'accept-local', change: { index: link.index, acceptLocal: true } });
  }
  const change = linkChange(desired, link);
  if (Object.keys(change).length > 1) actions.push({ kind: 'set-link', change });
  actions.push(...addressActions(desired, observed));
  if (!link.up) actions.push({ kind: 'link-up', change: { index: link.index, up: true } });
  return [...actions, ...routeActions(desired, observed)];
}

function linkChange(desired: TunDesiredState, link: Link): LinkChange {
  return {
    index: link.index,
    ...(link.alias !== TUN_ALIAS && { alias: TUN_ALIAS }),
    ...(link.mtuBytes !== desired.mtuBytes && { mtuBytes: desired.mtuBytes }),
    ...(link.txQueueLength !== desired.txQueueLength && { txQueueLength: desired.txQueueLength }),
  };
}

function addressActions(desired: TunDesiredState, { link, addresses }: TunObserved): TunAction[] {
  const wanted: AddressSpec = {
    index: link.index,
    address: baseAddress(desired.address),
    prefixLength: desired.address.length,
    scope: SCOPE.universe,
  };
  const present = addresses.filter((each) => each.index === link.index && each.address.family === 4);
  const isWanted = (each: Address) =>
    sameAddress(each.address, wanted.address) && each.prefixLength === wanted.prefixLength && each.peer === undefined;
  const stale = present.filter((each) => !isWanted(each));
  return [
    ...stale.map((each) => ({ kind: 'delete-address' as const, address: each })),
    ...(present.some(isWanted) ? [] : [{ kind: 'add-address' as const, address: wanted }]),
  ];
}

/** `ip route` prints it as "NETWORK dev NAME": scope universe and protocol boot are what it leaves out. */
function wantedRoute(desired: TunDesiredState, index: number): RouteSpec {
  return {
    destination: desired.route,
    table: ROUTE_TABLE.main,
    type: ROUTE_TYPE.unicast,
    scope: SCOPE.universe,
    protocol: ROUTE_PROTOCOL.boot,
    nextHops: [{ index, weight: 1, onlink: false, dead: false }],
  };
}

function routeActions(desired: TunDesiredState, { link, routes }: TunObserved): TunAction[] {
  const route = wantedRoute(desired, link.index);
  // Routes of a link that is down are gone, or go before it comes up.
  const existing = link.up
    ? routes.find((each) => isSamePlace(each, desired.route) && leadsTo(each, link.index))
    : undefined;
  if (existing === undefined) return [{ kind: 'add-route', route }];
  const isRight =
    existing.scope === route.scope &&
    existing.protocol === route.protocol &&
    existing.preferredSource === undefined &&
    existing.nextHops[0]?.gateway === undefined;
  return isRight ? [] : [{ kind: 'replace-route', route }];
}

/** The place in the table that our route takes: the kernel allows one route there. */
function isSamePlace(route: Route, network: Prefix): boolean {
  return samePrefix(route.destination, network) && route.priority === 0 && route.typeOfService === 0;
}

function leadsTo(route: Route, index: number): boolean {
  return route.type === ROUTE_TYPE.unicast && route.nextHops.length === 1 && route.nextHops[0]?.index === index;
}

/**
 * A route to the overlay network that is not ours. It would keep ours out (priority 0), or wait to take the traffic as
 * soon as ours goes away.
 */
export function findRouteConflict(desired: TunDesiredState, observed: TunObserved): Route | undefined {
  return observed.routes.find(
    (route) => samePrefix(route.destination, desired.route) && !leadsTo(route, observed.link.index),
  );
}

/** One step in words, for errors and the log. */
export function describeAction(action: TunAction): string {
  switch (action.kind) {
    case 'silence-ipv6':
      return 'turn IPv6 off';
    case 'accept-local':
      return 'set accept_local';
    case 'set-link':
      return `set ${Object.entries(action.change)
        .filter(([key]) => key !== 'index')
        .map(([key, value]) => `${key} ${value}`)
        .join(', ')}`;
    case 'delete-address':
    case 'add-address': {
      const { address, prefixLength } = action.address;
      const text = formatPrefix({ ...prefixOf(address, prefixLength), base: address.value });
      return action.kind === 'add-address' ? `add address ${text}` : `remove address ${text}`;
    }
    case 'link-up':
      return 'bring the link up';
    case 'add-route':
    case 'replace-route':
      return `set the route to ${formatPrefix(action.route.destination)}`;
  }
}
