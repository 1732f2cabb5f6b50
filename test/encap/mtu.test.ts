import { describe, expect, it } from 'vitest';
import { deviceMtu, OVERHEAD_BYTES } from '../../src/encap/mtu.ts';
import { OperatorError } from '../../src/errors/errors.ts';

describe('deviceMtu', () => {
  it.each([
    [1500, 1472],
    [9000, 8972],
    [1280, 1252],
    [96, 68],
    [65_535, 65_507],
    // The loopback.
    [65_536, 65_507],
  ])('is %i - 28 = %i, at most what a datagram carries', (external, device) => {
    expect(deviceMtu(external)).toBe(device);
  });

  it('adds an IPv4 and a UDP header', () => expect(OVERHEAD_BYTES).toBe(28));

  it.each([95, 68, 0, -1, Number.NaN, 1500.5])('refuses %d with one line that says what to do', (external) => {
    const attempt = () => deviceMtu(external, 'eth0');
    expect(attempt).toThrow(OperatorError);
    expect(attempt).toThrow(/^the external interface eth0 has an MTU of \S+ bytes, .* at least 96: .*--iface$/);
    expect(() => deviceMtu(external)).toThrow(/^the external interface has/);
  });
});
