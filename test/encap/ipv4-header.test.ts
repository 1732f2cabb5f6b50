import { createRequire } from 'node:module';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { internetChecksum } from '../../src/encap/checksum.ts';
import {
  decodeIpv4,
  decrementTtl,
  encodeIpv4,
  hasRightHeaderChecksum,
  type Ipv4Packet,
} from '../../src/encap/ipv4-header.ts';
import { parseAddress } from '../../src/ip/ip.ts';
import { anyPacket, hexBytes, ipv4Fields, payload, soundPacket } from '../support/packets.ts';

function packetOf(bytes: Uint8Array): Ipv4Packet {
  const decoded = decodeIpv4(bytes);
  if (!decoded.ok) throw new Error(decoded.defect);
  return decoded.packet;
}

interface ForeignHeader {
  readonly dscp: number;
  readonly ecn: number;
  readonly length: number;
  readonly identification: number;
  readonly flags: number;
  readonly fragmentOffset: number;
  readonly ttl: number;
  readonly protocol: number;
  readonly checksum: number;
  readonly sourceIp: string;
  readonly destinationIp: string;
  readonly data: Uint8Array;
}
/** The decoder of a library, which knows no options, as second opinion. */
const foreign = createRequire(import.meta.url)('ip-packet') as {
  decode(state: { buffer: Uint8Array; start: number; end: number }): ForeignHeader;
};

describe('decodeIpv4', () => {
  it('gives back what was encoded', () => {
    fc.assert(
      fc.property(ipv4Fields, payload, (fields, data) => {
        const bytes = encodeIpv4(fields, data);
        const packet = packetOf(bytes);
        const { headerLengthBytes, totalLengthBytes, headerChecksum, ...decoded } = packet.header;
        expect(decoded).toEqual(fields);
        expect([headerLengthBytes, totalLengthBytes]).toEqual([20 + fields.options.length, bytes.length]);
        expect(packet.payload).toEqual(data);
        expect(hasRightHeaderChecksum(packet)).toBe(true);
        expect(headerChecksum).toBe((bytes[10] ?? 0) * 256 + (bytes[11] ?? 0));
      }),
    );
  });

  it('agrees with another decoder', () => {
    const withoutOptions = ipv4Fields.map((fields) => ({ ...fields, options: new Uint8Array(0) }));
    fc.assert(
      fc.property(withoutOptions, payload, (fields, data) => {
        const bytes = encodeIpv4(fields, data);
        const { header } = packetOf(bytes);
        const theirs = foreign.decode({ buffer: bytes, start: 0, end: bytes.length });
        expect(header).toMatchObject({
          tos: theirs.dscp * 4 + theirs.ecn,
          totalLengthBytes: theirs.length,
          identification: theirs.identification,
          reservedFlag: (theirs.flags & 4) !== 0,
          dontFragment: (theirs.flags & 2) !== 0,
          moreFragments: (theirs.flags & 1) !== 0,
          fragmentOffsetBytes: theirs.fragmentOffset * 8,
          ttl: theirs.ttl,
          protocol: theirs.protocol,
          headerChecksum: theirs.checksum,
          source: Number(parseAddress(theirs.sourceIp)?.value),
          destination: Number(parseAddress(theirs.destinationIp)?.value),
        });
      }),
    );
  });

  it('names the defect, in this order', () => {
    const sound = hexBytes('4500001c 00000000 4011 0000 0a050102 0a050202 0001000200080000');
    const changed = (at: number, value: number) => sound.with(at, value);
    const defect = (bytes: Uint8Array) => {
      const decoded = decodeIpv4(bytes);
      return decoded.ok ? 'none' : decoded.defect;
    };
    expect(defect(sound)).toBe('none');
    expect(defect(new Uint8Array(0))).toBe('truncated');
    expect(defect(hexBytes('60'))).toBe('ipv6Unsupported');
    expect(defect(hexBytes('6fffffff'))).toBe('ipv6Unsupported');
    expect(defect(hexBytes('50'))).toBe('truncated');
    expect(defect(sound.subarray(0, 19))).toBe('truncated');
    for (const version of [0, 1, 2, 3, 5, 7, 15]) expect(defect(changed(0, version * 16 + 5))).toBe('badVersion');
    for (const words of [0, 1, 4, 8, 15]) expect(defect(changed(0, 0x40 + words))).toBe('badHeaderLength');
    for (const words of [6, 7]) expect(defect(changed(0, 0x40 + words))).toBe('none');
    for (const length of [0, 1, 19, 29, 255]) expect(defect(changed(3, length))).toBe('badTotalLength');
    expect(defect(changed(2, 0xff))).toBe('badTotalLength');
    // A header that fills the total length exactly leaves no payload, and is sound.
    expect(defect(changed(3, 20))).toBe('none');
    expect(defect(sound.subarray(0, 20))).toBe('badTotalLength');
  });

  it('cuts off what lies beyond the total length, and copies nothing', () => {
    fc.assert(
      fc.property(soundPacket, fc.uint8Array({ maxLength: 9 }), fc.nat(9), (sound, tail, offset) => {
        const buffer = Uint8Array.of(...new Uint8Array(offset).fill(0xee), ...sound, ...tail);
        const packet = packetOf(buffer.subarray(offset));
        expect(packet.bytes).toEqual(sound);
        expect(packet.bytes.buffer).toBe(buffer.buffer);
      }),
    );
  });

  it('never reads beyond what it was given, whatever that is', () => {
    fc.assert(
      fc.property(anyPacket, (bytes) => {
        const decoded = decodeIpv4(bytes);
        if (!decoded.ok) return;
        const { header, payload: data } = decoded.packet;
        expect(header.totalLengthBytes).toBeLessThanOrEqual(bytes.length);
        expect(header.headerLengthBytes + data.length).toBe(header.totalLengthBytes);
      }),
    );
  });
});

