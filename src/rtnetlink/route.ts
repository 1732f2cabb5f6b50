/** Routes: `rtmsg`, `rtnexthop` and RTA_* (rtnetlink(7), linux/rtnetlink.h). */
import {
  addressFromBytes,
  addressToBytes,
  baseAddress,
  type Family,
  type IpAddress,
  prefixOf,
  widthOf,
} from '../ip/ip.ts';
import { readAddress } from './address.ts';
import {
  ADDRESS_FAMILY,
  type Attributes,
  align4,
  concatAligned,
  decodeAttributes,
  encodeBytes,
  encodeMessage,
  encodeNested,
  encodeU32,
  familyOf,
  LITTLE_ENDIAN,
  type Message,
  NetlinkFormatError,
  NLM_F,
  RTM,
  readNested,
  readU32,
  splitBody,
  viewOf,
} from './message.ts';
import {
  ROUTE_PROTOCOL,
  ROUTE_TABLE,
  ROUTE_TYPE,
  type Route,
  type RouteMetrics,
  type RouteNextHop,
  type RouteSpec,
  SCOPE,
} from './rtnetlink.ts';

/** struct rtmsg: family, dst len, src len, tos, table, protocol, scope, type (u8 each), flags u32 */
const RTMSG_BYTES = 12;
/** struct rtnexthop: length u16, flags u8, hops u8 (weight - 1), index i32; attributes follow */
const RTNEXTHOP_BYTES = 8;
const RTA = {
  destination: 1,
  outInterface: 4,
  gateway: 5,
  priority: 6,
  preferredSource: 7,
  metrics: 8,
  multipath: 9,
  table: 15,
  via: 18,
} as const;
const RTAX = { lock: 1, mtu: 2, advertisedMss: 8 } as const;
const RTNH_F = { dead: 1, onlink: 4 } as const;
/** rtm_table has 8 bits; larger tables are in RTA_TABLE alone. */
const TABLE_COMPAT = 252;

/** The kernel filters by family only: tables are told apart in the answer. */
export function encodeGetRoutes(family: Family): Uint8Array {
  const header = new Uint8Array(RTMSG_BYTES);
  header[0] = ADDRESS_FAMILY[family];
  return encodeMessage(RTM.getRoute, NLM_F.dump, [header]);
}

export function encodeRouteTo(address: IpAddress): Uint8Array {
  const header = new Uint8Array(RTMSG_BYTES);
  header[0] = ADDRESS_FAMILY[address.family];
  header[1] = widthOf(address.family);
  return encodeMessage(RTM.getRoute, NLM_F.ack, [header, encodeBytes(RTA.destination, addressToBytes(address))]);
}

export function encodeAddRoute(route: RouteSpec): Uint8Array {
  return encodeMessage(RTM.newRoute, NLM_F.ack | NLM_F.create | NLM_F.exclusive, routeBody(route));
}

export function encodeReplaceRoute(route: RouteSpec): Uint8Array {
  return encodeMessage(RTM.newRoute, NLM_F.ack | NLM_F.create | NLM_F.replace, routeBody(route));
}

export function encodeDeleteRoute(route: RouteSpec): Uint8Array {
  return encodeMessage(RTM.delRoute, NLM_F.ack, routeBody(route));
}

