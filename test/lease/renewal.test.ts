/** The renewal: its machine alone, its shell on a clock of the test's, and both against a real etcd. */
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createEtcdClient } from '../../src/etcd-watch/etcd-client.ts';
import { type EtcdClient, EtcdError, systemClock } from '../../src/etcd-watch/etcd-watch.ts';
import { createListWatch } from '../../src/etcd-watch/list-watch-runner.ts';
import { createLeaseManager, type HeldLease } from '../../src/lease/lease-manager.ts';
import { subnetsPrefix } from '../../src/lease/lease-table.ts';
import { createRenewal } from '../../src/lease/renewal.ts';
import {
  type KeyView,
  keepaliveIntervalSeconds,
  type RenewalEnvironment,
  type RenewalEvent,
  type RenewalState,
  stepRenewal,
} from '../../src/lease/renewal-machine.ts';
import { startEtcd, type TestEtcd } from '../support/etcd.ts';
import { LogRecorder } from '../support/log-recorder.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { networkConfig, prefix, udpAttributes } from '../support/network.ts';
import { until } from '../support/until.ts';

const DAY = 86_400;
const HELD: HeldLease = {
  key: '/net/subnets/10.5.1.0-24',
  lease: { subnet: { ipv4: prefix('10.5.1.0/24') }, attributes: udpAttributes('172.31.0.1') },
  leaseId: 7n,
  modRevision: 100n,
  ttlSeconds: DAY,
  confirmedAtSeconds: 0,
  origin: 'created',
};
const at = (nowSeconds: number): RenewalEnvironment => ({ nowSeconds, random: 0, renewMarginSeconds: 3600 });
const holding = (changes: Partial<HeldLease> = {}): RenewalState =>
  stepRenewal({ kind: 'stopped' }, { kind: 'start', held: { ...HELD, ...changes } }, at(0)).state;
const key = (view: KeyView, revision = 200n) => ({ kind: 'key', view, revision }) as const;

describe('the interval', () => {
  it.each([
    [DAY, 3600, 60],
    [90, 3600, 30],
    [DAY, DAY - 20, 20],
    [3, 3600, 1],
  ])('of a TTL of %d s and a margin of %d s is %d s', (ttl, margin, seconds) =>
    expect(keepaliveIntervalSeconds(ttl, margin)).toBe(seconds),
  );
});

