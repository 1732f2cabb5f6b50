import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { formatPrefix } from '../../src/ip/ip.ts';
import type { Route, RouteChange } from '../../src/routing-table/route.ts';
import { destinationOf, RoutingTable } from '../../src/routing-table/routing-table.ts';
import { address, prefix } from '../support/network.ts';
import { addressIn, changesIn, prefixIn, SlowTable } from '../support/routes.ts';

const route = (destination: string, hop: string, port = 8285): Route => ({
  destination: prefix(destination),
  nextHop: { address: address(hop), port },
});
const set = (destination: string, hop: string): RouteChange => ({ kind: 'set', route: route(destination, hop) });
const remove = (destination: string): RouteChange => ({ kind: 'delete', destination: prefix(destination) });

const families = fc.constantFrom(4 as const, 6 as const);

describe('RoutingTable', () => {
  it('equals a linear search after any changes, in both families', () => {
    const work = fc.record({
      changes: fc.tuple(changesIn(4, 40), changesIn(6, 40)).map(([four, six]) => {
        // Interleaved, so that the families could disturb one another.
        return four.flatMap((change, i) => [change, ...six.slice(i, i + 1)]);
      }),
      questions: fc.array(families.chain(addressIn), { maxLength: 20 }),
      prefixes: fc.array(families.chain(prefixIn), { maxLength: 5 }),
    });
    fc.assert(
      fc.property(work, ({ changes, questions, prefixes }) => {
        const table = new RoutingTable();
        const slow = new SlowTable();
        for (const change of changes) {
          const destination = destinationOf(change);
          const before = slow.get(destination);
          slow.apply(change);
          const changed = change.kind === 'set' ? table.set(change.route) : table.delete(destination);
          const expected = JSON.stringify(before, bigintText) !== JSON.stringify(slow.get(destination), bigintText);
          expect(changed).toBe(expected);
          expect(table.size).toBe(slow.routes.length);
          const inside = { family: destination.family, value: destination.base };
          for (const question of [inside, ...questions]) expect(table.lookup(question)).toEqual(slow.lookup(question));
        }
        for (const destination of [...prefixes, ...changes.map(destinationOf)])
          expect(table.get(destination)).toEqual(slow.get(destination));
        expect(sortedText(table)).toEqual(sortedText(slow.routes));
      }),
    );
  });

  it('lists in order: family, network, length; and leaves the list alone afterwards', () => {
    const table = new RoutingTable();
    const texts = ['10.5.1.0/24', '10.5.0.0/16', 'fd00::/56', '10.5.0.0/24', '0.0.0.0/0', '200.0.0.0/8', '::/0'];
    for (const text of texts) table.set(route(text, '172.31.0.1'));
    const listed: string[] = [];
    for (const { destination } of table) {
      table.delete(prefix('200.0.0.0/8'));
      listed.push(formatPrefix(destination));
    }
    const ordered = ['0.0.0.0/0', '10.5.0.0/16', '10.5.0.0/24', '10.5.1.0/24', '200.0.0.0/8', '::/0', 'fd00::/56'];
    expect(listed).toEqual(ordered);
    expect([...table].map((each) => formatPrefix(each.destination))).toEqual(ordered.toSpliced(4, 1));
  });

  it('takes a new next hop or port for a change, and the same ones for none', () => {
    const table = new RoutingTable();
    expect(table.set(route('10.5.1.0/24', '172.31.0.1'))).toBe(true);
    expect(table.set(route('10.5.1.0/24', '172.31.0.1'))).toBe(false);
    expect(table.set(route('10.5.1.0/24', '172.31.0.2'))).toBe(true);
    expect(table.set(route('10.5.1.0/24', '172.31.0.2', 8286))).toBe(true);
    // The same number in the other family is another address.
    const six = { family: 6 as const, value: address('172.31.0.2').value };
    expect(table.set({ destination: prefix('10.5.1.0/24'), nextHop: { address: six, port: 8286 } })).toBe(true);
    expect(table.size).toBe(1);
  });

  it.each([
    { family: 4 as const, base: 0x0a050101n, length: 24 },
    { family: 4 as const, base: 0x0a050100n, length: 33 },
    { family: 4 as const, base: 0n, length: -1 },
    { family: 4 as const, base: 0n, length: 1.5 },
    { family: 4 as const, base: 1n << 32n, length: 24 },
    { family: 4 as const, base: -256n, length: 24 },
    { family: 6 as const, base: 1n, length: 127 },
    { family: 6 as const, base: 1n << 128n, length: 56 },
  ])('refuses the prefix $base/$length', (destination) => {
    const table = new RoutingTable();
    const { nextHop } = route('10.5.1.0/24', '172.31.0.1');
    expect(() => table.set({ destination, nextHop })).toThrow(RangeError);
    expect([table.size, [...table]]).toEqual([0, []]);
  });
});

describe('apply', () => {
  it('returns only what is different afterwards', () => {
    const table = new RoutingTable();
    const first = [set('10.5.1.0/24', '172.31.0.1'), set('10.5.2.0/24', '172.31.0.2')];
    expect(table.apply(first)).toEqual(first);
    expect(table.apply(first)).toEqual([]);
    expect(table.apply([remove('10.5.3.0/24')])).toEqual([]);
    expect(table.apply([remove('10.5.1.0/24'), set('10.5.1.0/24', '172.31.0.1')])).toEqual([]);
    expect(table.apply([set('10.5.3.0/24', '172.31.0.3'), remove('10.5.3.0/24')])).toEqual([]);
    const moved = [set('10.5.1.0/24', '172.31.0.8'), set('10.5.1.0/24', '172.31.0.9'), remove('10.5.2.0/24')];
    expect(table.apply(moved)).toEqual(moved.slice(1));
    expect([...table]).toEqual([route('10.5.1.0/24', '172.31.0.9')]);
  });

  it('returns a list that brings a copy to the same state', () => {
    fc.assert(
      fc.property(
        families.chain((family) => fc.array(changesIn(family, 15), { maxLength: 5 })),
        (batches) => {
          const table = new RoutingTable();
          const copy = new SlowTable();
          for (const batch of batches) {
            const before = sortedText(copy.routes);
            const real = table.apply(batch);
            for (const change of real.toReversed()) copy.apply(change);
            expect(sortedText(copy.routes)).toEqual(sortedText(table));
            expect(new Set(real.map((change) => formatPrefix(destinationOf(change)))).size).toBe(real.length);
            if (real.length > 0) expect(sortedText(table)).not.toEqual(before);
          }
        },
      ),
    );
  });
});

function bigintText(_key: string, value: unknown): unknown {
  return typeof value === 'bigint' ? value.toString() : value;
}

function sortedText(routes: Iterable<Route>): string[] {
  return [...routes].map((each) => JSON.stringify(each, bigintText)).sort();
}