function routeBody(route: RouteSpec): Uint8Array[] {
  const { family, length } = route.destination;
  const table = route.table ?? ROUTE_TABLE.main;
  const nextHops = route.nextHops ?? [];
  const [only] = nextHops;
  const single = nextHops.length === 1 && only?.weight === 1 ? only : undefined;
  const header = new Uint8Array(RTMSG_BYTES);
  header.set([
    ADDRESS_FAMILY[family],
    length,
    0,
    route.typeOfService ?? 0,
    table > 255 ? TABLE_COMPAT : table,
    route.protocol ?? ROUTE_PROTOCOL.boot,
    route.scope ?? SCOPE.universe,
    route.type ?? ROUTE_TYPE.unicast,
  ]);
  viewOf(header).setUint32(8, single === undefined ? 0 : nextHopFlags(single), LITTLE_ENDIAN);
  const body = [header, encodeU32(RTA.table, table)];
  if (length > 0) body.push(encodeBytes(RTA.destination, addressToBytes(baseAddress(route.destination))));
  if (route.priority !== undefined && route.priority > 0) body.push(encodeU32(RTA.priority, route.priority));
  if (route.preferredSource) body.push(encodeBytes(RTA.preferredSource, addressToBytes(route.preferredSource)));
  if (route.metrics) body.push(encodeNested(RTA.metrics, metricAttributes(route.metrics)));
  if (single !== undefined) body.push(...singleHopAttributes(family, single));
  else if (nextHops.length > 0) {
    body.push(encodeBytes(RTA.multipath, concatAligned(nextHops.map((hop) => encodeNextHop(family, hop)))));
  }
  return body;
}

function metricAttributes(metrics: RouteMetrics): Uint8Array[] {
  const attributes: Uint8Array[] = [];
  if (metrics.mtuLocked === true) attributes.push(encodeU32(RTAX.lock, 1 << RTAX.mtu));
  if (metrics.mtuBytes !== undefined) attributes.push(encodeU32(RTAX.mtu, metrics.mtuBytes));
  if (metrics.advertisedMssBytes !== undefined) {
    attributes.push(encodeU32(RTAX.advertisedMss, metrics.advertisedMssBytes));
  }
  return attributes;
}

/** RTNH_F_DEAD is the kernel's to say: a request that carries it is refused. */
function nextHopFlags(hop: RouteNextHop): number {
  return hop.onlink ? RTNH_F.onlink : 0;
}

function singleHopAttributes(family: Family, hop: RouteNextHop): Uint8Array[] {
  const attributes = hop.index === undefined ? [] : [encodeU32(RTA.outInterface, hop.index)];
  return hop.gateway === undefined ? attributes : [...attributes, encodeGateway(family, hop.gateway)];
}

/** A gateway of the other family travels in RTA_VIA: family u16, then the address. */
function encodeGateway(family: Family, gateway: IpAddress): Uint8Array {
  const address = addressToBytes(gateway);
  if (gateway.family === family) return encodeBytes(RTA.gateway, address);
  const via = new Uint8Array(2 + address.length);
  viewOf(via).setUint16(0, ADDRESS_FAMILY[gateway.family], LITTLE_ENDIAN);
  via.set(address, 2);
  return encodeBytes(RTA.via, via);
}

function encodeNextHop(family: Family, hop: RouteNextHop): Uint8Array {
  const gateway = hop.gateway === undefined ? [] : [encodeGateway(family, hop.gateway)];
  const bytes = concatAligned([new Uint8Array(RTNEXTHOP_BYTES), ...gateway]);
  const view = viewOf(bytes);
  view.setUint16(0, bytes.length, LITTLE_ENDIAN);
  view.setUint8(2, nextHopFlags(hop));
  view.setUint8(3, hop.weight - 1);
  view.setInt32(4, hop.index ?? 0, LITTLE_ENDIAN);
  return bytes;
}

/**
 * @param message RTM_NEWROUTE or RTM_DELROUTE, as an answer or as a notification.
 * @returns undefined for a route that is neither IPv4 nor IPv6.
 * @throws NetlinkFormatError
 */