describe('the renewal machine', () => {
  it('renews within a minute, and counts the TTL from the sending', () => {
    const start = stepRenewal({ kind: 'stopped' }, { kind: 'start', held: HELD }, at(0));
    expect(start.actions).toEqual([{ kind: 'set-timer', delayMs: 60_000 }]);
    const sent = stepRenewal(start.state, { kind: 'timer' }, at(60));
    expect(sent.actions).toContainEqual({ kind: 'keep', leaseId: 7n });
    const kept = stepRenewal(sent.state, { kind: 'kept', leaseId: 7n, sentAtSeconds: 60, ttlSeconds: DAY }, at(64));
    expect(kept.state).toMatchObject({ kind: 'holding', held: { confirmedAtSeconds: 60 } });
    expect(kept.actions).toEqual([{ kind: 'set-timer', delayMs: 56_000 }]);
  });

  it('tries again within seconds after a failure, without a second call beside one under way', () => {
    const sent = stepRenewal(holding(), { kind: 'timer' }, at(60));
    const still = stepRenewal(sent.state, { kind: 'timer' }, at(65));
    expect(still.actions.map(({ kind }) => kind)).toEqual(['set-timer']);
    const failed = stepRenewal(still.state, { kind: 'keep-failed', leaseId: 7n, code: 'unavailable' }, at(66));
    expect(failed.actions).toEqual([{ kind: 'set-timer', delayMs: 2_500 }]);
    expect(stepRenewal(failed.state, { kind: 'timer' }, at(69)).actions).toContainEqual({ kind: 'keep', leaseId: 7n });
  });

  it('warns once when less than the margin is left, and is lost when the TTL is over', () => {
    let state = holding();
    const events: RenewalEvent[] = [];
    for (let now = 60; state.kind === 'holding' && now < 2 * DAY; now += 60) {
      for (const input of [{ kind: 'timer' }, { kind: 'keep-failed', leaseId: 7n, code: 'deadline' }] as const) {
        const step = stepRenewal(state, input, at(now));
        state = step.state;
        for (const action of step.actions) if (action.kind === 'emit') events.push(action.event);
      }
    }
    expect(events).toEqual([
      { kind: 'expiring', remainingSeconds: 3540, code: 'deadline' },
      { kind: 'lost', reason: 'expired' },
    ]);
    expect(state.kind).toBe('regaining');
  });

  it.each([
    ['an answer of TTL 0', { kind: 'kept', leaseId: 7n, sentAtSeconds: 1, ttlSeconds: 0 } as const, 'revoked'],
    ['the deletion of the key', key({ kind: 'absent' }), 'key-deleted'],
    ['a value that cannot be read', key({ kind: 'damaged', modRevision: 150n }), 'key-damaged'],
  ])('takes the subnet again after %s', (_, input, reason) => {
    const { state, actions } = stepRenewal(holding(), input, at(1));
    expect(state.kind).toBe('regaining');
    expect(actions).toContainEqual({ kind: 'emit', event: { kind: 'lost', reason } });
    expect(actions).toContainEqual({ kind: 'reacquire', held: HELD });
  });

  it('ends when the key carries another host', () => {
    const { state, actions } = stepRenewal(holding(), key({ kind: 'other', modRevision: 150n, by: 'X' }), at(1));
    expect(state.kind).toBe('stopped');
    expect(actions).toContainEqual({ kind: 'emit', event: { kind: 'taken', by: 'X' } });
  });

  it('takes no notice of what is older than its own write', () => {
    const state = holding();
    expect(stepRenewal(state, key({ kind: 'absent' }, 99n), at(1)).state).toBe(state);
    const echo = key({ kind: 'other', modRevision: 99n, by: 'X' }, 120n);
    expect(stepRenewal(state, echo, at(1)).state).toBe(state);
  });

  it('takes notice of what it saw while the answer to its own write was awaited', () => {
    const lost = stepRenewal(holding(), key({ kind: 'absent' }), at(1)).state;
    const seen = stepRenewal(lost, key({ kind: 'other', modRevision: 301n, by: 'X' }, 301n), at(2)).state;
    const held = { ...HELD, modRevision: 300n };
    const { state, actions } = stepRenewal(seen, { kind: 'reacquired', result: { kind: 'held', held } }, at(3));
    expect(state.kind).toBe('stopped');
    expect(actions.at(-1)).toEqual({ kind: 'emit', event: { kind: 'taken', by: 'X' } });
  });

  it('stops renewing what an operator made a reservation, and never renews one', () => {
    const view = { kind: 'ours', modRevision: 150n, leaseId: 0n } as const;
    const { state, actions } = stepRenewal(holding(), key(view), at(1));
    expect(state).toMatchObject({ kind: 'holding', held: { leaseId: 0n } });
    expect(actions).toContainEqual({ kind: 'clear-timer' });
    expect(stepRenewal(state, { kind: 'timer' }, at(1e9)).actions).toEqual([]);
  });

  it('says so when another daemon uses the same public IP', () => {
    const view = { kind: 'ours', modRevision: 150n, leaseId: 8n } as const;
    expect(stepRenewal(holding(), key(view), at(1)).actions).toEqual([{ kind: 'emit', event: { kind: 'shared' } }]);
  });

  it('always has a timer or a call under way while it holds a lease, and wakes at most four times a second', () => {
    const code = fc.constantFrom('unavailable' as const, 'deadline' as const);
    const turn = fc.record({ answer: fc.constantFrom('kept', 'failed', 'none'), code, seconds: fc.nat({ max: 300 }) });
    const random = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });
    fc.assert(
      fc.property(
        fc.array(turn, { maxLength: 60, size: 'max' }),
        fc.integer({ min: 2, max: DAY }),
        random,
        (turns, ttl, r) => {
          let now = 0;
          let state = holding({ ttlSeconds: ttl });
          for (const { answer, code: failure, seconds } of turns) {
            if (state.kind !== 'holding') return;
            now += seconds;
            const environment = { nowSeconds: now, random: r, renewMarginSeconds: 3600 };
            const inputs = [
              { kind: 'timer' } as const,
              ...(answer === 'kept'
                ? [{ kind: 'kept', leaseId: 7n, sentAtSeconds: now, ttlSeconds: ttl } as const]
                : []),
              ...(answer === 'failed' ? [{ kind: 'keep-failed', leaseId: 7n, code: failure } as const] : []),
            ];
            for (const input of inputs) {
              const before: RenewalState = state;
              if (before.kind !== 'holding') break;
              const step = stepRenewal(before, input, environment);
              state = step.state;
              const timer = step.actions.find((action) => action.kind === 'set-timer');
              if (state.kind === 'holding') expect(timer?.delayMs).toBeGreaterThanOrEqual(250);
              else expect(now - before.held.confirmedAtSeconds).toBeGreaterThanOrEqual(ttl);
            }
          }
        },
      ),
    );
  });
});

describe('the renewal on a clock of its own', () => {
  it('notices after a suspend that the TTL is over, although the timers stood still', async () => {
    const clock = new ManualClock();
    let bootSeconds = 0;
    const events: RenewalEvent[] = [];
    let asked = 0;
    const renewal = createRenewal({
      client: { leaseKeepAlive: () => Promise.reject(new EtcdError('unavailable', 'http://e', 'gone')) },
      manager: {
        reacquire: async (held) => {
          asked++;
          return { kind: 'held', held: { ...held, leaseId: 8n, confirmedAtSeconds: bootSeconds } };
        },
      },
      held: HELD,
      clock,
      bootSeconds: () => bootSeconds,
      random: () => 0,
      renewMarginSeconds: 3600,
      onEvent: (event) => events.push(event),
    });
    renewal.start();
    bootSeconds = DAY + 1;
    expect(renewal.status()).toEqual({ kind: 'holding', remainingSeconds: 0 });
    await clock.advance(60_000);
    await clock.advance(0);
    expect(events.map(({ kind }) => kind)).toEqual(['lost', 'regained']);
    expect(asked).toBe(1);
    expect(renewal.status()).toEqual({ kind: 'holding', remainingSeconds: DAY });
    renewal.stop();
    renewal.stop();
    expect(clock.pending).toBe(0);
  });
});

