/**
 * What the project asks of the kernel's rtnetlink (rtnetlink(7)) and the values it answers with. Numbers that the
 * kernel may extend (route types, protocols, scopes) stay numbers with named constants, so that a value from a newer
 * kernel is carried, not refused.
 */
import type { Family, IpAddress, Prefix } from '../ip/ip.ts';

/** RFC 2863 states in the order of IF_OPER_* (linux/if.h). */
export const OPER_STATES = ['unknown', 'notpresent', 'down', 'lowerlayerdown', 'testing', 'dormant', 'up'] as const;
export type OperState = (typeof OPER_STATES)[number];

/** In the order of IN6_ADDR_GEN_MODE_* (linux/if_link.h). */
export const IPV6_ADDRESS_GENERATIONS = ['eui64', 'none', 'stable-privacy', 'random'] as const;
export type Ipv6AddressGeneration = (typeof IPV6_ADDRESS_GENERATIONS)[number];

/** What the tun driver tells of its device (IFLA_TUN_*, linux/if_link.h). */
export interface TunInfo {
  readonly type: 'tun' | 'tap';
  readonly packetInfo: boolean;
  readonly vnetHeader: boolean;
  /** Survives the close of its last descriptor. */
  readonly persistent: boolean;
  readonly multiQueue: boolean;
  /** Attached queues; the kernel tells this for multi-queue devices only. */
  readonly queues?: number;
}

export interface Link {
  readonly index: number;
  readonly name: string;
  readonly mtuBytes: number;
  readonly txQueueLength: number;
  /** Administratively up (IFF_UP). */
  readonly up: boolean;
  /** The layer below is up (IFF_LOWER_UP); for a TUN: somebody holds a descriptor. */
  readonly lowerUp: boolean;
  readonly loopback: boolean;
  readonly operState: OperState;
  /** Driver kind (`tun`, `bridge`, `veth`); absent for hardware. */
  readonly kind?: string;
  readonly tun?: TunInfo;
  readonly alias?: string;
  /** Index of the bridge or bond that this link is a port of. */
  readonly master?: number;
  /** The device's own `accept_local`; absent where the link has no IPv4 configuration. */
  readonly acceptLocal?: boolean;
  /** Whether IPv6 runs on the link: false as well where the kernel has no IPv6. */
  readonly ipv6Enabled: boolean;
  /** How the kernel makes the link's own IPv6 addresses; absent where it has no IPv6. */
  readonly ipv6AddressGeneration?: Ipv6AddressGeneration;
}

/** Changes of one link; what is absent stays as it is. */
export interface LinkChange {
  readonly index: number;
  readonly mtuBytes?: number;
  readonly txQueueLength?: number;
  readonly up?: boolean;
  /** At most 255 bytes of UTF-8. */
  readonly alias?: string;
  /** The same as writing net.ipv4.conf.NAME.accept_local, but works where /proc/sys is mounted read-only. */
  readonly acceptLocal?: boolean;
  /** `none`: the kernel makes no link-local address of its own. */
  readonly ipv6AddressGeneration?: Ipv6AddressGeneration;
}

export const SCOPE = { universe: 0, site: 200, link: 253, host: 254, nowhere: 255 } as const;

/** One address of one link. */
export interface Address {
  readonly index: number;
  readonly address: IpAddress;
  readonly prefixLength: number;
  /** The other end of a point-to-point link, where it differs from `address`. */
  readonly peer?: IpAddress;
  readonly scope: number;
  readonly label?: string;
  /** Set by hand or by a daemon, without a lifetime (not dynamic). */
  readonly permanent: boolean;
  /** Preferred lifetime is over (RFC 4862): not for new connections. */
  readonly deprecated: boolean;
  /** IPv6 privacy address (RFC 8981). */
  readonly temporary: boolean;
  /** IPv4: not the first address of its subnet. */
  readonly secondary: boolean;
  /** Duplicate detection has not finished, or has failed. */
  readonly tentative: boolean;
}