export function decodeRoute(message: Message): Route | undefined {
  const { header, attributes } = splitBody(message.body, RTMSG_BYTES);
  const family = familyOf(header.getUint8(0));
  if (family === undefined) return undefined;
  const length = header.getUint8(1);
  if (length > widthOf(family)) throw new NetlinkFormatError(`prefix length ${length}`);
  const destination = readAddress(attributes, RTA.destination, family) ?? { family, value: 0n };
  const preferredSource = readAddress(attributes, RTA.preferredSource, family);
  const metrics = attributes.has(RTA.metrics) ? decodeMetrics(readNested(attributes, RTA.metrics)) : undefined;
  return {
    destination: prefixOf(destination, length),
    table: readU32(attributes, RTA.table) ?? header.getUint8(4),
    type: header.getUint8(7),
    scope: header.getUint8(6),
    protocol: header.getUint8(5),
    typeOfService: header.getUint8(3),
    priority: readU32(attributes, RTA.priority) ?? 0,
    ...(preferredSource !== undefined && { preferredSource }),
    nextHops: decodeNextHops(attributes, family, header.getUint32(8, LITTLE_ENDIAN)),
    ...(metrics !== undefined && { metrics }),
  };
}

/** @returns undefined where the route has none of the metrics that the project knows. */
function decodeMetrics(attributes: Attributes): RouteMetrics | undefined {
  const mtuBytes = readU32(attributes, RTAX.mtu);
  const advertisedMssBytes = readU32(attributes, RTAX.advertisedMss);
  const mtuLocked = ((readU32(attributes, RTAX.lock) ?? 0) & (1 << RTAX.mtu)) !== 0;
  if (mtuBytes === undefined && advertisedMssBytes === undefined && !mtuLocked) return undefined;
  return {
    ...(mtuBytes !== undefined && { mtuBytes }),
    ...(mtuLocked && { mtuLocked }),
    ...(advertisedMssBytes !== undefined && { advertisedMssBytes }),
  };
}

function decodeNextHops(attributes: Attributes, family: Family, flags: number): RouteNextHop[] {
  const multipath = attributes.get(RTA.multipath);
  if (multipath !== undefined) return decodeMultipath(multipath, family);
  const index = readU32(attributes, RTA.outInterface);
  const gateway = decodeGateway(attributes, family);
  if (index === undefined && gateway === undefined) return [];
  return [nextHop(index, gateway, 1, flags)];
}

function decodeMultipath(bytes: Uint8Array, family: Family): RouteNextHop[] {
  const hops: RouteNextHop[] = [];
  const view = viewOf(bytes);
  let offset = 0;
  while (offset < bytes.length) {
    const rest = bytes.length - offset;
    const length = rest < RTNEXTHOP_BYTES ? 0 : view.getUint16(offset, LITTLE_ENDIAN);
    if (length < RTNEXTHOP_BYTES || length > rest) {
      throw new NetlinkFormatError(`next hop of length ${length} in ${rest} bytes`);
    }
    const attributes = decodeAttributes(bytes.subarray(offset + RTNEXTHOP_BYTES, offset + length));
    const index = view.getInt32(offset + 4, LITTLE_ENDIAN);
    const weight = view.getUint8(offset + 3) + 1;
    hops.push(nextHop(index || undefined, decodeGateway(attributes, family), weight, view.getUint8(offset + 2)));
    offset += align4(length);
  }
  return hops;
}

function nextHop(
  index: number | undefined,
  gateway: IpAddress | undefined,
  weight: number,
  flags: number,
): RouteNextHop {
  return {
    ...(index !== undefined && { index }),
    ...(gateway !== undefined && { gateway }),
    weight,
    onlink: (flags & RTNH_F.onlink) !== 0,
    dead: (flags & RTNH_F.dead) !== 0,
  };
}

function decodeGateway(attributes: Attributes, family: Family): IpAddress | undefined {
  const via = attributes.get(RTA.via);
  if (via === undefined) return readAddress(attributes, RTA.gateway, family);
  const viaFamily = via.length < 2 ? undefined : familyOf(viewOf(via).getUint16(0, LITTLE_ENDIAN));
  if (viaFamily === undefined || via.length !== 2 + widthOf(viaFamily) / 8) {
    throw new NetlinkFormatError(`RTA_VIA of ${via.length} bytes`);
  }
  return addressFromBytes(via.subarray(2));
}
