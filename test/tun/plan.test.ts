import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { baseAddress, parseAddress } from '../../src/ip/ip.ts';
import type { Address, Link, LinkChange, Route, RouteSpec } from '../../src/rtnetlink/rtnetlink.ts';
import { findRouteConflict, planTun, type TunAction, type TunObserved } from '../../src/tun/plan.ts';
import { deviceNameProblem, TUN_ALIAS } from '../../src/tun/tun.ts';
import { judgeOccupant } from '../../src/tun/tun-leftover.ts';
import { prefix } from '../support/network.ts';
import { DESIRED, FRESH } from './device.ts';

function addressOn(index: number, text: string, extra: Partial<Address> = {}): Address {
  const [address = '', length] = text.split('/');
  const parsed = parseAddress(address);
  if (parsed === undefined) throw new Error(text);
  return {
    index,
    address: parsed,
    prefixLength: Number(length),
    scope: 0,
    permanent: true,
    deprecated: false,
    temporary: false,
    secondary: false,
    tentative: false,
    ...extra,
  };
}

function routeOver(index: number, extra: Partial<Route> = {}): Route {
  return {
    destination: DESIRED.route,
    table: 254,
    type: 1,
    scope: 0,
    protocol: 3,
    typeOfService: 0,
    priority: 0,
    nextHops: [{ index, weight: 1, onlink: false, dead: false }],
    ...extra,
  };
}

const DONE: TunObserved = {
  link: { ...FRESH, mtuBytes: 1472, up: true, alias: TUN_ALIAS, acceptLocal: true, ipv6Enabled: false },
  addresses: [addressOn(7, '10.5.21.0/32'), addressOn(2, '172.31.0.1/24')],
  routes: [routeOver(2, { destination: prefix('172.31.0.0/24'), scope: 253, protocol: 2 }), routeOver(7)],
};

const kinds = (actions: readonly TunAction[]) => actions.map((each) => each.kind);

describe('planTun', () => {
  it('brings up a fresh device, silent before the link goes up, the route last', () => {
    const actions = planTun(DESIRED, { link: FRESH, addresses: [], routes: [] });
    expect(actions).toEqual([
      { kind: 'silence-ipv6', change: { index: 7, ipv6AddressGeneration: 'none' } },
      { kind: 'accept-local', change: { index: 7, acceptLocal: true } },
      { kind: 'set-link', change: { index: 7, alias: TUN_ALIAS, mtuBytes: 1472 } },
      {
        kind: 'add-address',
        address: { index: 7, address: baseAddress(DESIRED.address), prefixLength: 32, scope: 0 },
      },
      { kind: 'link-up', change: { index: 7, up: true } },
      {
        kind: 'add-route',
        route: {
          destination: DESIRED.route,
          table: 254,
          type: 1,
          scope: 0,
          protocol: 3,
          nextHops: [{ index: 7, weight: 1, onlink: false, dead: false }],
        },
      },
    ]);
  });

  it('has nothing to do where all is well', () => {
    expect(planTun(DESIRED, DONE)).toEqual([]);
  });

  it('mends exactly what is wrong', () => {
    const link = (change: Partial<Link>) => planTun(DESIRED, { ...DONE, link: { ...DONE.link, ...change } });
    expect(link({ mtuBytes: 1400 })).toEqual([{ kind: 'set-link', change: { index: 7, mtuBytes: 1472 } }]);
    expect(link({ txQueueLength: 9 })).toEqual([{ kind: 'set-link', change: { index: 7, txQueueLength: 500 } }]);
    expect(kinds(link({ acceptLocal: false }))).toEqual(['accept-local']);
    expect(kinds(link({ ipv6Enabled: true }))).toEqual(['silence-ipv6']);
    expect(kinds(link({ ipv6Enabled: true, ipv6AddressGeneration: 'none' }))).toEqual([]);
    expect(kinds(link({ up: false }))).toEqual(['link-up', 'add-route']);
    expect(kinds(planTun(DESIRED, { ...DONE, routes: [] }))).toEqual(['add-route']);
    expect(kinds(planTun(DESIRED, { ...DONE, addresses: [] }))).toEqual(['add-address']);
  });

  it('leaves accept_local alone where it is not wanted', () => {
    expect(
      kinds(planTun({ ...DESIRED, acceptLocal: false }, { link: FRESH, addresses: [], routes: [] })),
    ).not.toContain('accept-local');
  });

  it('removes other IPv4 addresses of the device, and no others', () => {
    const addresses = [
      addressOn(7, '10.5.33.0/32'),
      addressOn(7, '10.5.21.0/24'),
      addressOn(7, 'fe80::1/64'),
      addressOn(2, '10.5.33.0/32'),
    ];
    const actions = planTun(DESIRED, { ...DONE, addresses });
    expect(kinds(actions)).toEqual(['delete-address', 'delete-address', 'add-address']);
    expect(actions.slice(0, 2)).toMatchObject([{ address: addresses[0] }, { address: addresses[1] }]);
  });

  it('replaces a route over the device that looks different', () => {
    const gateway = parseAddress('10.5.9.9');
    if (gateway === undefined) throw new Error();
    for (const wrong of [
      routeOver(7, { scope: 253 }),
      routeOver(7, { protocol: 4 }),
      routeOver(7, { preferredSource: baseAddress(DESIRED.address) }),
      routeOver(7, { nextHops: [{ index: 7, gateway, weight: 1, onlink: true, dead: false }] }),
    ]) {
      expect(kinds(planTun(DESIRED, { ...DONE, routes: [wrong] }))).toEqual(['replace-route']);
    }
  });

  it('applied to any device of ours, leads to a state that needs nothing more', () => {
    const addressText = fc.constantFrom('10.5.21.0/32', '10.5.21.0/24', '10.5.33.0/32', 'fe80::1/64');
    const routes = fc.constantFrom<Route[]>(
      [],
      [routeOver(7)],
      [routeOver(7, { scope: 253 })],
      [routeOver(7, { protocol: 4 })],
    );
    const link = fc.record({
      mtuBytes: fc.constantFrom(1472, 1500),
      txQueueLength: fc.constantFrom(500, 1000),
      up: fc.boolean(),
      acceptLocal: fc.boolean(),
      ipv6Enabled: fc.boolean(),
      alias: fc.constantFrom(TUN_ALIAS, 'x'),
    });
    fc.assert(
      fc.property(link, fc.uniqueArray(addressText), routes, (change, texts, present) => {
        const before: TunObserved = {
          link: { ...FRESH, ...change },
          addresses: texts.map((text) => addressOn(7, text)),
          routes: change.up ? present : [],
        };
        const after = planTun(DESIRED, before).reduce(apply, before);
        expect(planTun(DESIRED, after)).toEqual([]);
      }),
    );
  });
});

