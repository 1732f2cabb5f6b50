import type { IpAddress } from '../ip/ip.ts';
import { type Address, type Link, ROUTE_TABLE, type Route, type Rtnetlink } from '../rtnetlink/rtnetlink.ts';

/** What the choice looks at: one reading of the host's state. */
export interface NetworkView {
  /** By rising index. */
  readonly links: readonly Link[];
  readonly addresses: readonly Address[];
  /** IPv4 routes of the main table. */
  readonly routes: readonly Route[];
  /** The kernel's own answer; undefined where it has no route. */
  routeTo(address: IpAddress): Route | undefined;
}

/** Reads the host's state once; `routeTo` asks the kernel each time. */
export function readNetworkView(rtnetlink: Rtnetlink): NetworkView {
  return {
    links: rtnetlink.links(),
    addresses: rtnetlink.addresses(),
    routes: rtnetlink.routes(4, ROUTE_TABLE.main),
    routeTo: (address) => rtnetlink.routeTo(address),
  };
}
