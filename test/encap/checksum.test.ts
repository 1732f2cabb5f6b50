import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { internetChecksum, onesComplementSum, updateChecksum } from '../../src/encap/checksum.ts';

/** The definition, with integers of any size: the sum of the words modulo 0xffff, with 0xffff for a non-zero sum. */
function slowSum(bytes: Uint8Array): number {
  let total = 0n;
  for (let i = 0; i < bytes.length; i += 2) total += BigInt(bytes[i] ?? 0) * 256n + BigInt(bytes[i + 1] ?? 0);
  return total === 0n ? 0 : Number(((total - 1n) % 0xffffn) + 1n);
}

const evenBytes = fc.uint8Array({ minLength: 2, maxLength: 60 }).map((b) => b.subarray(0, b.length & ~1));

describe('internet checksum', () => {
  it('gives the example of RFC 1071, section 3', () => {
    const bytes = Uint8Array.of(0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7);
    expect(onesComplementSum(bytes)).toBe(0xddf2);
    expect(internetChecksum(bytes)).toBe(0x220d);
  });

  it('equals the definition for every length', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 301 }), (bytes) => onesComplementSum(bytes) === slowSum(bytes)));
  });

  it('can be summed in parts', () => {
    fc.assert(
      fc.property(evenBytes, fc.uint8Array({ maxLength: 60 }), (head, tail) => {
        const whole = Uint8Array.of(...head, ...tail);
        expect(onesComplementSum(tail, onesComplementSum(head))).toBe(onesComplementSum(whole));
      }),
    );
  });

  it('does not overflow on the largest packet', () => {
    expect(onesComplementSum(new Uint8Array(65_535).fill(0xff))).toBe(slowSum(new Uint8Array(65_535).fill(0xff)));
  });
});

describe('updateChecksum', () => {
  it('gives the example of RFC 1624, section 4', () => {
    expect(updateChecksum(0xdd2f, 0x5555, 0x3285)).toBe(0x0000);
  });

  it('equals computing anew', () => {
    const change = fc.record({ bytes: evenBytes, at: fc.nat(), word: fc.integer({ min: 0, max: 0xffff }) });
    fc.assert(
      fc.property(change, ({ bytes, at, word }) => {
        const offset = (at % (bytes.length / 2)) * 2;
        const after = bytes.slice();
        after[offset] = word >> 8;
        after[offset + 1] = word & 0xff;
        // RFC 1624: data of zeros alone has no unique checksum; no IP header is that.
        fc.pre(bytes.some((b) => b !== 0) && after.some((b) => b !== 0));
        const oldWord = onesComplementSum(bytes.subarray(offset, offset + 2));
        expect(updateChecksum(internetChecksum(bytes), oldWord, word)).toBe(internetChecksum(after));
      }),
    );
  });
});
