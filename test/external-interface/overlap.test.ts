import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { NetworkView } from '../../src/external-interface/network-view.ts';
import { findOverlap, overlapError } from '../../src/external-interface/overlap.ts';
import { overlaps, prefixOf } from '../../src/ip/ip.ts';
import { ip, type LinkSketch, net, type RouteSketch, sketch } from './view.ts';

const NETWORK = net('10.5.0.0/16');
const CONTEXT = { ownDevices: ['flannel0'], externalInterface: 'eth0' };
const BASE: readonly LinkSketch[] = [
  { name: 'lo', addresses: ['127.0.0.1/8'] },
  { name: 'eth0', kind: 'veth', addresses: ['172.31.0.1/24'] },
];

function line(view: NetworkView): string | undefined {
  const overlap = findOverlap(NETWORK, view, CONTEXT);
  return overlap && overlapError(NETWORK, overlap).message;
}

const withLink = (link: LinkSketch, ...routes: RouteSketch[]) => line(sketch([...BASE, link], routes));
const withRoute = (route: RouteSketch) => line(sketch(BASE, [route]));

describe('no overlap', () => {
  it.each<[string, LinkSketch]>([
    ['nothing but the underlay', { name: 'eth1' }],
    ['docker0 inside', { name: 'docker0', kind: 'bridge', addresses: ['10.5.21.1/24'] }],
    ['cni0 inside', { name: 'cni0', kind: 'bridge', addresses: ['10.5.21.1/24'] }],
    ["docker's other bridges inside", { name: 'br-0f1e', kind: 'bridge', addresses: ['10.5.21.129/25'] }],
    ['our own device', { name: 'flannel0', kind: 'tun', addresses: ['10.5.21.0/32'] }],
    ['a container behind a veth of its own', { name: 'veth7', kind: 'veth', addresses: ['10.5.21.9/32'] }],
    ['a neighbouring network', { name: 'eth1', addresses: ['10.6.0.1/16', '10.4.0.1/16'] }],
    ['an IPv6 address', { name: 'eth1', addresses: ['a05::1/16'] }],
  ])('%s', (_what, link) => {
    expect(withLink(link)).toBeUndefined();
  });

  it.each<[string, RouteSketch]>([
    ['the default route', { to: '0.0.0.0/0', hops: ['eth0 via 172.31.0.250'] }],
    ['a wider network behind a gateway', { to: '10.0.0.0/8', hops: ['eth0 via 172.31.0.250'] }],
    ['a wider refusing route', { to: '10.0.0.0/8', hops: [], type: 7 }],
    ['a blackhole for our own subnet', { to: '10.5.21.0/24', hops: [], type: 6 }],
    ['a route of another table', { to: '10.5.0.0/16', hops: ['eth0'], table: 100 }],
  ])('%s', (_what, route) => {
    expect(withRoute(route)).toBeUndefined();
  });

  it('our own route, also through a gateway on our device', () => {
    const own: LinkSketch = { name: 'flannel0', kind: 'tun', addresses: ['10.5.21.0/32'] };
    expect(withLink(own, { to: '10.5.0.0/16', hops: ['flannel0'] })).toBeUndefined();
    expect(withLink(own, { to: '10.5.3.0/24', hops: ['flannel0 via 10.5.3.0'] })).toBeUndefined();
  });

  it('a container without a bridge', () => {
    const veth: LinkSketch = { name: 'veth7', kind: 'veth' };
    expect(withLink(veth, { to: '10.5.21.9/32', hops: ['veth7'] })).toBeUndefined();
  });
});

describe('overlap with an address', () => {
  it.each<[string, LinkSketch, string]>([
    ['inside', { name: 'eth1', addresses: ['10.5.7.1/24'] }, "address 10.5.7.1/24 of this host's device eth1"],
    ['equal', { name: 'eth1', addresses: ['10.5.0.1/16'] }, '10.5.0.1/16'],
    ['wider, on the link', { name: 'eth1', addresses: ['10.9.0.1/8'] }, '10.9.0.1/8'],
    ['a single one on lo', { name: 'dummy0', addresses: ['10.5.1.1/32'] }, '10.5.1.1/32'],
    ['a bridge as wide as the overlay', { name: 'docker0', kind: 'bridge', addresses: ['10.5.0.1/16'] }, 'docker0'],
    ['a bridge wider than the overlay', { name: 'docker0', kind: 'bridge', addresses: ['10.0.0.1/8'] }, 'docker0'],
    ['a veth with a network', { name: 'veth1', kind: 'veth', addresses: ['10.5.2.1/24'] }, 'veth1'],
    ['another backend', { name: 'flannel.1', kind: 'vxlan', addresses: ['10.5.21.0/32'] }, 'flannel.1'],
  ])('%s', (_what, link, text) => {
    expect(withLink(link)).toContain(text);
    expect(withLink(link)).toContain('choose another Network');
  });

  it('the external interface counts even as a bridge', () => {
    const view = sketch([{ name: 'br0', kind: 'bridge', addresses: ['10.5.7.1/24'] }]);
    expect(findOverlap(NETWORK, view, { ownDevices: ['flannel0'], externalInterface: 'br0' })).toMatchObject({
      kind: 'address',
      device: 'br0',
    });
    expect(findOverlap(NETWORK, view, { ownDevices: ['flannel0'], externalInterface: 'eth0' })).toBeUndefined();
  });
});

describe('overlap with a route', () => {
  it.each<[string, RouteSketch, string]>([
    ['the network itself, behind a gateway', { to: '10.5.0.0/16', hops: ['eth0 via 172.31.0.9'] }, ' via 172.31.0.9'],
    [
      'a part of it',
      { to: '10.5.45.0/24', hops: ['eth0 via 172.31.0.2'] },
      'route del 10.5.45.0/24 via 172.31.0.2 dev eth0',
    ],
    ['a wider network on the link', { to: '10.0.0.0/8', hops: ['eth0'] }, '10.0.0.0/8 dev eth0'],
    ['a blackhole of the network itself', { to: '10.5.0.0/16', hops: [], type: 6 }, 'route 10.5.0.0/16;'],
    ['a device that has gone', { to: '10.5.45.0/24', hops: ['ghost'] }, '10.5.45.0/24'],
    ['one of two ways', { to: '10.5.45.0/24', hops: ['eth0', 'eth0 via 172.31.0.2'] }, 'dev eth0'],
  ])('%s', (_what, route, text) => {
    expect(withRoute(route)).toContain(text);
  });

  it('a route that leads from a bridge into another network', () => {
    const bridge: LinkSketch = { name: 'docker0', kind: 'bridge', addresses: ['10.5.21.1/24'] };
    expect(withLink(bridge, { to: '10.5.77.0/24', hops: ['docker0 via 10.5.21.9'] })).toContain('via 10.5.21.9');
  });
});

it('a foreign address is reported exactly where its network shares addresses with the overlay', () => {
  const octets = fc.tuple(fc.constantFrom(9, 10, 11), fc.constantFrom(0, 4, 5, 6), fc.nat(255), fc.nat(255));
  fc.assert(
    fc.property(octets, fc.integer({ min: 1, max: 32 }), fc.integer({ min: 8, max: 24 }), (parts, length, network) => {
      const text = parts.join('.');
      const view = sketch([{ name: 'eth1', addresses: [`${text}/${length}`] }]);
      const overlay = prefixOf(ip('10.5.0.0'), network);
      const expected = overlaps(overlay, prefixOf(ip(text), length));
      expect(findOverlap(overlay, view, CONTEXT) !== undefined).toBe(expected);
    }),
  );
});
