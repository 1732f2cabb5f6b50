/**
 * IP addresses and prefixes as values of the control plane.
 *
 * Both families share one shape: the address is an unsigned integer in network order (32 or 128 bits wide), held in a
 * bigint so that nothing above this module needs to know which family it handles. The packet path does not use this
 * module; there, addresses are bytes.
 */
import { isIPv6 } from 'node:net';

export type Family = 4 | 6;

/** One address; `value` is below 2^32 (family 4) or 2^128 (family 6). */
export interface IpAddress {
  readonly family: Family;
  readonly value: bigint;
}

/** A network: `base` has no bits set beyond `length`. */
export interface Prefix {
  readonly family: Family;
  readonly base: bigint;
  readonly length: number;
}

/** Address width in bits. */
export function widthOf(family: Family): 32 | 128 {
  return family === 4 ? 32 : 128;
}

/**
 * Parses an address as Go's `net.ParseIP` does (1.17 and later): dotted decimal without leading zeros, or IPv6 text
 * (RFC 4291) without a zone. An IPv4-mapped IPv6 address is an IPv4 address, as Go treats it.
 * @returns undefined where the text is no address.
 */
export function parseAddress(text: string): IpAddress | undefined {
  if (text.includes(':')) return parseIpv6(text);
  const value = parseIpv4Value(text);
  return value === undefined ? undefined : { family: 4, value };
}

function parseIpv4Value(text: string): bigint | undefined {
  const parts = text.split('.');
  if (parts.length !== 4) return undefined;
  let value = 0n;
  for (const part of parts) {
    if (!/^(0|[1-9][0-9]{0,2})$/.test(part)) return undefined;
    const octet = Number(part);
    if (octet > 255) return undefined;
    value = (value << 8n) | BigInt(octet);
  }
  return value;
}

const MAPPED_PREFIX = 0xffffn;

function parseIpv6(text: string): IpAddress | undefined {
  if (!isIPv6(text) || text.includes('%')) return undefined;
  let groupsText = text;
  const dotted = /^(.*:)([0-9.]+)$/.exec(text);
  if (dotted?.[1] !== undefined && dotted[2]?.includes('.')) {
    const tail = parseIpv4Value(dotted[2]);
    if (tail === undefined) return undefined;
    groupsText = `${dotted[1]}${(tail >> 16n).toString(16)}:${(tail & 0xffffn).toString(16)}`;
  }
  const [head = '', tail] = groupsText.split('::');
  const headGroups = head === '' ? [] : head.split(':');
  const tailGroups = tail === undefined || tail === '' ? [] : tail.split(':');
  const zeros = tail === undefined ? 0 : 8 - headGroups.length - tailGroups.length;
  const groups = [...headGroups, ...Array<string>(zeros).fill('0'), ...tailGroups];
  let value = 0n;
  for (const group of groups) value = (value << 16n) | BigInt(`0x${group}`);
  if (value >> 32n === MAPPED_PREFIX) return { family: 4, value: value & 0xffffffffn };
  return { family: 6, value };
}

/** Canonical text: dotted decimal, or RFC 5952 (lowercase, the longest run of zero groups shortened). */
export function formatAddress(address: IpAddress): string {
  return address.family === 4 ? formatIpv4(address.value) : formatIpv6(address.value);
}

function formatIpv4(value: bigint): string {
  return [24n, 16n, 8n, 0n].map((shift) => ((value >> shift) & 0xffn).toString()).join('.');
}

function formatIpv6(value: bigint): string {
  const groups = Array.from({ length: 8 }, (_, i) => ((value >> BigInt(112 - 16 * i)) & 0xffffn).toString(16));
  let best = { start: -1, length: 1 };
  for (let start = 0; start < 8; start++) {
    let length = 0;
    while (groups[start + length] === '0') length++;
    if (length > best.length) best = { start, length };
  }
  if (best.start < 0) return groups.join(':');
  return `${groups.slice(0, best.start).join(':')}::${groups.slice(best.start + best.length).join(':')}`;
}

/** Network mask of `length` leading ones. */
export function maskOf(family: Family, length: number): bigint {
  const width = widthOf(family);
  return ((1n << BigInt(length)) - 1n) << BigInt(width - length);
}

/** The network of `length` bits that holds `address`; host bits are cleared. */
export function prefixOf(address: IpAddress, length: number): Prefix {
  return { family: address.family, base: address.value & maskOf(address.family, length), length };
}

/**
 * Parses `ADDRESS/LENGTH` as Go's `net.ParseCIDR` does; host bits are cleared, and the length may have leading zeros.
 * The IPv4-mapped IPv6 form is refused: there Go counts the length from the first of 128 bits, which no IPv4 prefix
 * can express.
 * @returns undefined where the text is no CIDR.
 */
export function parsePrefix(text: string): Prefix | undefined {
  const match = /^([^/]+)\/([0-9]+)$/.exec(text);
  if (match?.[1] === undefined || match[2] === undefined) return undefined;
  const address = parseAddress(match[1]);
  const length = Number(match[2]);
  if (address === undefined || length > widthOf(address.family)) return undefined;
  if (address.family === 4 && match[1].includes(':')) return undefined;
  return prefixOf(address, length);
}

export function formatPrefix(prefix: Prefix): string {
  return `${formatAddress({ family: prefix.family, value: prefix.base })}/${prefix.length}`;
}

/** The first address of the network (its base) as an address. */
export function baseAddress(prefix: Prefix): IpAddress {
  return { family: prefix.family, value: prefix.base };
}

/** Number of addresses in the network. */
export function sizeOf(prefix: Prefix): bigint {
  return 1n << BigInt(widthOf(prefix.family) - prefix.length);
}

export function lastAddress(prefix: Prefix): IpAddress {
  return { family: prefix.family, value: prefix.base + sizeOf(prefix) - 1n };
}

export function contains(prefix: Prefix, address: IpAddress): boolean {
  return prefix.family === address.family && (address.value & maskOf(prefix.family, prefix.length)) === prefix.base;
}

export function overlaps(a: Prefix, b: Prefix): boolean {
  const shorter = a.length <= b.length ? a : b;
  return contains(shorter, baseAddress(shorter === a ? b : a));
}

export function samePrefix(a: Prefix, b: Prefix): boolean {
  return a.family === b.family && a.length === b.length && a.base === b.base;
}

export function sameAddress(a: IpAddress, b: IpAddress): boolean {
  return a.family === b.family && a.value === b.value;
}

/** Network-order bytes: 4 or 16 of them. */
export function addressToBytes(address: IpAddress): Uint8Array {
  const bytes = new Uint8Array(widthOf(address.family) / 8);
  let rest = address.value;
  for (let i = bytes.length - 1; i >= 0; i--) {
    bytes[i] = Number(rest & 0xffn);
    rest >>= 8n;
  }
  return bytes;
}

/** @throws RangeError unless there are 4 or 16 bytes: a programming error, never a matter of input. */
export function addressFromBytes(bytes: Uint8Array): IpAddress {
  if (bytes.length !== 4 && bytes.length !== 16) throw new RangeError(`address of ${bytes.length} bytes`);
  let value = 0n;
  for (const byte of bytes) value = (value << 8n) | BigInt(byte);
  return { family: bytes.length === 4 ? 4 : 6, value };
}

/** Unspecified (0.0.0.0, ::) */
export function isUnspecified(address: IpAddress): boolean {
  return address.value === 0n;
}
