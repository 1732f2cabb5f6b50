/**
 * The value of a lease's key: JSON in the form that flanneld's Go structs give it.
 *
 *     {"PublicIP":"172.31.0.1","PublicIPv6":null}                                              udp
 *     {"PublicIP":"172.31.0.1","PublicIPv6":null,"BackendType":"vxlan","BackendData":{"VNI":1,...}}
 */
import { describeValue, type JsonNode, kindOf, occurrencesOf, parseJson, textOf } from '../go-json/go-json.ts';
import { contains, formatAddress, type IpAddress, isUnspecified, type Prefix, parseAddress } from '../ip/ip.ts';
import type { LeaseAttributes, RawJson } from './lease.ts';

/** The largest value that anyone writes (extension backend, command output) is far below; etcd would allow 1.5 MiB. */
export const MAX_LEASE_VALUE_BYTES = 64 * 1024;

export type LeaseValueResult =
  | { readonly ok: true; readonly attributes: LeaseAttributes }
  | { readonly ok: false; readonly problem: string };

const NO_ADDRESS: IpAddress = { family: 4, value: 0n };

/**
 * The value as flanneld writes it, byte for byte: fixed field order, `PublicIPv6` always there, the backend's fields
 * left out when empty, `<`, `>`, `&`, U+2028 and U+2029 escaped as Go's encoder does.
 */
export function encodeLeaseValue(attributes: LeaseAttributes): string {
  const { publicIp, publicIpv6, backendType, backendData, backendV6Data } = attributes;
  const fields = [
    `"PublicIP":"${formatAddress(publicIp)}"`,
    `"PublicIPv6":${publicIpv6 === undefined ? 'null' : `"${formatAddress(publicIpv6)}"`}`,
  ];
  if (backendType !== '') fields.push(`"BackendType":${quoteAsGo(backendType)}`);
  if (backendData !== undefined) fields.push(`"BackendData":${compactAsGo(backendData)}`);
  if (backendV6Data !== undefined) fields.push(`"BackendV6Data":${compactAsGo(backendV6Data)}`);
  return `{${fields.join(',')}}`;
}

const HTML_SENSITIVE = /[<>&\u2028\u2029]/g;

function escapeForHtml(json: string): string {
  return json.replace(HTML_SENSITIVE, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

/** Go (1.18, which built v0.20.2) knows no short form of backspace and form feed; a lone surrogate it cannot hold. */
function quoteAsGo(text: string): string {
  const wellFormed = text.replace(/\p{Surrogate}/gu, '\ufffd');
  const quoted = JSON.stringify(wellFormed).replace(/\\[\\"nrtbf]/g, (short) => {
    if (short === '\\b') return '\\u0008';
    return short === '\\f' ? '\\u000c' : short;
  });
  return escapeForHtml(quoted);
}

/** Raw JSON keeps its spelling (numbers, escapes, field order); only the white space between tokens goes. */
function compactAsGo(json: RawJson): string {
  return escapeForHtml(json.replace(/("(?:[^"\\]|\\.)*")|[ \t\r\n]+/g, (_, text?: string) => text ?? ''));
}

/**
 * Reads a value as flanneld does: names match without regard to case, the last of repeated fields counts, unknown
 * fields are ignored, and every backend's shape passes. A missing `PublicIP` (or the value `null`) gives 0.0.0.0:
 * such a lease holds its subnet but nothing can be sent to it (see `canReceive`). A null or unreadable `PublicIP` is
 * an error. An IPv4 address in `PublicIPv6` reads as none.
 */
export function decodeLeaseValue(bytes: Uint8Array): LeaseValueResult {
  if (bytes.length > MAX_LEASE_VALUE_BYTES) {
    return { ok: false, problem: `value of ${bytes.length} bytes, more than the ${MAX_LEASE_VALUE_BYTES} allowed` };
  }
  const text = new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes);
  const parsed = parseJson(text, MAX_LEASE_VALUE_BYTES);
  if (!parsed.ok) return { ok: false, problem: `value is not JSON: ${parsed.problem}` };
  const { root } = parsed;
  if (root.type === 'null') return { ok: true, attributes: { publicIp: NO_ADDRESS, backendType: '' } };
  if (root.type !== 'object') return { ok: false, problem: `value is ${kindOf(root)}, not an object` };
  try {
    return { ok: true, attributes: readAttributes(text, root) };
  } catch (error) {
    if (error instanceof BadField) return { ok: false, problem: error.message };
    throw error;
  }
}

class BadField extends Error {}

function readAttributes(text: string, root: JsonNode): LeaseAttributes {
  const publicIp = last(occurrencesOf(root, 'PublicIP').map((node) => readPublicIp(text, node))) ?? NO_ADDRESS;
  const publicIpv6 = last(occurrencesOf(root, 'PublicIPv6').map((node) => readPublicIpv6(text, node)));
  // Go leaves a string as it was when it meets null.
  const backendType = last(occurrencesOf(root, 'BackendType').filter(isNotNull).map(readBackendType)) ?? '';
  const backendData = last(occurrencesOf(root, 'BackendData'));
  const backendV6Data = last(occurrencesOf(root, 'BackendV6Data'));
  return {
    publicIp,
    backendType,
    ...(publicIpv6 && { publicIpv6 }),
    ...(backendData && { backendData: textOf(text, backendData) }),
    ...(backendV6Data && { backendV6Data: textOf(text, backendV6Data) }),
  };
}

function last<T>(items: readonly T[]): T | undefined {
  return items[items.length - 1];
}

function isNotNull(node: JsonNode): boolean {
  return node.type !== 'null';
}

function readPublicIp(text: string, node: JsonNode): IpAddress {
  const address = node.type === 'string' ? parseAddress(String(node.value)) : undefined;
  if (address?.family !== 4) throw new BadField(`PublicIP is ${describeValue(text, node)}, not an IPv4 address`);
  return address;
}

function readPublicIpv6(text: string, node: JsonNode): IpAddress | undefined {
  if (node.type === 'null') return undefined;
  const address = node.type === 'string' ? parseAddress(String(node.value)) : undefined;
  if (address === undefined) throw new BadField(`PublicIPv6 is ${describeValue(text, node)}, not an IPv6 address`);
  return address.family === 6 ? address : undefined;
}

function readBackendType(node: JsonNode): string {
  if (node.type !== 'string') throw new BadField(`BackendType is ${kindOf(node)}, not a string`);
  return String(node.value);
}

const MULTICAST: Prefix = { family: 4, base: 0xe0000000n, length: 4 };
const BROADCAST = 0xffffffffn;

/**
 * Whether datagrams may be sent to the lease's holder. Not to 0.0.0.0 (the value names no address), and not to a
 * group or broadcast address: one stray key must not make a host spray its overlay traffic.
 */
export function canReceive(attributes: LeaseAttributes): boolean {
  const { publicIp } = attributes;
  return !isUnspecified(publicIp) && !contains(MULTICAST, publicIp) && publicIp.value !== BROADCAST;
}
