import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeUdp, encodeUdp, hasRightUdpChecksum } from '../../src/encap/udp-datagram.ts';
import { anyAddress, hexBytes, ipv4, payload } from '../support/packets.ts';

const port = fc.integer({ min: 0, max: 0xffff });
const endpoints = fc.record({ source: anyAddress, destination: anyAddress });

describe('UDP datagram', () => {
  it('gives back what was encoded, with a right checksum', () => {
    fc.assert(
      fc.property(endpoints, port, port, payload, (ends, sourcePort, destinationPort, data) => {
        const bytes = encodeUdp(ends, { sourcePort, destinationPort, payload: data });
        const decoded = decodeUdp(bytes);
        expect(decoded).toMatchObject({ sourcePort, destinationPort, payload: data });
        expect(decoded?.checksum).not.toBe(0);
        expect(hasRightUdpChecksum(ends, bytes)).toBe(true);
        expect(hasRightUdpChecksum({ ...ends, source: (ends.source ^ 1) >>> 0 }, bytes)).toBe(false);
      }),
    );
  });

  it('equals a datagram that a kernel made', () => {
    // From the capture of a real host: "hello\n" to a closed port.
    const captured = hexBytes('a27e270f000e9c5a68656c6c6f0a');
    const ends = { source: ipv4('10.5.21.2'), destination: ipv4('10.5.45.2') };
    const datagram = decodeUdp(captured);
    if (datagram === undefined) throw new Error('not decoded');
    expect(encodeUdp(ends, datagram)).toEqual(captured);
    expect(Buffer.from(datagram.payload).toString()).toBe('hello\n');
  });

  it('accepts a datagram without checksum', () => {
    expect(hasRightUdpChecksum({ source: 1, destination: 2 }, hexBytes('0001000200090000ff'))).toBe(true);
  });

  it('judges the length', () => {
    expect(decodeUdp(new Uint8Array(7))).toBeUndefined();
    expect(decodeUdp(hexBytes('0001000200070000'))).toBeUndefined();
    expect(decodeUdp(hexBytes('0001000200090000'))).toBeUndefined();
    expect(decodeUdp(hexBytes('0001000200090000aabb'))?.payload).toEqual(Uint8Array.of(0xaa));
  });
});
