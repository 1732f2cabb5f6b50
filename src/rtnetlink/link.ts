/** Links: `ifinfomsg` and IFLA_* (rtnetlink(7), linux/if_link.h). */
import {
  ADDRESS_FAMILY,
  type Attributes,
  encodeMessage,
  encodeNested,
  encodeText,
  encodeU8,
  encodeU32,
  LITTLE_ENDIAN,
  type Message,
  NetlinkFormatError,
  NLM_F,
  RTM,
  readNested,
  readText,
  readU8,
  readU32,
  splitBody,
  viewOf,
} from './message.ts';
import { IPV6_ADDRESS_GENERATIONS, type Link, type LinkChange, OPER_STATES, type TunInfo } from './rtnetlink.ts';

/** struct ifinfomsg: family u8, pad u8, type u16, index i32, flags u32, change u32 */
const IFINFOMSG_BYTES = 16;
const IFF = { up: 0x1, loopback: 0x8, lowerUp: 0x10000 } as const;
const IFLA = {
  name: 3,
  mtu: 4,
  master: 10,
  txQueueLength: 13,
  operState: 16,
  linkInfo: 18,
  alias: 20,
  afSpec: 26,
  extMask: 29,
} as const;
const IFLA_INFO = { kind: 1, data: 2 } as const;
const IFLA_TUN = { type: 3, packetInfo: 4, vnetHeader: 5, persist: 6, multiQueue: 7, queues: 8 } as const;
const TUN_TYPE_TAP = 2;
/** RTEXT_FILTER_SKIP_STATS: leaves some kilobytes of counters out of each answer. */
const SKIP_STATS = 8;

/** IFLA_INET_CONF, IFLA_INET6_CONF: arrays of 32-bit settings. */
const IFLA_INET_CONF = 1;
const IFLA_INET6 = { conf: 2, addressGeneration: 8 } as const;
/** IPV4_DEVCONF_ACCEPT_LOCAL counts from 1 (linux/ip.h); DEVCONF_DISABLE_IPV6 from 0 (linux/ipv6.h). */
const IPV4_ACCEPT_LOCAL = 23;
const IPV6_DISABLE = 26;

const ALIAS_MAX_BYTES = 255;

export function encodeGetLinks(): Uint8Array {
  return encodeMessage(RTM.getLink, NLM_F.dump, [ifinfomsg(0, 0, 0), encodeU32(IFLA.extMask, SKIP_STATS)]);
}

/** @throws RangeError for an alias that is too long: a programming error. */
export function encodeSetLink(change: LinkChange): Uint8Array {
  const attributes: Uint8Array[] = [];
  if (change.mtuBytes !== undefined) attributes.push(encodeU32(IFLA.mtu, change.mtuBytes));
  if (change.txQueueLength !== undefined) attributes.push(encodeU32(IFLA.txQueueLength, change.txQueueLength));
  if (change.alias !== undefined) {
    if (Buffer.byteLength(change.alias) > ALIAS_MAX_BYTES) throw new RangeError('link alias above 255 bytes');
    attributes.push(encodeText(IFLA.alias, change.alias));
  }
  const families = encodeFamilySettings(change);
  if (families.length > 0) attributes.push(encodeNested(IFLA.afSpec, families));
  const flags = change.up === true ? IFF.up : 0;
  const mask = change.up === undefined ? 0 : IFF.up;
  return encodeMessage(RTM.setLink, NLM_F.ack, [ifinfomsg(change.index, flags, mask), ...attributes]);
}

function encodeFamilySettings(change: LinkChange): Uint8Array[] {
  const families: Uint8Array[] = [];
  if (change.acceptLocal !== undefined) {
    const conf = encodeNested(IFLA_INET_CONF, [encodeU32(IPV4_ACCEPT_LOCAL, change.acceptLocal ? 1 : 0)]);
    families.push(encodeNested(ADDRESS_FAMILY[4], [conf]));
  }
  if (change.ipv6AddressGeneration !== undefined) {
    const mode = encodeU8(IFLA_INET6.addressGeneration, IPV6_ADDRESS_GENERATIONS.indexOf(change.ipv6AddressGeneration));
    families.push(encodeNested(ADDRESS_FAMILY[6], [mode]));
  }
  return families;
}

