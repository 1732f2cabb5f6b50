/**
 * Reads capture files: classic pcap (micro- and nanosecond) and pcapng, in either byte order, as tcpdump and dumpcap
 * write them (draft-ietf-opsawg-pcap, draft-ietf-opsawg-pcapng). Knows the link types Ethernet and raw IP.
 */

export const LINK_TYPE = { ethernet: 1, rawBsd: 12, raw: 101 } as const;

export interface CapturedFrame {
  /** Nanoseconds since 1970. */
  readonly timestampNs: bigint;
  readonly linkType: number;
  /** Length on the wire; more than `data` holds where the capture was cut short. */
  readonly originalLength: number;
  readonly data: Uint8Array;
}

const CLASSIC_MICRO = 0xa1b2c3d4;
const CLASSIC_NANO = 0xa1b23c4d;
const SECTION_HEADER = 0x0a0d0d0a;
const BYTE_ORDER_MAGIC = 0x1a2b3c4d;

/** @throws Error for a file that is no capture, or that ends inside a record. */
export function readCapture(file: Uint8Array): CapturedFrame[] {
  if (file.length < 12) throw new Error(`capture of ${file.length} bytes`);
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  if (view.getUint32(0) === SECTION_HEADER) return readPcapng(file, view);
  for (const littleEndian of [true, false]) {
    const magic = view.getUint32(0, littleEndian);
    if (magic === CLASSIC_MICRO) return readClassic(file, view, littleEndian, 1000n);
    if (magic === CLASSIC_NANO) return readClassic(file, view, littleEndian, 1n);
  }
  throw new Error(`no capture file: it begins with ${view.getUint32(0).toString(16)}`);
}

function slice(file: Uint8Array, start: number, length: number): Uint8Array {
  if (start + length > file.length) throw new Error(`capture ends inside the record at byte ${start}`);
  return file.subarray(start, start + length);
}

function readClassic(file: Uint8Array, view: DataView, littleEndian: boolean, unitNs: bigint): CapturedFrame[] {
  slice(file, 0, 24);
  const linkType = view.getUint32(20, littleEndian) & 0xffff;
  const frames: CapturedFrame[] = [];
  for (let offset = 24; offset < file.length; ) {
    slice(file, offset, 16);
    const seconds = BigInt(view.getUint32(offset, littleEndian));
    const fraction = BigInt(view.getUint32(offset + 4, littleEndian));
    const data = slice(file, offset + 16, view.getUint32(offset + 8, littleEndian));
    const originalLength = view.getUint32(offset + 12, littleEndian);
    frames.push({ timestampNs: seconds * 1_000_000_000n + fraction * unitNs, linkType, originalLength, data });
    offset += 16 + data.length;
  }
  return frames;
}

interface CaptureInterface {
  readonly linkType: number;
  readonly snapLength: number;
  readonly unitsPerSecond: bigint;
}

const BLOCK = { interface: 1, simplePacket: 3, enhancedPacket: 6 } as const;

function readPcapng(file: Uint8Array, view: DataView): CapturedFrame[] {
  const frames: CapturedFrame[] = [];
  let interfaces: CaptureInterface[] = [];
  let littleEndian = true;
  for (let offset = 0; offset < file.length; ) {
    slice(file, offset, 12);
    // The type of a section header reads the same in both byte orders.
    if (view.getUint32(offset) === SECTION_HEADER) {
      littleEndian = view.getUint32(offset + 8, true) === BYTE_ORDER_MAGIC;
      if (!littleEndian && view.getUint32(offset + 8) !== BYTE_ORDER_MAGIC) throw new Error('pcapng byte order');
      interfaces = [];
    }
    const type = view.getUint32(offset, littleEndian);
    const length = view.getUint32(offset + 4, littleEndian);
    if (length < 12 || length % 4 !== 0) throw new Error(`pcapng block of ${length} bytes at byte ${offset}`);
    const block = slice(file, offset, length);
    const body = new DataView(block.buffer, block.byteOffset + 8, length - 12);
    if (type === BLOCK.interface) interfaces.push(readInterface(body, littleEndian));
    if (type === BLOCK.enhancedPacket) frames.push(readEnhanced(body, littleEndian, interfaces));
    if (type === BLOCK.simplePacket) frames.push(readSimple(body, littleEndian, interfaces));
    offset += length;
  }
  return frames;
}

