/** The Internet checksum (RFC 1071) and its incremental update (RFC 1624). */

/**
 * One's complement sum of the big-endian 16-bit words of `bytes`; an odd last byte is the high half of a word
 * (RFC 1071, section 4.1). `start` is the sum of what came before, an even number of bytes.
 * @returns 0..0xffff, not complemented.
 */
export function onesComplementSum(bytes: Uint8Array, start = 0): number {
  let sum = start;
  for (let i = 0; i < bytes.length; i += 2) {
    sum += ((bytes[i] ?? 0) << 8) | (bytes[i + 1] ?? 0);
    // End-around carry: less 0x10000, plus 1.
    if (sum > 0xffff) sum -= 0xffff;
  }
  return sum;
}

/** The checksum of `bytes` whose checksum field is zero; 0 for bytes that carry a right one. */
export function internetChecksum(bytes: Uint8Array, start = 0): number {
  return ~onesComplementSum(bytes, start) & 0xffff;
}

/**
 * The checksum after one 16-bit word of the data changed: equation 3 of RFC 1624, which unlike that of RFC 1141 never
 * turns a right checksum into the other zero.
 */
export function updateChecksum(checksum: number, oldWord: number, newWord: number): number {
  let sum = (~checksum & 0xffff) + (~oldWord & 0xffff) + newWord;
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}