describe('the renewal against a real etcd', () => {
  let etcd: TestEtcd;
  let client: EtcdClient;
  let networks = 0;
  beforeAll(async () => {
    etcd = await startEtcd();
    client = createEtcdClient({ endpoints: [etcd.endpoint] });
  });
  afterAll(async () => {
    client.close();
    await etcd.stop();
  });

  const ROOMY = networkConfig('10.5.0.0/16', 24, '10.5.1.0', '10.5.255.0');
  const bootSeconds = () => performance.now() / 1000;

  /** A host with its manager, its renewal, and the watch that feeds it. */
  async function host(ttlSeconds: number, run: (h: { held: HeldLease; events: RenewalEvent[] }) => Promise<void>) {
    const etcdPrefix = `/renewal-${networks++}`;
    const common = { client, clock: systemClock(), bootSeconds, random: Math.random };
    const manager = createLeaseManager({ ...common, etcdPrefix, logger: new LogRecorder(), ttlSeconds });
    const { signal } = new AbortController();
    const held = await manager.acquire({ config: ROOMY, attributes: udpAttributes('172.31.0.1') }, signal);
    const events: RenewalEvent[] = [];
    const onEvent = (event: RenewalEvent) => void events.push(event);
    const renewal = createRenewal({ ...common, manager, held, renewMarginSeconds: 3600, onEvent });
    renewal.start();
    const watch = createListWatch({ ...common, prefix: subnetsPrefix(etcdPrefix), sink: renewal.sink });
    watch.start();
    try {
      await run({ held, events });
    } finally {
      watch.stop();
      renewal.stop();
    }
  }

  const kinds = (events: RenewalEvent[]) => events.map(({ kind }) => kind);
  const value = async (held: HeldLease) => Buffer.from((await client.get(held.key)).kv?.value ?? []).toString();

  it('keeps the key beyond its TTL without a trace that peers could see', async () => {
    await host(2, async ({ held, events }) => {
      const until4 = performance.now() + 4_000;
      await until('two TTLs have passed', () => performance.now() > until4);
      const { kv } = await client.get(held.key);
      expect(kv).toMatchObject({ modRevision: held.modRevision, leaseId: held.leaseId });
      expect(events).toEqual([]);
    });
  });

  it('puts a deleted key back in place', async () => {
    await host(DAY, async ({ held, events }) => {
      await etcd.ctl('del', held.key);
      await until('regained', () => kinds(events).includes('regained'));
      expect(kinds(events)).toEqual(['lost', 'regained']);
      expect(await value(held)).toBe('{"PublicIP":"172.31.0.1","PublicIPv6":null}');
    });
  });

  it('notices a revoked etcd lease', async () => {
    await host(DAY, async ({ held, events }) => {
      await etcd.ctl('lease', 'revoke', held.leaseId.toString(16));
      await until('regained', () => kinds(events).includes('regained'));
      expect(await value(held)).toContain('172.31.0.1');
    });
  });

  it('ends when another host has overwritten the key, and leaves that one alone', async () => {
    await host(DAY, async ({ held, events }) => {
      await etcd.put(held.key, '{"PublicIP":"172.31.0.2","PublicIPv6":null}');
      await until('taken', () => kinds(events).includes('taken'));
      expect(events).toEqual([{ kind: 'taken', by: `172.31.0.2 holds ${held.key}` }]);
      expect(await value(held)).toContain('172.31.0.2');
    });
  });

  it('mends a value that cannot be read', async () => {
    await host(DAY, async ({ held, events }) => {
      await etcd.put(held.key, 'oops');
      await until('regained', () => kinds(events).includes('regained'));
      expect(await value(held)).toBe('{"PublicIP":"172.31.0.1","PublicIPv6":null}');
    });
  });

  it('holds on through an outage of etcd shorter than the TTL', async () => {
    await host(DAY, async ({ held, events }) => {
      await etcd.kill();
      await etcd.restart();
      await expect.poll(() => value(held).catch(() => ''), { timeout: 20_000 }).toContain('172.31.0.1');
      expect(events).toEqual([]);
    });
  });

  it('takes the same subnet again in an etcd that lost its data', async () => {
    await host(6, async ({ held, events }) => {
      await etcd.wipe();
      await until('regained', () => kinds(events).includes('regained'));
      expect(await value(held)).toContain('172.31.0.1');
    });
  });
});
