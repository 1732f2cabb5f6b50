import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { netUnreachable, owesAnswer } from '../../src/encap/icmp.ts';
import { decodeIpv4, encodeIpv4, hasRightHeaderChecksum } from '../../src/encap/ipv4-header.ts';
import { tunToUdp } from '../../src/encap/tun-to-udp.ts';
import { anyPacket, hexBytes, ipv4, ipv4Fields, soundPacket } from '../support/packets.ts';

const DEVICE = ipv4('10.5.21.0');
const everywhere = () => 'peer';
const nowhere = () => undefined;

function readings(bytes: Uint8Array) {
  const decoded = decodeIpv4(bytes);
  if (!decoded.ok) throw new Error(decoded.defect);
  return decoded.packet;
}

const withTtl = (ttl: number) => ipv4Fields.map((fields) => encodeIpv4({ ...fields, ttl }, Uint8Array.of(1, 2, 3)));

describe('tunToUdp', () => {
  it('forwards a sound packet with its TTL one lower and all else unchanged', () => {
    fc.assert(
      fc.property(
        soundPacket.filter((bytes) => (bytes[8] ?? 0) > 1),
        fc.uint8Array({ maxLength: 20 }),
        (sound, tail) => {
          const result = tunToUdp(Uint8Array.of(...sound, ...tail), everywhere, DEVICE);
          if (result.verdict !== 'forward') throw new Error(result.verdict);
          expect(result.nextHop).toBe('peer');
          expect(result.datagram[8]).toBe((sound[8] ?? 0) - 1);
          expect(hasRightHeaderChecksum(readings(result.datagram))).toBe(true);
          const restored = result.datagram.slice();
          restored.set(sound.subarray(8, 12), 8);
          expect(restored).toEqual(sound);
        },
      ),
    );
  });

  it('asks for the route to the destination, once', () => {
    fc.assert(
      fc.property(soundPacket, (sound) => {
        const asked: number[] = [];
        tunToUdp(sound, (destination) => void asked.push(destination), DEVICE);
        expect(asked).toEqual(sound[8] === 0 ? [] : [new DataView(sound.buffer, sound.byteOffset).getUint32(16)]);
      }),
    );
  });

  it('does not verify the checksum, nor mend it', () => {
    const damaged = hexBytes('4500001c 00000000 4011 1234 0a050102 0a050202 0001000200080000');
    const result = tunToUdp(damaged, everywhere, DEVICE);
    if (result.verdict !== 'forward') throw new Error(result.verdict);
    expect(Buffer.from(result.datagram.subarray(8, 12)).toString('hex')).toBe('3f111334');
  });

  it('drops TTL 0 before the route is looked up, and TTL 1 after', () => {
    fc.assert(
      fc.property(withTtl(0), withTtl(1), (zero, one) => {
        expect(tunToUdp(zero, everywhere, DEVICE)).toEqual({ verdict: 'drop', reason: 'ttlZero' });
        expect(tunToUdp(zero, nowhere, DEVICE)).toEqual({ verdict: 'drop', reason: 'ttlZero' });
        expect(tunToUdp(one, everywhere, DEVICE)).toEqual({ verdict: 'drop', reason: 'ttlExpired' });
        const unrouted = tunToUdp(one, nowhere, DEVICE);
        expect(unrouted).not.toEqual({ verdict: 'drop', reason: 'ttlExpired' });
      }),
    );
  });

  it('answers without a route where an answer is owed, and drops otherwise', () => {
    fc.assert(
      fc.property(
        soundPacket.filter((bytes) => bytes[8] !== 0),
        (sound) => {
          const read = readings(sound);
          const expected = owesAnswer(read)
            ? { verdict: 'answer', packet: netUnreachable(read, DEVICE) }
            : { verdict: 'drop', reason: 'noRoute' };
          expect(tunToUdp(sound, nowhere, DEVICE)).toEqual(expected);
        },
      ),
    );
  });

  it('takes anything without throwing, changing it or keeping a reference to it', () => {
    fc.assert(
      fc.property(anyPacket, fc.boolean(), (bytes, routed) => {
        const before = bytes.slice();
        const result = tunToUdp(bytes, routed ? everywhere : nowhere, DEVICE);
        expect(bytes).toEqual(before);
        if (result.verdict === 'forward') expect(result.datagram.buffer).not.toBe(bytes.buffer);
        const decoded = decodeIpv4(bytes);
        if (!decoded.ok) expect(result).toEqual({ verdict: 'drop', reason: decoded.defect });
      }),
    );
  });
});
