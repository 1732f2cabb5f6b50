import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { internetChecksum } from '../../src/encap/checksum.ts';
import { decodeIcmp, isIcmpError, netUnreachable, owesAnswer } from '../../src/encap/icmp.ts';
import { decodeIpv4, encodeIpv4, hasRightHeaderChecksum, type Ipv4Packet } from '../../src/encap/ipv4-header.ts';
import { anyPacket, ipv4, soundPacket } from '../support/packets.ts';

const DEVICE = ipv4('10.5.21.0');

function packetOf(bytes: Uint8Array): Ipv4Packet {
  const decoded = decodeIpv4(bytes);
  if (!decoded.ok) throw new Error(decoded.defect);
  return decoded.packet;
}

interface Offender {
  readonly protocol?: number;
  readonly payload?: readonly number[];
  readonly source?: string;
  readonly destination?: string;
  readonly fragmentOffsetBytes?: number;
  readonly moreFragments?: boolean;
  readonly optionBytes?: number;
}

function offender(from: Offender): Ipv4Packet {
  const fields = {
    tos: 0,
    identification: 7,
    reservedFlag: false,
    dontFragment: false,
    moreFragments: from.moreFragments ?? false,
    fragmentOffsetBytes: from.fragmentOffsetBytes ?? 0,
    ttl: 63,
    protocol: from.protocol ?? 17,
    source: ipv4(from.source ?? '10.5.21.2'),
    destination: ipv4(from.destination ?? '10.5.250.9'),
    options: new Uint8Array(from.optionBytes ?? 0).fill(1),
  };
  return packetOf(encodeIpv4(fields, Uint8Array.from(from.payload ?? [1, 2, 3, 4, 5, 6, 7, 8, 9, 10])));
}

describe('owesAnswer', () => {
  const owed = (from: Offender) => owesAnswer(offender(from));

  it('is yes for ordinary packets, echo requests and headers of 60 bytes included', () => {
    expect(owed({})).toBe(true);
    expect(owed({ protocol: 1, payload: [8, 0, 0, 0, 0, 0, 0, 0] })).toBe(true);
    expect(owed({ protocol: 1, payload: [0] })).toBe(true);
    expect(owed({ optionBytes: 40 })).toBe(true);
    expect(owed({ payload: [] })).toBe(true);
  });

  it('is yes for a first fragment and no for a later one', () => {
    expect(owed({ moreFragments: true })).toBe(true);
    expect(owed({ fragmentOffsetBytes: 8 })).toBe(false);
    expect(owed({ fragmentOffsetBytes: 8, moreFragments: true })).toBe(false);
  });

  it('is no for ICMP errors and for ICMP without a type', () => {
    for (let type = 0; type < 256; type++) {
      const expected = ![3, 4, 5, 11, 12].includes(type);
      expect([type, owed({ protocol: 1, payload: [type, 0, 0, 0] })]).toEqual([type, expected]);
    }
    expect(owed({ protocol: 1, payload: [] })).toBe(false);
    // The same byte says nothing where the protocol is another.
    expect(owed({ protocol: 17, payload: [3] })).toBe(true);
  });

  it.each([
    '0.0.0.0',
    '0.255.255.255',
    '127.0.0.1',
    '127.255.255.255',
    '224.0.0.0',
    '239.1.1.1',
    '240.0.0.1',
    '255.255.255.255',
  ])('is no for source %s', (source) => expect(owed({ source })).toBe(false));

  it.each(['1.0.0.0', '126.255.255.255', '128.0.0.0', '169.254.1.1', '223.255.255.255'])(
    'is yes for source %s',
    (source) => expect(owed({ source })).toBe(true),
  );

  it.each(['224.0.0.0', '239.255.255.255', '255.255.255.255'])('is no for destination %s', (destination) =>
    expect(owed({ destination })).toBe(false),
  );

  it.each(['223.255.255.255', '240.0.0.0', '255.255.255.254', '10.5.255.255'])(
    'is yes for destination %s',
    (destination) => expect(owed({ destination })).toBe(true),
  );
});

describe('netUnreachable', () => {
  it('is a sound packet that quotes only what was there', () => {
    fc.assert(
      fc.property(soundPacket, fc.uint8Array({ maxLength: 20 }), (sound, stale) => {
        // The read buffer still holds bytes of earlier packets behind this one.
        const read = packetOf(Uint8Array.of(...sound, ...stale));
        const answer = packetOf(netUnreachable(read, DEVICE));
        const headerLength = read.header.headerLengthBytes;
        const quoted = Math.min(8, sound.length - headerLength);
        expect(answer.bytes).toHaveLength(28 + headerLength + quoted);
        expect(hasRightHeaderChecksum(answer)).toBe(true);
        expect(internetChecksum(answer.payload)).toBe(0);
        expect(answer.header).toMatchObject({ tos: 0, identification: 0, ttl: 8, protocol: 1, headerLengthBytes: 20 });
        expect(answer.header).toMatchObject({ source: DEVICE, destination: read.header.source });
        const message = decodeIcmp(answer.payload);
        expect(message).toMatchObject({ type: 3, code: 0, rest: 0 });
        expect(message?.body).toEqual(sound.subarray(0, headerLength + quoted));
      }),
    );
  });

  it('never owes an answer itself', () => {
    fc.assert(fc.property(soundPacket, (sound) => !owesAnswer(packetOf(netUnreachable(packetOf(sound), DEVICE)))));
  });
});

describe('decodeIcmp', () => {
  it('needs eight bytes', () => {
    expect(decodeIcmp(new Uint8Array(7))).toBeUndefined();
    const message = decodeIcmp(Uint8Array.of(11, 1, 0xab, 0xcd, 1, 2, 3, 4, 9));
    expect(message).toEqual({ type: 11, code: 1, checksum: 0xabcd, rest: 0x01020304, body: Uint8Array.of(9) });
  });

  it('tells errors from queries', () => {
    expect([0, 3, 4, 5, 8, 11, 12, 13].filter(isIcmpError)).toEqual([3, 4, 5, 11, 12]);
  });

  it('accepts anything without throwing', () => {
    fc.assert(fc.property(anyPacket, (bytes) => (decodeIcmp(bytes) === undefined) === bytes.length < 8));
  });
});
