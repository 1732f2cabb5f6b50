/** The list-and-watch and the client against a real etcd, through a proxy that can misbehave. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createEtcdClient, type HealthEvent } from '../../src/etcd-watch/etcd-client.ts';
import {
  type EtcdClient,
  type KeyValue,
  type ListWatchStatus,
  systemClock,
  type WatchEvent,
} from '../../src/etcd-watch/etcd-watch.ts';
import { createListWatch, type ListWatch } from '../../src/etcd-watch/list-watch-runner.ts';
import { startEtcd, type TestEtcd } from '../support/etcd.ts';
import { TcpProxy } from '../support/tcp-proxy.ts';
import { until } from '../support/until.ts';

const PREFIX = '/net/subnets/';

/** A consumer that keeps the table and everything it was told. */
class Follower {
  readonly table = new Map<string, string>();
  readonly batches: (readonly WatchEvent[])[] = [];
  readonly statuses: ListWatchStatus[] = [];
  readonly health: HealthEvent[] = [];
  readonly client: EtcdClient;
  readonly #listWatch: ListWatch;

  constructor(endpoints: readonly string[]) {
    this.client = createEtcdClient({ endpoints, callTimeoutMs: 2_000, onHealth: (event) => this.health.push(event) });
    this.#listWatch = createListWatch({
      client: this.client,
      prefix: PREFIX,
      clock: systemClock(),
      random: Math.random,
      sink: {
        onSnapshot: (kvs) => this.#replace(kvs),
        onChanges: (events) => this.#apply(events),
        onState: (status) => this.statuses.push(status),
      },
    });
    this.#listWatch.start();
  }

  #replace(kvs: readonly KeyValue[]): void {
    this.table.clear();
    for (const kv of kvs) this.table.set(kv.key, Buffer.from(kv.value).toString());
  }

  #apply(events: readonly WatchEvent[]): void {
    this.batches.push(events);
    for (const event of events) {
      if (event.kind === 'put') this.table.set(event.kv.key, Buffer.from(event.kv.value).toString());
      else this.table.delete(event.key);
    }
  }

  synced(): Promise<unknown> {
    return until('the watch is open', () => this.statuses.at(-1)?.kind === 'synced');
  }

  sees(key: string, value: string | undefined): Promise<unknown> {
    return until(`${key} is ${value}`, () => this.table.get(PREFIX + key) === value);
  }

  stop(): void {
    this.#listWatch.stop();
    this.client.close();
  }
}

