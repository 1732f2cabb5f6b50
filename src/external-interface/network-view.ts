import { ROUTE_TABLE, type Rtnetlink } from '../rtnetlink/rtnetlink.ts';
import type { NetworkView } from './external-interface.ts';

/** Reads the host's state once; `routeTo` asks the kernel each time. */
export function readNetworkView(rtnetlink: Rtnetlink): NetworkView {
  return {
    links: rtnetlink.links(),
    addresses: rtnetlink.addresses(),
    routes: rtnetlink.routes(4, ROUTE_TABLE.main),
    routeTo: (address) => rtnetlink.routeTo(address),
  };
}
