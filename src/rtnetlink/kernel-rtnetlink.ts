/** The contract over the native netlink socket: encode, ask, decode. */
import type { NativeAddon } from '../native/addon.ts';
import { decodeAddress, encodeDeleteAddress, encodeGetAddresses, encodeNewAddress } from './address.ts';
import { decodeLink, encodeDeleteLink, encodeGetLinks, encodeSetLink } from './link.ts';
import { decodeMessage, type Message, RTM } from './message.ts';
import {
  decodeRoute,
  encodeAddRoute,
  encodeDeleteRoute,
  encodeGetRoutes,
  encodeReplaceRoute,
  encodeRouteTo,
} from './route.ts';
import type { Rtnetlink } from './rtnetlink.ts';

/** Protocol number (netlink(7)). */
const NETLINK_ROUTE = 0;

/** What the kernel answers to a lookup that ends without a way out (ip-route(8): unreachable, prohibit). */
const NO_ROUTE_CODES: ReadonlySet<unknown> = new Set(['ENETUNREACH', 'EHOSTUNREACH', 'EACCES']);

/** The kernel of this process's network namespace. Every call is one synchronous request, answered from memory. */
export function kernelRtnetlink(native: Pick<NativeAddon, 'netlinkRequest'>): Rtnetlink {
  const ask = (request: Uint8Array, type: number): Message[] =>
    native
      .netlinkRequest(NETLINK_ROUTE, request)
      .map(decodeMessage)
      .filter((message) => message.type === type);
  const tell = (request: Uint8Array): void => {
    native.netlinkRequest(NETLINK_ROUTE, request);
  };
  return {
    links: () =>
      ask(encodeGetLinks(), RTM.newLink)
        .map(decodeLink)
        .sort((a, b) => a.index - b.index),
    addresses: () => ask(encodeGetAddresses(), RTM.newAddress).map(decodeAddress).filter(isDefined),
    routes: (family, table) =>
      ask(encodeGetRoutes(family), RTM.newRoute)
        .map(decodeRoute)
        .filter(isDefined)
        .filter((route) => table === undefined || route.table === table),
    routeTo: (address) => {
      const [answer] = orNone(() => ask(encodeRouteTo(address), RTM.newRoute));
      return answer === undefined ? undefined : decodeRoute(answer);
    },
    setLink: (change) => tell(encodeSetLink(change)),
    deleteLink: (index) => tell(encodeDeleteLink(index)),
    addAddress: (address) => tell(encodeNewAddress(address)),
    deleteAddress: (address) => tell(encodeDeleteAddress(address)),
    addRoute: (route) => tell(encodeAddRoute(route)),
    replaceRoute: (route) => tell(encodeReplaceRoute(route)),
    deleteRoute: (route) => tell(encodeDeleteRoute(route)),
  };
}

function isDefined<T>(value: T | undefined): value is T {
  return value !== undefined;
}

function orNone(lookup: () => Message[]): Message[] {
  try {
    return lookup();
  } catch (error) {
    if (error instanceof Error && 'code' in error && NO_ROUTE_CODES.has(error.code)) return [];
    throw error;
  }
}