describe('list-and-watch against a real etcd', () => {
  let etcd: TestEtcd;
  let proxy: TcpProxy;
  let direct: EtcdClient;

  beforeAll(async () => {
    etcd = await startEtcd({ extraFlags: ['--experimental-watch-progress-notify-interval=200ms'] });
    proxy = await TcpProxy.start(etcd.port);
    direct = createEtcdClient({ endpoints: [etcd.endpoint] });
  });
  afterAll(async () => {
    direct.close();
    await proxy.stop();
    await etcd.stop();
  });

  const follow = async (run: (follower: Follower) => Promise<void>) => {
    const follower = new Follower([`127.0.0.1:${proxy.port}`]);
    try {
      await follower.synced();
      await run(follower);
    } finally {
      proxy.setMode('pass');
      follower.stop();
    }
  };
  const put = (key: string, value: string) =>
    ({ kind: 'put', key: PREFIX + key, value: Buffer.from(value), leaseId: 0n }) as const;

  it('sees a transaction of three puts as three events of one batch', () =>
    follow(async (follower) => {
      await direct.txn(
        [],
        ['a', 'b', 'c'].map((key) => put(key, '1')),
        [],
      );
      await follower.sees('c', '1');
      expect(follower.batches.map((batch) => batch.length)).toEqual([3]);
    }));

  it('sees puts, deletes and a key outside the prefix as what they are', () =>
    follow(async (follower) => {
      await direct.txn([], [{ ...put('x', '1'), key: '/net/subnets-old/10.5.1.0-24' }, put('gone', '1')], []);
      await direct.txn([], [{ kind: 'delete', key: `${PREFIX}gone` }], []);
      await direct.txn([], [put('last', '1')], []);
      await follower.sees('last', '1');
      expect([...follower.table.keys()].sort()).toEqual(['a', 'b', 'c', 'last'].map((key) => PREFIX + key));
    }));

  it('takes up what happened while the link was cut', () =>
    follow(async (follower) => {
      proxy.setMode('refuse');
      await until('stale', () => follower.statuses.at(-1)?.kind === 'stale');
      await direct.txn([], [put('a', 'changed'), { kind: 'delete', key: `${PREFIX}b` }], []);
      proxy.setMode('pass');
      await follower.sees('a', 'changed');
      await follower.sees('b', undefined);
    }));

  it('takes up what happened before a compaction that it missed', () =>
    follow(async (follower) => {
      proxy.setMode('refuse');
      await until('stale', () => follower.statuses.at(-1)?.kind === 'stale');
      await direct.txn([], [{ kind: 'delete', key: `${PREFIX}c` }], []);
      await direct.txn([], [put('d', '1')], []);
      const { revision } = await direct.get('none');
      await etcd.ctl('compact', revision.toString());
      proxy.setMode('pass');
      await follower.sees('d', '1');
      await follower.sees('c', undefined);
    }));

  it('says once that etcd is gone, keeps the table, and follows again after kill -9 and restart', () =>
    follow(async (follower) => {
      const before = new Map(follower.table);
      await etcd.kill();
      await until('reported', () => follower.health.length > 0);
      expect(follower.table).toEqual(before);
      expect(follower.health[0]?.notice.kind).toBe('down');
      expect(follower.health[0]?.failures[0]?.endpoint).toBe(`http://127.0.0.1:${proxy.port}`);
      await etcd.restart();
      await until('reported', () => follower.health.at(-1)?.notice.kind === 'up');
      await follower.synced();
      await direct.txn([], [put('restarted', '1')], []);
      await follower.sees('restarted', '1');
      expect(follower.health.filter(({ notice }) => notice.kind === 'up')).toHaveLength(1);
    }));

  it(
    'survives a link that swallows everything',
    () =>
      follow(async (follower) => {
        proxy.setMode('blackhole');
        await direct.txn([], [put('swallowed', '1')], []);
        // The keepalive of the connection notices after 10 to 15 s; nothing shorter is allowed by etcd.
        await until('stale', () => follower.statuses.at(-1)?.kind === 'stale', 60_000);
        proxy.setMode('pass');
        await follower.sees('swallowed', '1');
      }),
    90_000,
  );

  it('receives thousands of keys in one list and thousands of changes in order', () =>
    follow(async (follower) => {
      for (let block = 0; block < 50; block++) {
        const puts = Array.from({ length: 100 }, (_, i) => put(`many-${block * 100 + i}`, '1'));
        await direct.txn([], puts, []);
      }
      await follower.sees('many-4999', '1');
      const late = new Follower([etcd.endpoint]);
      await late.synced();
      expect(late.table).toEqual(follower.table);
      late.stop();
    }));

  it('adopts the content of a store that was wiped', () =>
    follow(async (follower) => {
      await etcd.wipe();
      await direct.txn([], [put('new-world', '1')], []);
      await follower.sees('new-world', '1');
      expect([...follower.table.keys()]).toEqual([`${PREFIX}new-world`]);
      expect(follower.statuses.map(({ kind }) => kind)).toContain('store-went-back');
    }));

  it('moves to another endpoint when the one in use goes away', async () => {
    const follower = new Follower([`127.0.0.1:${proxy.port}`, etcd.endpoint]);
    await follower.synced();
    proxy.setMode('refuse');
    await direct.txn([], [put('failover', '1')], []);
    await follower.sees('failover', '1');
    expect(follower.health).toEqual([]);
    follower.stop();
    proxy.setMode('pass');
  });
});
