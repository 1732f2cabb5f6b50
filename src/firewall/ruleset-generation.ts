/**
 * The generation of the kernel's nftables ruleset: a number that every change of any rule raises, in this network
 * namespace. Asking for it costs one system call, where reading the rules costs two processes. Only iptables on
 * nftables changes it; the legacy back end has nothing of the kind.
 */
import type { NativeAddon } from '../native/addon.ts';

const NETLINK_NETFILTER = 12;
/** linux/netfilter/nfnetlink.h, nf_tables.h: subsystem and message in one number. */
const GET_GENERATION = (10 << 8) | 16;
const NEW_GENERATION = (10 << 8) | 15;
const REQUEST_FLAG = 1;
const HEADER_BYTES = 16;
/** nfgenmsg: family, version, resource id. */
const NFGENMSG_BYTES = 4;
/** NFTA_GEN_ID: 4 bytes in network order. */
const GENERATION_ATTRIBUTE = 1;
const ATTRIBUTE_TYPE_MASK = 0x3fff;

/** @returns undefined where the kernel does not tell: no nftables, no rights, an answer that cannot be read. */
export function readRulesetGeneration(native: Pick<NativeAddon, 'netlinkRequest'>): number | undefined {
  try {
    for (const message of native.netlinkRequest(NETLINK_NETFILTER, encodeRequest())) {
      const generation = decodeGeneration(message);
      if (generation !== undefined) return generation;
    }
  } catch {
    // Then the rules are read each time.
  }
  return undefined;
}

function encodeRequest(): Uint8Array {
  const request = new DataView(new ArrayBuffer(HEADER_BYTES + NFGENMSG_BYTES));
  request.setUint32(0, request.byteLength, true);
  request.setUint16(4, GET_GENERATION, true);
  request.setUint16(6, REQUEST_FLAG, true);
  return new Uint8Array(request.buffer);
}

/** Netlink is in host byte order; every machine that this runs on is little-endian. */
export function decodeGeneration(message: Uint8Array): number | undefined {
  const view = new DataView(message.buffer, message.byteOffset, message.byteLength);
  if (view.byteLength < HEADER_BYTES || view.getUint16(4, true) !== NEW_GENERATION) return undefined;
  for (let offset = HEADER_BYTES + NFGENMSG_BYTES; offset + 4 <= view.byteLength; ) {
    const length = view.getUint16(offset, true);
    if (length < 4 || offset + length > view.byteLength) return undefined;
    const type = view.getUint16(offset + 2, true) & ATTRIBUTE_TYPE_MASK;
    if (type === GENERATION_ATTRIBUTE && length === 8) return view.getUint32(offset + 4);
    offset += (length + 3) & ~3;
  }
  return undefined;
}