const OPTION = { end: 0, timeResolution: 9 } as const;

function readInterface(body: DataView, littleEndian: boolean): CaptureInterface {
  let unitsPerSecond = 1_000_000n;
  for (let offset = 8; offset + 4 <= body.byteLength; ) {
    const code = body.getUint16(offset, littleEndian);
    const length = body.getUint16(offset + 2, littleEndian);
    if (code === OPTION.end) break;
    if (code === OPTION.timeResolution) {
      const resolution = body.getUint8(offset + 4);
      unitsPerSecond = (resolution & 0x80) !== 0 ? 2n ** BigInt(resolution & 0x7f) : 10n ** BigInt(resolution);
    }
    offset += 4 + ((length + 3) & ~3);
  }
  return {
    linkType: body.getUint16(0, littleEndian),
    snapLength: body.getUint32(4, littleEndian),
    unitsPerSecond,
  };
}

function dataOf(body: DataView, offset: number, length: number): Uint8Array {
  if (offset + length > body.byteLength) throw new Error('pcapng packet longer than its block');
  return new Uint8Array(body.buffer, body.byteOffset + offset, length);
}

function readEnhanced(body: DataView, littleEndian: boolean, interfaces: readonly CaptureInterface[]): CapturedFrame {
  const from = interfaces[body.getUint32(0, littleEndian)];
  if (from === undefined) throw new Error('pcapng packet of an undeclared interface');
  const units = (BigInt(body.getUint32(4, littleEndian)) << 32n) | BigInt(body.getUint32(8, littleEndian));
  return {
    timestampNs: (units * 1_000_000_000n) / from.unitsPerSecond,
    linkType: from.linkType,
    originalLength: body.getUint32(16, littleEndian),
    data: dataOf(body, 20, body.getUint32(12, littleEndian)),
  };
}

/** A simple packet has no time stamp (0 here) and belongs to the first interface. */
function readSimple(body: DataView, littleEndian: boolean, interfaces: readonly CaptureInterface[]): CapturedFrame {
  const from = interfaces[0];
  if (from === undefined) throw new Error('pcapng packet of an undeclared interface');
  const originalLength = body.getUint32(0, littleEndian);
  const length = from.snapLength === 0 ? originalLength : Math.min(originalLength, from.snapLength);
  return { timestampNs: 0n, linkType: from.linkType, originalLength, data: dataOf(body, 4, length) };
}

const ETHERTYPE = { ipv4: 0x0800, vlan: 0x8100, providerVlan: 0x88a8, ipv6: 0x86dd } as const;

/**
 * The IP packet in a frame, link header (VLAN tags included) taken off; Ethernet padding stays.
 * @returns undefined for a frame that carries something else.
 * @throws Error for a link type this reader does not know.
 */
export function ipPacketOf(frame: CapturedFrame): Uint8Array | undefined {
  if (frame.linkType === LINK_TYPE.raw || frame.linkType === LINK_TYPE.rawBsd) return frame.data;
  if (frame.linkType !== LINK_TYPE.ethernet) throw new Error(`link type ${frame.linkType}`);
  const view = new DataView(frame.data.buffer, frame.data.byteOffset, frame.data.byteLength);
  for (let offset = 12; offset + 2 <= view.byteLength; offset += 4) {
    const etherType = view.getUint16(offset);
    if (etherType === ETHERTYPE.vlan || etherType === ETHERTYPE.providerVlan) continue;
    const isIp = etherType === ETHERTYPE.ipv4 || etherType === ETHERTYPE.ipv6;
    return isIp ? frame.data.subarray(offset + 2) : undefined;
  }
  return undefined;
}
