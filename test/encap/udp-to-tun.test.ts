import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeIpv4, encodeIpv4, hasRightHeaderChecksum, type Ipv4Fields } from '../../src/encap/ipv4-header.ts';
import { udpToTun } from '../../src/encap/udp-to-tun.ts';
import { anyPacket, ipv4, ipv4Fields, soundPacket } from '../support/packets.ts';

const nobody: ReadonlySet<number> = new Set();
const data = Uint8Array.of(1, 2, 3);
const packet = (changes: Partial<Ipv4Fields>) =>
  ipv4Fields.map((fields) => encodeIpv4({ ...fields, ...changes }, data));

describe('udpToTun', () => {
  it('forwards a sound packet with its TTL one lower and all else unchanged', () => {
    fc.assert(
      fc.property(
        soundPacket.filter((bytes) => (bytes[8] ?? 0) > 1),
        fc.uint8Array({ maxLength: 20 }),
        (sound, tail) => {
          const result = udpToTun(Uint8Array.of(...sound, ...tail), nobody);
          if (result.verdict !== 'forward') throw new Error(result.reason);
          expect(result.packet[8]).toBe((sound[8] ?? 0) - 1);
          const decoded = decodeIpv4(result.packet);
          expect(decoded.ok && hasRightHeaderChecksum(decoded.packet)).toBe(true);
          const restored = result.packet.slice();
          restored.set(sound.subarray(8, 12), 8);
          expect(restored).toEqual(sound);
        },
      ),
    );
  });

  it('refuses a wrong checksum before it looks at TTL or source', () => {
    const local = ipv4('10.5.21.2');
    const dying = fc.nat(2).chain((ttl) => packet({ ttl, source: local }));
    fc.assert(
      fc.property(dying, fc.nat(1), fc.integer({ min: 1, max: 255 }), (sound, byte, mask) => {
        // The one change that a sum does not see, 0x0000 to 0xffff, takes two bytes.
        const damaged = sound.with(10 + byte, (sound[10 + byte] ?? 0) ^ mask);
        expect(udpToTun(damaged, new Set([local]))).toEqual({ verdict: 'drop', reason: 'badHeaderChecksum' });
      }),
    );
  });

  it('then TTL 0, then a source of our own, then TTL 1', () => {
    const source = ipv4('10.5.21.0');
    const local = new Set([source, ipv4('172.31.0.1')]);
    fc.assert(
      fc.property(packet({ ttl: 0, source }), packet({ ttl: 1, source }), packet({ ttl: 1 }), (zero, ours, one) => {
        expect(udpToTun(zero, local)).toEqual({ verdict: 'drop', reason: 'ttlZero' });
        expect(udpToTun(ours, local)).toEqual({ verdict: 'drop', reason: 'martianSource' });
        expect(udpToTun(ours, nobody)).toEqual({ verdict: 'drop', reason: 'ttlExpired' });
        expect(udpToTun(one, nobody)).toEqual({ verdict: 'drop', reason: 'ttlExpired' });
      }),
    );
  });

  it('tells addresses above 127.255.255.255 apart from their signed forms', () => {
    const high = ipv4('203.0.113.9');
    fc.assert(
      fc.property(packet({ ttl: 9, source: high }), (sound) => {
        expect(udpToTun(sound, new Set([high]))).toEqual({ verdict: 'drop', reason: 'martianSource' });
        expect(udpToTun(sound, new Set([high - 2 ** 32])).verdict).toBe('forward');
      }),
    );
  });

  it('takes anything without throwing or changing it', () => {
    fc.assert(
      fc.property(anyPacket, fc.array(fc.integer({ min: 0, max: 0xffffffff }), { maxLength: 3 }), (bytes, local) => {
        const before = bytes.slice();
        const result = udpToTun(bytes, new Set(local));
        expect(bytes).toEqual(before);
        const decoded = decodeIpv4(bytes);
        if (!decoded.ok) expect(result).toEqual({ verdict: 'drop', reason: decoded.defect });
        else if (!hasRightHeaderChecksum(decoded.packet))
          expect(result).toEqual({ verdict: 'drop', reason: 'badHeaderChecksum' });
      }),
    );
  });
});
