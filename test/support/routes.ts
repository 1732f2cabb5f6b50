/** fast-check generators of routes and changes that overlap one another, and the slow table they are judged by. */
import fc from 'fast-check';
import { contains, type Family, type IpAddress, type Prefix, prefixOf, samePrefix, widthOf } from '../../src/ip/ip.ts';
import type { NextHop, Route, RouteChange } from '../../src/routing-table/route.ts';

const NETWORK: Readonly<Record<Family, bigint>> = { 4: 0x0a050000n, 6: 0xfd00_0012_0000_0000_0000_0000_0000_0000n };
const UNDERLAY: Readonly<Record<Family, bigint>> = { 4: 0xac1f0000n, 6: 0x20010db8_00000000_00000000_00000000n };

/** Addresses close to each other, so that prefixes nest; now and then one from anywhere. */
export function addressIn(family: Family): fc.Arbitrary<IpAddress> {
  const width = widthOf(family);
  const near = fc.bigInt({ min: 0n, max: 0xfffn }).map((low) => NETWORK[family] + low);
  const far = fc.bigInt({ min: 0n, max: (1n << BigInt(width)) - 1n });
  const extreme = fc.constantFrom(0n, (1n << BigInt(width)) - 1n);
  return fc
    .oneof({ weight: 8, arbitrary: near }, { weight: 2, arbitrary: far }, { weight: 1, arbitrary: extreme })
    .map((value) => ({ family, value }));
}

export function prefixIn(family: Family): fc.Arbitrary<Prefix> {
  const width = widthOf(family);
  const length = fc.oneof(
    { weight: 6, arbitrary: fc.integer({ min: width - 12, max: width }) },
    { weight: 1, arbitrary: fc.integer({ min: 0, max: width }) },
  );
  return fc.tuple(addressIn(family), length).map(([address, bits]) => prefixOf(address, bits));
}

/** Few next hops, so that routes repeat them; of either family, whatever that of the route. */
export const nextHop: fc.Arbitrary<NextHop> = fc.record({
  address: fc
    .tuple(fc.constantFrom<Family>(4, 4, 6), fc.bigInt({ min: 1n, max: 6n }))
    .map(([family, value]) => ({ family, value: UNDERLAY[family] + value })),
  port: fc.constantFrom(1, 8285, 65_535),
});

/** Deletions pick from the same few prefixes, so that many of them hit. */
export function changesIn(family: Family, maxLength: number): fc.Arbitrary<RouteChange[]> {
  return fc.array(prefixIn(family), { minLength: 1, maxLength: 12 }).chain((prefixes) => {
    const destination = fc.oneof({ weight: 4, arbitrary: fc.constantFrom(...prefixes) }, prefixIn(family));
    const set = fc.record({ destination, nextHop }).map((route): RouteChange => ({ kind: 'set', route }));
    const remove = destination.map((prefix): RouteChange => ({ kind: 'delete', destination: prefix }));
    return fc.array(fc.oneof({ weight: 3, arbitrary: set }, { weight: 2, arbitrary: remove }), { maxLength });
  });
}

/** The obvious table: a list, searched from end to end. */
export class SlowTable {
  readonly routes: Route[] = [];

  apply(change: RouteChange): void {
    const destination = change.kind === 'set' ? change.route.destination : change.destination;
    const at = this.routes.findIndex((route) => samePrefix(route.destination, destination));
    if (at >= 0) this.routes.splice(at, 1);
    if (change.kind === 'set') this.routes.push(change.route);
  }

  get(destination: Prefix): Route | undefined {
    return this.routes.find((route) => samePrefix(route.destination, destination));
  }

  lookup(address: IpAddress): Route | undefined {
    let best: Route | undefined;
    for (const route of this.routes) {
      if (!contains(route.destination, address)) continue;
      if (best === undefined || route.destination.length > best.destination.length) best = route;
    }
    return best;
  }
}
