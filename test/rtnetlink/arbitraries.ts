import fc from 'fast-check';
import { type Family, type IpAddress, type Prefix, prefixOf, widthOf } from '../../src/ip/ip.ts';
import type { Address, AddressSpec, Route, RouteMetrics, RouteNextHop } from '../../src/rtnetlink/rtnetlink.ts';

export const u8 = fc.integer({ min: 0, max: 255 });
export const u32 = fc.integer({ min: 0, max: 0xffffffff });
export const linkIndex = fc.integer({ min: 1, max: 0x7fffffff });
export const family = fc.constantFrom<Family>(4, 6);

export function address(of: Family): fc.Arbitrary<IpAddress> {
  return fc.bigInt({ min: 0n, max: (1n << BigInt(widthOf(of))) - 1n }).map((value) => ({ family: of, value }));
}

export function prefix(of: Family): fc.Arbitrary<Prefix> {
  return fc
    .tuple(address(of), fc.integer({ min: 0, max: widthOf(of) }))
    .map(([base, length]) => prefixOf(base, length));
}

const label = fc.string({ minLength: 1, maxLength: 15 }).filter((text) => !text.includes('\0'));

export const addressSpec: fc.Arbitrary<AddressSpec> = family.chain((of) =>
  fc.record(
    {
      index: linkIndex,
      address: address(of),
      prefixLength: fc.integer({ min: 0, max: widthOf(of) }),
      scope: u8,
      peer: address(of),
      label,
    },
    { requiredKeys: ['index', 'address', 'prefixLength', 'scope'] },
  ),
);

export type DecodedAddress = Address;

function nextHop(of: Family): fc.Arbitrary<RouteNextHop> {
  return fc.record(
    {
      index: linkIndex,
      gateway: fc.oneof({ weight: 4, arbitrary: address(of) }, { weight: 1, arbitrary: address(of === 4 ? 6 : 4) }),
      weight: fc.integer({ min: 1, max: 256 }),
      onlink: fc.boolean(),
      dead: fc.constant(false),
    },
    { requiredKeys: ['index', 'weight', 'onlink', 'dead'] },
  );
}

const metrics: fc.Arbitrary<RouteMetrics> = fc
  .record({ mtuBytes: u32, mtuLocked: fc.constant<true>(true), advertisedMssBytes: u32 }, { requiredKeys: [] })
  .filter((each) => Object.keys(each).length > 0);

export const route: fc.Arbitrary<Route> = family.chain((of) =>
  fc.record(
    {
      destination: prefix(of),
      table: fc.oneof(u8, u32),
      type: u8,
      scope: u8,
      protocol: u8,
      typeOfService: u8,
      priority: u32,
      preferredSource: address(of),
      nextHops: fc.array(nextHop(of), { maxLength: 4 }),
      metrics,
    },
    {
      requiredKeys: ['destination', 'table', 'type', 'scope', 'protocol', 'typeOfService', 'priority', 'nextHops'],
    },
  ),
);
