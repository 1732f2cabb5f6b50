import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { EtcdError, type KeyValue, type Listing, type WatchResponse } from '../../src/etcd-watch/etcd-watch.ts';
import {
  BACKOFF_MAX_MS,
  BACKOFF_MIN_MS,
  backoffMs,
  INITIAL_STATE,
  type ListWatchAction,
  type ListWatchInput,
  type ListWatchState,
  STABLE_MS,
  step,
} from '../../src/etcd-watch/list-watch.ts';
import { EtcdModel, ModelWatch, type Write } from '../support/etcd-model.ts';

/** The machine against the model; the table is what a consumer would hold. */
class Harness {
  readonly store = new EtcdModel();
  readonly table = new Map<string, KeyValue>();
  readonly statuses: string[] = [];
  state: ListWatchState = INITIAL_STATE;
  nowMs = 0;
  random = 0.5;
  #list: { readonly session: number; captured?: Listing } | undefined;
  #watch: { readonly session: number; readonly server: ModelWatch } | undefined;
  #timer: number | undefined;
  /** Between two fragments the table holds a part of a revision. */
  #partial = false;

  feed(input: ListWatchInput): void {
    const { state, actions } = step(this.state, input, { nowMs: this.nowMs, random: this.random });
    this.state = state;
    for (const action of actions) this.#perform(action);
  }

  #perform(action: ListWatchAction): void {
    switch (action.kind) {
      case 'list':
        this.#list = { session: action.session };
        break;
      case 'open-watch':
        expect(this.#watch, 'one watch at a time').toBeUndefined();
        this.#watch = { session: action.session, server: new ModelWatch(this.store, action.fromRevision) };
        break;
      case 'close-watch':
        this.#watch = undefined;
        break;
      case 'set-timer':
        this.#timer = action.session;
        break;
      case 'clear-timer':
        this.#timer = undefined;
        break;
      case 'snapshot':
        this.table.clear();
        for (const kv of action.listing.kvs) this.table.set(kv.key, kv);
        this.#partial = false;
        break;
      case 'changes':
        for (const event of action.events) {
          if (event.kind === 'put') this.table.set(event.kv.key, event.kv);
          else expect(this.table.delete(event.key), 'a delete of what was there').toBe(true);
        }
        if (!this.#partial) this.check(action.revision);
        break;
      case 'status':
        this.statuses.push(action.status.kind);
        break;
    }
  }

  check(revision: bigint): void {
    expect(new Map([...this.table].sort())).toEqual(new Map([...this.store.stateAt(revision)].sort()));
  }

  /** The store carries out the list now; the answer may come later. */
  captureList(): void {
    if (this.#list !== undefined && this.#list.captured === undefined) {
      this.#list = { ...this.#list, captured: this.store.list() };
    }
  }

  answerList(): void {
    this.captureList();
    const list = this.#list;
    this.#list = undefined;
    if (list?.captured !== undefined) this.feed({ kind: 'listed', session: list.session, listing: list.captured });
  }

  failList(): void {
    const list = this.#list;
    this.#list = undefined;
    const error = new EtcdError('unavailable', 'http://model', 'gone');
    if (list !== undefined) this.feed({ kind: 'list-failed', session: list.session, error });
  }

  respond(make: (server: ModelWatch) => WatchResponse | undefined): boolean {
    const watch = this.#watch;
    const response = watch === undefined ? undefined : make(watch.server);
    if (watch === undefined || response === undefined) return false;
    if (response.events.length > 0) this.#partial = response.fragment;
    this.feed({ kind: 'response', session: watch.session, response });
    return true;
  }

  cut(error: EtcdError | undefined): void {
    if (this.#watch !== undefined) this.feed({ kind: 'watch-ended', session: this.#watch.session, error });
  }

  fireTimer(): void {
    const session = this.#timer;
    this.#timer = undefined;
    if (session !== undefined) this.feed({ kind: 'timer', session });
  }

  wipe(): void {
    this.store.wipe();
    this.failList();
    this.cut(new EtcdError('unavailable', 'http://model', 'killed'));
  }

  /** No more trouble: everything asked for is answered until the watch has sent all. */
  settle(): void {
    for (let round = 0; round < 1000; round++) {
      const { kind } = this.state.phase;
      if (kind === 'listing') this.answerList();
      else if (kind === 'opening') this.respond((server) => server.create(0n));
      else if (kind === 'waiting') this.fireTimer();
      else if (!this.respond((server) => server.send(1000, false))) return;
    }
    throw new Error('the machine did not come to rest');
  }
}

const KEYS = ['a', 'b', 'c', 'd', 'e'];
const write: fc.Arbitrary<Write> = fc.oneof(
  fc.record({ key: fc.constantFrom(...KEYS), value: fc.string({ maxLength: 3 }) }),
  fc.record({ key: fc.constantFrom(...KEYS), value: fc.constant(null) }),
);

type Command = (harness: Harness) => void;
const lost = new EtcdError('unavailable', 'http://model', 'reset');

const command: fc.Arbitrary<Command> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.array(write, { minLength: 1, maxLength: 4 }).map(
      (w): Command =>
        (h) =>
          h.store.txn(w),
    ),
  },
  { weight: 10, arbitrary: fc.constant<Command>((h) => h.answerList()) },
  { weight: 2, arbitrary: fc.constant<Command>((h) => h.captureList()) },
  { weight: 1, arbitrary: fc.constant<Command>((h) => h.failList()) },
  {
    weight: 5,
    arbitrary: fc.bigInt(0n, 3n).map(
      (lag): Command =>
        (h) => {
          h.respond((server) => server.create(lag));
        },
    ),
  },
  {
    weight: 16,
    arbitrary: fc.tuple(fc.integer({ min: 1, max: 4 }), fc.boolean()).map(
      ([max, fragment]): Command =>
        (h) => {
          h.respond((server) => server.send(max, fragment));
        },
    ),
  },
  {
    weight: 2,
    arbitrary: fc.constant<Command>((h) => {
      h.respond((server) => server.progress());
    }),
  },
  {
    weight: 1,
    arbitrary: fc.constant<Command>((h) => {
      h.respond((server) => server.cancel(0n));
    }),
  },
  {
    weight: 2,
    arbitrary: fc.boolean().map(
      (polite): Command =>
        (h) =>
          h.cut(polite ? undefined : lost),
    ),
  },
  { weight: 3, arbitrary: fc.constant<Command>((h) => h.fireTimer()) },
  { weight: 1, arbitrary: fc.constant<Command>((h) => h.store.compact()) },
  { weight: 1, arbitrary: fc.constant<Command>((h) => h.wipe()) },
  {
    weight: 2,
    arbitrary: fc.integer({ min: 0, max: 20_000 }).map(
      (ms): Command =>
        (h) => {
          h.nowMs += ms;
        },
    ),
  },
);

