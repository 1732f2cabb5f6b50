import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Route, RouteChange } from '../../src/routing-table/route.ts';
import { MAX_PENDING_DESTINATIONS, RoutePublisher } from '../../src/routing-table/route-publisher.ts';
import { RoutingTable } from '../../src/routing-table/routing-table.ts';
import { changesIn, SlowTable } from '../support/routes.ts';

/** A publisher whose ticks the test makes, with a sink that keeps every call. */
function laboratory() {
  const table = new RoutingTable();
  const calls: (readonly RouteChange[])[] = [];
  const tasks: (() => void)[] = [];
  const trouble: { next: Error | undefined } = { next: undefined };
  const applyRoutes = (changes: readonly RouteChange[]) => {
    const error = trouble.next;
    trouble.next = undefined;
    if (error !== undefined) throw error;
    calls.push(changes);
  };
  const publisher = new RoutePublisher({ table, sink: { applyRoutes }, schedule: (task) => tasks.push(task) });
  const tick = () => {
    for (const task of tasks.splice(0)) task();
  };
  return { table, publisher, calls, tasks, trouble, tick };
}

/** Route number `n` of very many: 10.0.0.0/24, 10.0.1.0/24 and so on. */
function route(n: number, hop = 1n): Route {
  return {
    destination: { family: 4, base: 0x0a000000n + BigInt(n) * 256n, length: 24 },
    nextHop: { address: { family: 4, value: 0xac1f0000n + hop }, port: 8285 },
  };
}
const set = (n: number, hop?: bigint): RouteChange => ({ kind: 'set', route: route(n, hop) });
const remove = (n: number): RouteChange => ({ kind: 'delete', destination: route(n).destination });

describe('RoutePublisher', () => {
  it('carries 10,000 leases in one call, and one change in one small call', () => {
    const { table, publisher, calls, tick } = laboratory();
    publisher.apply(Array.from({ length: 10_000 }, (_, n) => set(n)));
    expect(calls).toHaveLength(0);
    tick();
    expect(calls.map((changes) => changes.length)).toEqual([10_000]);
    publisher.apply([set(77, 2n)]);
    tick();
    expect(calls[1]).toEqual([set(77, 2n)]);
    expect([table.size, calls.length]).toEqual([10_000, 2]);
  });

  it('carries 10,000 separate changes of one tick in one call, scheduled once', () => {
    const { publisher, calls, tasks, tick } = laboratory();
    for (let n = 0; n < 10_000; n++) publisher.apply([set(n)]);
    expect(tasks).toHaveLength(1);
    tick();
    expect(calls.map((changes) => changes.length)).toEqual([10_000]);
  });

  it('says nothing where nothing changed in the end', () => {
    const { publisher, calls, tasks, tick } = laboratory();
    publisher.apply([set(1)]);
    publisher.apply([remove(1)]);
    tick();
    expect(calls).toEqual([]);
    publisher.apply([set(1)]);
    tick();
    publisher.apply([set(1)]);
    publisher.apply([]);
    expect(tasks).toEqual([]);
    publisher.apply([remove(1)]);
    publisher.apply([set(1, 2n)]);
    publisher.apply([set(1)]);
    tick();
    expect(calls).toEqual([[set(1)]]);
  });

  it('counts what the table held before as known to the sink', () => {
    const { table, publisher, calls, tick } = laboratory();
    table.set(route(1));
    publisher.apply([set(1), remove(1)]);
    tick();
    expect(calls).toEqual([[remove(1)]]);
  });

  it('keeps a sink equal to the table at every flush', () => {
    const steps = fc.array(
      fc.oneof(
        { weight: 3, arbitrary: changesIn(4, 8).map((changes) => ({ kind: 'apply' as const, changes })) },
        { weight: 1, arbitrary: fc.constant({ kind: 'tick' as const }) },
        { weight: 1, arbitrary: fc.constant({ kind: 'flush' as const }) },
        { weight: 1, arbitrary: fc.constant({ kind: 'fail' as const }) },
      ),
      { maxLength: 30 },
    );
    fc.assert(
      fc.property(steps, (list) => {
        const { table, publisher, calls, trouble, tick } = laboratory();
        const sink = new SlowTable();
        for (const step of list) {
          if (step.kind === 'apply') publisher.apply(step.changes);
          else if (step.kind === 'tick') tick();
          else if (step.kind === 'flush') publisher.flush();
          else failOnce(publisher, trouble);
          for (const change of calls.splice(0).flat()) sink.apply(change);
          if (step.kind === 'flush') expect(listOf(sink.routes)).toEqual(listOf(table));
        }
        publisher.flush();
        for (const change of calls.flat()) sink.apply(change);
        expect(listOf(sink.routes)).toEqual(listOf(table));
      }),
    );
  });

  it('flushes by itself before too much waits', () => {
    const { publisher, calls, tick } = laboratory();
    for (let n = 0; n < MAX_PENDING_DESTINATIONS + 5; n++) publisher.apply([set(n)]);
    expect(calls.map((changes) => changes.length)).toEqual([MAX_PENDING_DESTINATIONS]);
    tick();
    expect(calls.map((changes) => changes.length)).toEqual([MAX_PENDING_DESTINATIONS, 5]);
  });

  it('offers changes again that the sink refused', () => {
    const { publisher, calls, tick, trouble } = laboratory();
    publisher.apply([set(1)]);
    trouble.next = new Error('ENOMEM');
    expect(tick).toThrow('ENOMEM');
    publisher.apply([set(2)]);
    tick();
    expect(calls).toEqual([[set(1), set(2)]]);
  });

  it('is silent after close, however often that is called', () => {
    const { publisher, calls, tick } = laboratory();
    publisher.apply([set(1)]);
    publisher.close();
    publisher.close();
    tick();
    publisher.flush();
    expect(calls).toEqual([]);
    expect(() => publisher.apply([set(2)])).toThrow('closed');
  });
});

function failOnce(publisher: RoutePublisher, trouble: { next: Error | undefined }): void {
  trouble.next = new Error('sink');
  try {
    publisher.flush();
  } catch (error) {
    if (!(error instanceof Error && error.message === 'sink')) throw error;
  }
  trouble.next = undefined;
}

function listOf(routes: Iterable<Route>): string[] {
  return [...routes]
    .map(
      ({ destination, nextHop }) =>
        `${destination.base}/${destination.length} ${nextHop.address.value}:${nextHop.port}`,
    )
    .sort();
}
