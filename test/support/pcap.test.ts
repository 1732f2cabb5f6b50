import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type CapturedFrame, ipPacketOf, LINK_TYPE, readCapture } from './pcap.ts';

/** Writers as simple as they can be, in either byte order: the oracle for the reader. */
function words(littleEndian: boolean, ...values: [bits: 16 | 32, value: number][]): Uint8Array {
  const buffer = Buffer.alloc(values.reduce((sum, [bits]) => sum + bits / 8, 0));
  let offset = 0;
  for (const [bits, value] of values) {
    if (bits === 16) littleEndian ? buffer.writeUInt16LE(value, offset) : buffer.writeUInt16BE(value, offset);
    else littleEndian ? buffer.writeUInt32LE(value, offset) : buffer.writeUInt32BE(value, offset);
    offset += bits / 8;
  }
  return buffer;
}

function writeClassic(frames: readonly CapturedFrame[], linkType: number, littleEndian: boolean, nano: boolean) {
  const magic = nano ? 0xa1b23c4d : 0xa1b2c3d4;
  const parts = [words(littleEndian, [32, magic], [16, 2], [16, 4], [32, 0], [32, 0], [32, 262144], [32, linkType])];
  for (const frame of frames) {
    const seconds = Number(frame.timestampNs / 1_000_000_000n);
    const fraction = Number((frame.timestampNs % 1_000_000_000n) / (nano ? 1n : 1000n));
    const lengths: [16 | 32, number][] = [
      [32, frame.data.length],
      [32, frame.originalLength],
    ];
    parts.push(words(littleEndian, [32, seconds], [32, fraction], ...lengths), frame.data);
  }
  return new Uint8Array(Buffer.concat(parts));
}

function block(littleEndian: boolean, type: number, body: Uint8Array): Uint8Array {
  const padded = Buffer.alloc((body.length + 3) & ~3);
  padded.set(body);
  const length = padded.length + 12;
  return Buffer.concat([words(littleEndian, [32, type], [32, length]), padded, words(littleEndian, [32, length])]);
}

function writePcapng(frames: readonly CapturedFrame[], linkType: number, littleEndian: boolean) {
  const all = [0xffffffff, 0xffffffff] as const;
  const section = words(littleEndian, [32, 0x1a2b3c4d], [16, 1], [16, 0], [32, all[0]], [32, all[1]]);
  // Interface with if_tsresol = 9 (nanoseconds), then the end of options.
  const resolution = Uint8Array.of(9, 0, 0, 0);
  const iface = [
    words(littleEndian, [16, linkType], [16, 0], [32, 0], [16, 9], [16, 1]),
    resolution,
    new Uint8Array(4),
  ];
  const parts = [block(littleEndian, 0x0a0d0d0a, section), block(littleEndian, 1, Buffer.concat(iface))];
  for (const frame of frames) {
    const high = Number(frame.timestampNs >> 32n);
    const low = Number(frame.timestampNs & 0xffffffffn);
    const head = words(
      littleEndian,
      [32, 0],
      [32, high],
      [32, low],
      [32, frame.data.length],
      [32, frame.originalLength],
    );
    // A block of an unknown type between packets must be passed over.
    parts.push(block(littleEndian, 0x0bad, Uint8Array.of(1, 2, 3)));
    parts.push(block(littleEndian, 6, Buffer.concat([head, frame.data])));
  }
  return new Uint8Array(Buffer.concat(parts));
}

const frames = (linkType: number, unitNs: bigint) =>
  fc.array(
    fc
      .record({
        units: fc.bigInt({ min: 0n, max: (0xffffffffn * 1_000_000_000n) / unitNs }),
        data: fc.uint8Array({ maxLength: 60 }),
        cut: fc.integer({ min: 0, max: 100 }),
      })
      .map(({ units, data, cut }) => ({
        timestampNs: units * unitNs,
        linkType,
        originalLength: data.length + cut,
        data,
      })),
    { maxLength: 8 },
  );

const plain = (frame: CapturedFrame) => ({ ...frame, data: [...frame.data] });

describe('readCapture', () => {
  const linkTypes = fc.constantFrom(LINK_TYPE.ethernet, LINK_TYPE.raw, LINK_TYPE.rawBsd);

  it('reads classic pcap in both byte orders and resolutions', () => {
    const cases = fc
      .tuple(linkTypes, fc.boolean(), fc.boolean())
      .chain(([linkType, littleEndian, nano]) =>
        frames(linkType, nano ? 1n : 1000n).map((wanted) => ({ linkType, littleEndian, nano, wanted })),
      );
    fc.assert(
      fc.property(cases, ({ linkType, littleEndian, nano, wanted }) => {
        const read = readCapture(writeClassic(wanted, linkType, littleEndian, nano));
        expect(read.map(plain)).toEqual(wanted.map(plain));
      }),
    );
  });

  it('reads pcapng in both byte orders', () => {
    const cases = fc
      .tuple(linkTypes, fc.boolean())
      .chain(([linkType, littleEndian]) => frames(linkType, 1n).map((wanted) => ({ linkType, littleEndian, wanted })));
    fc.assert(
      fc.property(cases, ({ linkType, littleEndian, wanted }) => {
        const read = readCapture(writePcapng(wanted, linkType, littleEndian));
        expect(read.map(plain)).toEqual(wanted.map(plain));
      }),
    );
  });

  it('refuses what is no capture, and one that ends inside a record', () => {
    const file = new Uint8Array(readFileSync(new URL('../golden/udp/flannel0-h1.pcap', import.meta.url)));
    expect(() => readCapture(file.subarray(0, file.length - 1))).toThrow('ends inside');
    expect(() => readCapture(new Uint8Array(40))).toThrow('no capture');
    expect(() => readCapture(new Uint8Array(3))).toThrow('3 bytes');
  });
});

describe('ipPacketOf', () => {
  const frame = (linkType: number, data: Uint8Array): CapturedFrame => {
    return { timestampNs: 0n, linkType, originalLength: data.length, data };
  };
  const macs = new Uint8Array(12);

  it('takes off Ethernet and VLAN headers', () => {
    const packet = Uint8Array.of(0x45, 1, 2, 3);
    expect(ipPacketOf(frame(LINK_TYPE.raw, packet))).toEqual(packet);
    expect(ipPacketOf(frame(LINK_TYPE.ethernet, Uint8Array.of(...macs, 8, 0, ...packet)))).toEqual(packet);
    const tagged = Uint8Array.of(...macs, 0x81, 0, 0, 7, 8, 0, ...packet);
    expect(ipPacketOf(frame(LINK_TYPE.ethernet, tagged))).toEqual(packet);
  });

  it('passes over what is not IP, and knows what it does not know', () => {
    expect(ipPacketOf(frame(LINK_TYPE.ethernet, Uint8Array.of(...macs, 8, 6, 0, 1)))).toBeUndefined();
    expect(ipPacketOf(frame(LINK_TYPE.ethernet, macs))).toBeUndefined();
    expect(() => ipPacketOf(frame(105, macs))).toThrow('link type 105');
  });
});