describe('encodeIpv4', () => {
  it('refuses what no header can say', () => {
    const [fields] = fc.sample(ipv4Fields, { numRuns: 1, seed: 1 });
    if (fields === undefined) throw new Error('no sample');
    const none = new Uint8Array(0);
    expect(() => encodeIpv4({ ...fields, options: new Uint8Array(44) }, none)).toThrow(RangeError);
    expect(() => encodeIpv4({ ...fields, options: new Uint8Array(3) }, none)).toThrow(RangeError);
    expect(() => encodeIpv4({ ...fields, options: none }, new Uint8Array(65_516))).toThrow(RangeError);
    expect(encodeIpv4({ ...fields, options: none }, new Uint8Array(65_515))).toHaveLength(65_535);
  });
});

describe('decrementTtl', () => {
  const living = soundPacket.filter((bytes) => bytes[8] !== 0);

  it('changes the TTL and keeps a right checksum right', () => {
    fc.assert(
      fc.property(living, (bytes) => {
        const after = decrementTtl(packetOf(bytes));
        const expected = bytes.slice();
        expected[8] = (bytes[8] ?? 0) - 1;
        expected.fill(0, 10, 12);
        const checksum = internetChecksum(expected.subarray(0, ((bytes[0] ?? 0) & 0x0f) * 4));
        expected[10] = checksum >> 8;
        expected[11] = checksum & 0xff;
        expect(after).toEqual(expected);
      }),
    );
  });

  it('keeps a wrong checksum wrong, and leaves its input alone', () => {
    fc.assert(
      fc.property(living, fc.integer({ min: 1, max: 0xfffe }), (sound, error) => {
        const bytes = sound.slice();
        const wrong = ((bytes[10] ?? 0) * 256 + (bytes[11] ?? 0) + error) % 0xffff;
        bytes[10] = wrong >> 8;
        bytes[11] = wrong & 0xff;
        const before = bytes.slice();
        fc.pre(!hasRightHeaderChecksum(packetOf(bytes)));
        expect(hasRightHeaderChecksum(packetOf(decrementTtl(packetOf(bytes))))).toBe(false);
        expect(bytes).toEqual(before);
      }),
    );
  });

  it('gives the checksum that the real flanneld gave', () => {
    // 32 bytes of UDP, TTL 64, checksum f686; observed on the wire with TTL 63, checksum f786.
    const read = hexBytes('45000020 00000000 4011 f686 00000000 00000000 000000000000000000000000');
    const sent = decrementTtl(packetOf(read));
    expect(Buffer.from(sent.subarray(8, 12)).toString('hex')).toBe('3f11f786');
    expect(sent).toHaveLength(32);
  });
});