export function encodeDeleteLink(index: number): Uint8Array {
  return encodeMessage(RTM.delLink, NLM_F.ack, [ifinfomsg(index, 0, 0)]);
}

function ifinfomsg(index: number, flags: number, mask: number): Uint8Array {
  const bytes = new Uint8Array(IFINFOMSG_BYTES);
  const view = viewOf(bytes);
  view.setInt32(4, index, LITTLE_ENDIAN);
  view.setUint32(8, flags, LITTLE_ENDIAN);
  view.setUint32(12, mask, LITTLE_ENDIAN);
  return bytes;
}

/**
 * @param message RTM_NEWLINK or RTM_DELLINK, as an answer or as a notification.
 * @throws NetlinkFormatError
 */
export function decodeLink(message: Message): Link {
  const { header, attributes } = splitBody(message.body, IFINFOMSG_BYTES);
  const name = readText(attributes, IFLA.name);
  if (name === undefined) throw new NetlinkFormatError('link without a name');
  const flags = header.getUint32(8, LITTLE_ENDIAN);
  const info = readNested(attributes, IFLA.linkInfo);
  const kind = readText(info, IFLA_INFO.kind);
  const alias = readText(attributes, IFLA.alias);
  const master = readU32(attributes, IFLA.master);
  return {
    index: header.getInt32(4, LITTLE_ENDIAN),
    name,
    mtuBytes: readU32(attributes, IFLA.mtu) ?? 0,
    txQueueLength: readU32(attributes, IFLA.txQueueLength) ?? 0,
    up: (flags & IFF.up) !== 0,
    lowerUp: (flags & IFF.lowerUp) !== 0,
    loopback: (flags & IFF.loopback) !== 0,
    operState: OPER_STATES[readU8(attributes, IFLA.operState) ?? 0] ?? 'unknown',
    ...(kind !== undefined && { kind }),
    ...(kind === 'tun' && { tun: decodeTunInfo(readNested(info, IFLA_INFO.data)) }),
    ...(alias !== undefined && { alias }),
    ...(master !== undefined && { master }),
    ...decodeFamilySettings(attributes),
  };
}

function decodeTunInfo(data: Attributes): TunInfo {
  const queues = readU32(data, IFLA_TUN.queues);
  return {
    type: readU8(data, IFLA_TUN.type) === TUN_TYPE_TAP ? 'tap' : 'tun',
    packetInfo: readU8(data, IFLA_TUN.packetInfo) === 1,
    vnetHeader: readU8(data, IFLA_TUN.vnetHeader) === 1,
    persistent: readU8(data, IFLA_TUN.persist) === 1,
    multiQueue: readU8(data, IFLA_TUN.multiQueue) === 1,
    ...(queues !== undefined && { queues }),
  };
}

function decodeFamilySettings(
  attributes: Attributes,
): Pick<Link, 'acceptLocal' | 'ipv6Enabled' | 'ipv6AddressGeneration'> {
  const families = readNested(attributes, IFLA.afSpec);
  const inet = readNested(families, ADDRESS_FAMILY[4]).get(IFLA_INET_CONF);
  const inet6 = readNested(families, ADDRESS_FAMILY[6]);
  const acceptLocal = readSetting(inet, IPV4_ACCEPT_LOCAL - 1);
  const ipv6AddressGeneration = IPV6_ADDRESS_GENERATIONS[readU8(inet6, IFLA_INET6.addressGeneration) ?? -1];
  return {
    ...(acceptLocal !== undefined && { acceptLocal: acceptLocal !== 0 }),
    ipv6Enabled: readSetting(inet6.get(IFLA_INET6.conf), IPV6_DISABLE) === 0,
    ...(ipv6AddressGeneration !== undefined && { ipv6AddressGeneration }),
  };
}

/** Older kernels have shorter arrays: a setting that is not there is unknown, not malformed. */
function readSetting(settings: Uint8Array | undefined, position: number): number | undefined {
  if (settings === undefined || settings.length < 4 * (position + 1)) return undefined;
  return viewOf(settings).getInt32(4 * position, LITTLE_ENDIAN);
}
