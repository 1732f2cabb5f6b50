/** Addresses: `ifaddrmsg` and IFA_* (rtnetlink(7), linux/if_addr.h). */
import { addressFromBytes, addressToBytes, type Family, type IpAddress, sameAddress, widthOf } from '../ip/ip.ts';
import {
  ADDRESS_FAMILY,
  type Attributes,
  encodeBytes,
  encodeMessage,
  encodeText,
  familyOf,
  LITTLE_ENDIAN,
  type Message,
  NetlinkFormatError,
  NLM_F,
  RTM,
  readText,
  readU32,
  splitBody,
  viewOf,
} from './message.ts';
import { type Address, type AddressSpec, SCOPE } from './rtnetlink.ts';

/** struct ifaddrmsg: family u8, prefix length u8, flags u8, scope u8, index u32 */
const IFADDRMSG_BYTES = 8;
const IFA = { address: 1, local: 2, label: 3, flags: 8 } as const;
/** The first bit means "secondary" for IPv4 and "temporary" for IPv6. */
const IFA_F = { secondary: 0x01, dadFailed: 0x08, deprecated: 0x20, tentative: 0x40, permanent: 0x80 } as const;

export function encodeGetAddresses(): Uint8Array {
  return encodeMessage(RTM.getAddress, NLM_F.dump, [new Uint8Array(IFADDRMSG_BYTES)]);
}

export function encodeNewAddress(spec: AddressSpec): Uint8Array {
  return encodeMessage(RTM.newAddress, NLM_F.ack | NLM_F.create | NLM_F.exclusive, addressBody(spec));
}

export function encodeDeleteAddress(spec: AddressSpec): Uint8Array {
  return encodeMessage(RTM.delAddress, NLM_F.ack, addressBody(spec));
}

function addressBody(spec: AddressSpec): Uint8Array[] {
  const header = new Uint8Array(IFADDRMSG_BYTES);
  const view = viewOf(header);
  view.setUint8(0, ADDRESS_FAMILY[spec.address.family]);
  view.setUint8(1, spec.prefixLength);
  view.setUint8(3, spec.scope ?? SCOPE.universe);
  view.setUint32(4, spec.index, LITTLE_ENDIAN);
  const body = [
    header,
    encodeBytes(IFA.local, addressToBytes(spec.address)),
    encodeBytes(IFA.address, addressToBytes(spec.peer ?? spec.address)),
  ];
  if (spec.label !== undefined) body.push(encodeText(IFA.label, spec.label));
  return body;
}

/**
 * @param message RTM_NEWADDR or RTM_DELADDR, as an answer or as a notification.
 * @returns undefined for an address that is neither IPv4 nor IPv6.
 * @throws NetlinkFormatError
 */
export function decodeAddress(message: Message): Address | undefined {
  const { header, attributes } = splitBody(message.body, IFADDRMSG_BYTES);
  const family = familyOf(header.getUint8(0));
  if (family === undefined) return undefined;
  const prefixLength = header.getUint8(1);
  if (prefixLength > widthOf(family)) throw new NetlinkFormatError(`prefix length ${prefixLength}`);
  const far = readAddress(attributes, IFA.address, family);
  const address = readAddress(attributes, IFA.local, family) ?? far;
  if (address === undefined) throw new NetlinkFormatError('address entry without an address');
  const flags = readU32(attributes, IFA.flags) ?? header.getUint8(2);
  const label = readText(attributes, IFA.label);
  return {
    index: header.getUint32(4, LITTLE_ENDIAN),
    address,
    prefixLength,
    ...(far !== undefined && !sameAddress(far, address) && { peer: far }),
    scope: header.getUint8(3),
    ...(label !== undefined && { label }),
    permanent: (flags & IFA_F.permanent) !== 0,
    deprecated: (flags & IFA_F.deprecated) !== 0,
    temporary: family === 6 && (flags & IFA_F.secondary) !== 0,
    secondary: family === 4 && (flags & IFA_F.secondary) !== 0,
    tentative: (flags & (IFA_F.tentative | IFA_F.dadFailed)) !== 0,
  };
}

/** @throws NetlinkFormatError where the attribute has not the size of an address of this family. */
export function readAddress(attributes: Attributes, type: number, family: Family): IpAddress | undefined {
  const value = attributes.get(type);
  if (value === undefined) return undefined;
  if (value.length !== widthOf(family) / 8) {
    throw new NetlinkFormatError(`attribute ${type}: address of ${value.length} bytes in family ${family}`);
  }
  return addressFromBytes(value);
}
