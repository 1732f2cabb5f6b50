import { describe, expect, it } from 'vitest';
import { OFFLOADS, offloadsInUse, parseOffloads, tunOffloadsOf } from '../../src/backend/offloads.ts';

describe('parseOffloads', () => {
  it('knows all, none and lists', () => {
    expect(parseOffloads('all')).toEqual(new Set(OFFLOADS));
    expect(parseOffloads('none')).toEqual(new Set());
    expect(parseOffloads('tun-tcp, udp-segmentation')).toEqual(new Set(['tun-tcp', 'udp-segmentation']));
  });

  it.each(['', 'tun-tcp,', 'tso', 'all,none'])('refuses %j', (text) => {
    expect(parseOffloads(text)).toBeUndefined();
  });
});

describe('tunOffloadsOf', () => {
  it('asks for the header and open checksums with any super-packets', () => {
    expect(tunOffloadsOf(new Set(['tun-udp']))).toEqual({ vnetHeader: true, checksum: true, tcp: false, udp: true });
    expect(tunOffloadsOf(new Set(['tun-checksum']))).toMatchObject({ vnetHeader: true, tcp: false, udp: false });
  });

  it('asks for nothing where nothing is wanted of the TUN', () => {
    const none = { vnetHeader: false, checksum: false, tcp: false, udp: false };
    expect(tunOffloadsOf(new Set(['udp-segmentation', 'udp-coalescing']))).toEqual(none);
  });
});

it('tells what is in use by the same names', () => {
  const tun = { vnetHeader: true, checksum: true, tcp: true, udp: false };
  expect(offloadsInUse(tun, { segmentation: true, coalescing: false })).toEqual([
    'tun-checksum',
    'tun-tcp',
    'udp-segmentation',
  ]);
});