/** A model of what the kernel does with a step. */
function apply(state: TunObserved, action: TunAction): TunObserved {
  const withLink = (change: Partial<Link> | LinkChange) => ({ ...state, link: { ...state.link, ...change } });
  const withRoute = (route: RouteSpec) => ({ ...state, routes: [routeOver(7, route)] });
  switch (action.kind) {
    case 'silence-ipv6':
      return withLink({ ipv6Enabled: false });
    case 'accept-local':
    case 'set-link':
    case 'link-up':
      return withLink(action.change);
    case 'delete-address':
      return { ...state, addresses: state.addresses.filter((each) => each !== action.address) };
    case 'add-address':
      return { ...state, addresses: [...state.addresses, addressOn(7, '10.5.21.0/32', action.address)] };
    case 'add-route':
      expect(state.link.up && state.routes.length === 0).toBe(true);
      return withRoute(action.route);
    case 'replace-route':
      return withRoute(action.route);
  }
}

describe('findRouteConflict', () => {
  it('finds a route to the same network that is not over the device, of any metric', () => {
    expect(findRouteConflict(DESIRED, DONE)).toBeUndefined();
    for (const foreign of [
      routeOver(2),
      routeOver(2, { priority: 600 }),
      routeOver(7, { type: 6, nextHops: [] }),
      routeOver(7, { nextHops: [7, 2].map((index) => ({ index, weight: 1, onlink: false, dead: false })) }),
    ]) {
      expect(findRouteConflict(DESIRED, { ...DONE, routes: [...DONE.routes, foreign] })).toBe(foreign);
    }
    const narrower = routeOver(2, { destination: prefix('10.5.1.0/24') });
    expect(findRouteConflict(DESIRED, { ...DONE, routes: [narrower] })).toBeUndefined();
  });
});

describe('judgeOccupant', () => {
  const tun = { type: 'tun', packetInfo: false, vnetHeader: false, persistent: true, multiQueue: false } as const;
  const ours: Link = { ...FRESH, alias: TUN_ALIAS, lowerUp: false, tun };
  const { kind: _kind, tun: _tun, ...hardware } = FRESH;

  it('knows our leftover', () => {
    expect(judgeOccupant(ours)).toEqual({ kind: 'leftover', link: ours });
    const queued = { ...ours, lowerUp: true, tun: { ...tun, multiQueue: true, queues: 0 } };
    expect(judgeOccupant(queued)).toMatchObject({ kind: 'leftover' });
  });

  it.each<[string, Link, RegExp]>([
    ['another kind', { ...hardware, kind: 'bridge' }, /kind bridge/],
    ['hardware', hardware, /hardware/],
    ['a tap', { ...ours, tun: { ...tun, type: 'tap' } }, /tap/],
    ['a held one', { ...ours, lowerUp: true }, /another process holds/],
    ['one with queues', { ...ours, tun: { ...tun, multiQueue: true, queues: 2 } }, /another process holds/],
    ['one that is not persistent', { ...ours, tun: { ...tun, persistent: false } }, /another process holds/],
    ['a persistent one of somebody else', { ...ours, alias: 'vpn' }, /not ours/],
  ])('refuses %s', (_what, link, text) => {
    const occupant = judgeOccupant(link);
    expect(occupant).toMatchObject({ kind: 'foreign', description: expect.stringMatching(text) });
  });
});

describe('deviceNameProblem', () => {
  it.each(['flannel0', 'a', 'flannel.1', 'fifteen-bytes-15', '...', 'über'].map((name) => name.slice(0, 15)))(
    'allows %s',
    (name) => expect(deviceNameProblem(name)).toBeUndefined(),
  );

  it.each([
    '',
    'sixteen-bytes-16',
    'übermäßigü-lang',
    'a/b',
    'a b',
    'a\tb',
    'a\nb',
    'a:b',
    'tun%d',
    'a\0b',
    '.',
    '..',
    'all',
    'default',
  ])('refuses %j', (name) => expect(deviceNameProblem(name)).toBeTypeOf('string'));
});
