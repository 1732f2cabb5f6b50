import type { IpAddress, Prefix } from '../ip/ip.ts';

/** Where a datagram goes: the UDP endpoint of the flanneld that holds the destination's subnet. */
export interface NextHop {
  readonly address: IpAddress;
  readonly port: number;
}

export interface Route {
  readonly destination: Prefix;
  readonly nextHop: NextHop;
}

export type RouteChange =
  | { readonly kind: 'set'; readonly route: Route }
  | { readonly kind: 'delete'; readonly destination: Prefix };

/** What keeps a copy of the table for the packet path; all changes of one call become visible at once. */
export interface RouteSink {
  applyRoutes(changes: readonly RouteChange[]): void;
}