describe('the list-and-watch machine against a model of etcd', () => {
  it('holds what the store held at the revision it names, whatever happens, and all of it in the end', () => {
    fc.assert(
      fc.property(fc.array(command, { maxLength: 200, size: 'max' }), (commands) => {
        const harness = new Harness();
        harness.feed({ kind: 'start' });
        for (const perform of commands) perform(harness);
        harness.settle();
        harness.check(harness.store.revision);
        expect(harness.state.seen).toBe(harness.store.revision);
      }),
      { numRuns: 500 },
    );
  });

  it('notices a store that went back and takes over its content', () => {
    const harness = new Harness();
    harness.feed({ kind: 'start' });
    for (const key of KEYS) harness.store.txn([{ key, value: 'before' }]);
    harness.settle();
    harness.wipe();
    harness.store.txn([{ key: 'x', value: 'after' }]);
    harness.settle();
    expect(harness.statuses).toContain('store-went-back');
    expect([...harness.table.keys()]).toEqual(['x']);
  });

  it('applies every event of a revision that arrives in fragments, once', () => {
    const harness = new Harness();
    harness.feed({ kind: 'start' });
    harness.settle();
    harness.store.txn(KEYS.map((key) => ({ key, value: '1' })));
    for (const _ of KEYS) harness.respond((server) => server.send(1, true));
    harness.check(harness.store.revision);
  });

  it('does not take the header of a partial batch for the revision reached', () => {
    const harness = new Harness();
    harness.feed({ kind: 'start' });
    harness.settle();
    for (const key of KEYS) harness.store.txn([{ key, value: '1' }]);
    harness.respond((server) => server.send(2, false));
    expect(harness.state.seen).toBe(3n);
    expect(harness.table.size).toBe(2);
  });

  it('asks for another member when one lags, and waits', () => {
    const next = 10n;
    const opening: ListWatchState = { phase: { kind: 'opening', attempt: 0, next }, session: 7, seen: 9n };
    const response = { ...new ModelWatch(new EtcdModel(), 1n).create(0n), headerRevision: 8n } as WatchResponse;
    const { state, actions } = step(opening, { kind: 'response', session: 7, response }, { nowMs: 0, random: 0 });
    expect(state.phase.kind).toBe('waiting');
    expect(actions).toContainEqual({ kind: 'close-watch', avoidEndpoint: true });
    expect(actions).toContainEqual(expect.objectContaining({ kind: 'status' }));
  });

  it('drops what an earlier session sends', () => {
    const harness = new Harness();
    harness.feed({ kind: 'start' });
    harness.settle();
    const before = harness.state;
    harness.feed({ kind: 'watch-ended', session: before.session - 1, error: lost });
    harness.feed({ kind: 'timer', session: before.session - 1 });
    harness.feed({ kind: 'listed', session: before.session - 1, listing: { revision: 99n, kvs: [] } });
    expect(harness.state).toBe(before);
  });

  it('does nothing more once stopped, and starts anew', () => {
    const harness = new Harness();
    harness.feed({ kind: 'start' });
    harness.settle();
    harness.feed({ kind: 'stop' });
    const { session } = harness.state;
    harness.feed({ kind: 'timer', session });
    expect(harness.state.phase.kind).toBe('stopped');
    harness.store.txn([{ key: 'late', value: '1' }]);
    harness.feed({ kind: 'start' });
    harness.settle();
    expect(harness.table.has('late')).toBe(true);
  });
});

describe('backoff', () => {
  it('stays within its limits and grows with the failures', () => {
    const failures = fc.integer({ min: 0, max: 1_000_000 });
    fc.assert(
      fc.property(failures, fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }), (count, random) => {
        const delay = backoffMs(count, random);
        expect(delay).toBeGreaterThanOrEqual(BACKOFF_MIN_MS);
        expect(delay).toBeLessThanOrEqual(BACKOFF_MAX_MS);
        expect(backoffMs(count + 1, random)).toBeGreaterThanOrEqual(delay);
      }),
    );
  });

  it('starts over after a watch that lived, not after one that dies young', () => {
    const attempt = 5;
    const watching = { kind: 'watching', attempt, next: 1n, sinceMs: 0 } as const;
    const ended = { kind: 'watch-ended', session: 1, error: undefined } as const;
    const phaseAfter = (nowMs: number) =>
      step({ phase: watching, session: 1, seen: 0n }, ended, { nowMs, random: 0 }).state.phase;
    expect(phaseAfter(STABLE_MS)).toEqual({ kind: 'waiting', attempt: 1 });
    expect(phaseAfter(STABLE_MS - 1)).toEqual({ kind: 'waiting', attempt: attempt + 1 });
  });
});