/** An address to set or to remove. */
export type AddressSpec = Pick<Address, 'index' | 'address' | 'prefixLength'> &
  Partial<Pick<Address, 'scope' | 'peer' | 'label'>>;

export const ROUTE_TABLE = { default: 253, main: 254, local: 255 } as const;
export const ROUTE_TYPE = {
  unicast: 1,
  local: 2,
  broadcast: 3,
  anycast: 4,
  multicast: 5,
  blackhole: 6,
  unreachable: 7,
  prohibit: 8,
  throw: 9,
} as const;
export const ROUTE_PROTOCOL = { unspecified: 0, redirect: 1, kernel: 2, boot: 3, static: 4, ra: 9, dhcp: 16 } as const;

/** One way out; a route has several of them (multipath), one, or none (blackhole). */
export interface RouteNextHop {
  /** Link index; absent where only a gateway is given to a change. */
  readonly index?: number;
  /** Router; absent: the destination is on the link. May be IPv6 on an IPv4 route (RFC 5549). */
  readonly gateway?: IpAddress;
  /** 1 to 256; the share of the flows. */
  readonly weight: number;
  /** The gateway counts as reachable on the link whatever the addresses say. */
  readonly onlink: boolean;
  /** The kernel does not use this way now (RTNH_F_DEAD). */
  readonly dead: boolean;
}

/** The metrics the project reads or sets (RTAX_*). */
export interface RouteMetrics {
  readonly mtuBytes?: number;
  /** The MTU is never lowered by path MTU discovery. */
  readonly mtuLocked?: boolean;
  readonly advertisedMssBytes?: number;
}

export interface Route {
  /** Length 0 is the default route. */
  readonly destination: Prefix;
  readonly table: number;
  readonly type: number;
  readonly scope: number;
  readonly protocol: number;
  readonly typeOfService: number;
  /** The metric of ip-route(8): the lowest wins; 0 is the best and what IPv4 routes have when none is given. */
  readonly priority: number;
  readonly preferredSource?: IpAddress;
  readonly nextHops: readonly RouteNextHop[];
  readonly metrics?: RouteMetrics;
}

/**
 * A route to set or to remove. Defaults: table main, type unicast, scope universe (prints as nothing in `ip route`),
 * protocol boot (what ip-route(8) uses), priority 0.
 */
export type RouteSpec = Pick<Route, 'destination'> & Partial<Route>;

/**
 * Requests to the kernel. Every function throws what the kernel answered: an error whose `code` is the errno's name
 * (`EEXIST`, `ENODEV`, `ESRCH`, `EPERM`), or a {@link NetlinkFormatError} where an answer is malformed.
 */
export interface Rtnetlink {
  /** All links, by rising index. */
  links(): Link[];
  addresses(): Address[];
  /** Routes of one family in the kernel's order; of every table where none is given. */
  routes(family: Family, table?: number): Route[];
  /**
   * The way a packet of this host's own would take now; its `table` says nothing.
   * @returns undefined where the host has no route, or one that refuses (unreachable, prohibit).
   */
  routeTo(address: IpAddress): Route | undefined;
  /** @throws ENODEV where the link has gone. */
  setLink(change: LinkChange): void;
  deleteLink(index: number): void;
  /** @throws EEXIST where the link has the address. */
  addAddress(address: AddressSpec): void;
  /** @throws EADDRNOTAVAIL where the link does not have it. */
  deleteAddress(address: AddressSpec): void;
  /** @throws EEXIST where a route to the destination with the same table, priority and TOS exists. */
  addRoute(route: RouteSpec): void;
  /** Adds, or replaces the route to the same destination with the same table, priority and TOS, whatever its device. */
  replaceRoute(route: RouteSpec): void;
  /** @throws ESRCH where there is no such route. */
  deleteRoute(route: RouteSpec): void;
}
