/** Acquiring a subnet, against a real etcd; a wrapped client stands in for races and lost answers. */
import { setMaxListeners } from 'node:events';
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { OperatorError } from '../../src/errors/errors.ts';
import { createEtcdClient } from '../../src/etcd-watch/etcd-client.ts';
import { type Clock, type EtcdClient, EtcdError, systemClock } from '../../src/etcd-watch/etcd-watch.ts';
import { formatPrefix } from '../../src/ip/ip.ts';
import { createLeaseManager, type HeldLease, type LeaseManager } from '../../src/lease/lease-manager.ts';
import type { LeaseStoreClient } from '../../src/lease/lease-store.ts';
import { startEtcd, type TestEtcd } from '../support/etcd.ts';
import { LogRecorder } from '../support/log-recorder.ts';
import { networkConfig, prefix, udpAttributes } from '../support/network.ts';

const ROOMY = networkConfig('10.5.0.0/16', 24, '10.5.1.0', '10.5.255.0');
const { signal } = new AbortController();
// A dozen managers share it.
setMaxListeners(0, signal);
/** Real time, but waits after a lost race cost next to nothing. */
const clock: Clock = {
  ...systemClock(),
  schedule: (delayMs, run) => systemClock().schedule(Math.min(delayMs, 5), run),
};

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

/** A prefix of its own for each test. */
function network() {
  const etcdPrefix = `/test-${networks++}/network`;
  const logger = new LogRecorder();
  const key = (tail: string) => `${etcdPrefix}/subnets/${tail}`;
  const manager = (through: LeaseStoreClient = client): LeaseManager =>
    createLeaseManager({
      client: through,
      etcdPrefix,
      logger,
      clock,
      bootSeconds: () => performance.now() / 1000,
      random: Math.random,
    });
  return { etcdPrefix, logger, key, manager };
}

const request = (publicIp: string, config = ROOMY) => ({ config, attributes: udpAttributes(publicIp) });
const subnetOf = (held: HeldLease) => formatPrefix(held.lease.subnet.ipv4);

/** What `etcdctl get -w json` shows of a key; etcd leaves `lease` out where there is none. */
async function stored(key: string): Promise<{ value: string; lease?: number } | undefined> {
  const answer = JSON.parse(await etcd.ctl('get', '-w', 'json', key)) as { kvs?: { value: string; lease?: number }[] };
  const kv = answer.kvs?.[0];
  return kv && { ...kv, value: Buffer.from(kv.value, 'base64').toString() };
}

async function etcdLeases(): Promise<number> {
  const answer = JSON.parse(await etcd.ctl('lease', 'list', '-w', 'json')) as { leases?: unknown[] };
  return answer.leases?.length ?? 0;
}

describe('acquire', () => {
  it('writes key and value as a real flanneld does, under an etcd lease of a day', async () => {
    const { key, manager } = network();
    const held = await manager().acquire(request('172.31.0.1'), signal);
    const golden = readFileSync(new URL('../golden/udp/etcd.txt', import.meta.url), 'utf8')
      .trim()
      .split('\n');
    const [goldenKey = '', goldenValue] = golden.slice(golden.findIndex((line) => line.includes('/subnets/')));
    const shape = goldenKey.replace(/^.*subnets\/10\.5\.[0-9]+\.0-24$/, key('10.5.N.0-24'));
    expect(held.key.replace(/10\.5\.[0-9]+\.0/, '10.5.N.0')).toBe(shape);
    expect((await stored(held.key))?.value).toBe(goldenValue);
    const lease = JSON.parse(await etcd.ctl('lease', 'timetolive', held.leaseId.toString(16), '-w', 'json'));
    expect(lease['granted-ttl']).toBe(86_400);
    expect(held).toMatchObject({ origin: 'created', ttlSeconds: 86_400 });
  });

  it('gives three hosts that start at the same instant three subnets', async () => {
    const { manager } = network();
    const held = await Promise.all([1, 2, 3].map((i) => manager().acquire(request(`172.31.0.${i}`), signal)));
    expect(new Set(held.map(subnetOf)).size).toBe(3);
  });

  it('gives every host a subnet where there is room for exactly that many, and the next a clear refusal', async () => {
    const { manager, etcdPrefix } = network();
    const tight = networkConfig('10.6.0.0/20', 24, '10.6.4.0', '10.6.15.0');
    const before = await etcdLeases();
    const hosts = Array.from({ length: 12 }, (_, i) => `172.31.1.${i}`);
    const held = await Promise.all(hosts.map((ip) => manager().acquire(request(ip, tight), signal)));
    expect(new Set(held.map(subnetOf)).size).toBe(12);
    expect(await etcdLeases(), 'a lost race leaves no etcd lease').toBe(before + 12);
    const refused = manager().acquire(request('172.31.1.99', tight), signal);
    const message = `no free subnet in 10.6.0.0/20 (subnets of /24 from 10.6.4.0 to 10.6.15.0): 12 keys under ${etcdPrefix}/subnets/`;
    await expect(refused).rejects.toThrow(OperatorError);
    await expect(refused).rejects.toThrow(message);
    await expect(refused).rejects.toMatchObject({ exit: 'subnet' });
  });

  it('takes the same subnet after a restart, and gives the etcd lease of the run before back', async () => {
    const { manager } = network();
    const first = await manager().acquire(request('172.31.0.1'), signal);
    const before = await etcdLeases();
    const second = await manager().acquire(request('172.31.0.1'), signal);
    expect(second).toMatchObject({ key: first.key, origin: 'reused' });
    expect(second.leaseId).not.toBe(first.leaseId);
    expect(BigInt((await stored(second.key))?.lease ?? 0)).not.toBe(0n);
    expect(await etcdLeases()).toBe(before);
  });

  it('leaves an etcd lease alone that holds other keys as well', async () => {
    const { manager, key, etcdPrefix } = network();
    const granted = await etcd.ctl('lease', 'grant', '1000');
    const id = /lease ([0-9a-f]+) granted/.exec(granted)?.[1] ?? '';
    await etcd.ctl('put', `--lease=${id}`, key('10.5.9.0-24'), '{"PublicIP":"172.31.0.1","PublicIPv6":null}');
    await etcd.ctl('put', `--lease=${id}`, `${etcdPrefix}/other`, 'x');
    expect(subnetOf(await manager().acquire(request('172.31.0.1'), signal))).toBe('10.5.9.0/24');
    expect(await stored(`${etcdPrefix}/other`)).toBeDefined();
  });

  it('prefers the previous subnet where it is free, and only there', async () => {
    const { manager, logger } = network();
    const previous = { ipv4: prefix('10.5.77.0/24') };
    const held = await manager().acquire({ ...request('172.31.0.1'), previous }, signal);
    expect([subnetOf(held), held.origin]).toEqual(['10.5.77.0/24', 'previous']);
    const other = await manager().acquire({ ...request('172.31.0.2'), previous }, signal);
    expect(subnetOf(other)).not.toBe('10.5.77.0/24');
    const stray = await manager().acquire(
      { ...request('172.31.0.3'), previous: { ipv4: prefix('10.9.0.0/24') } },
      signal,
    );
    expect(subnetOf(stray)).toMatch(/^10\.5\./);
    expect(logger.said).toEqual([
      'the previous subnet 10.5.77.0/24 is taken: choosing another',
      'the previous subnet 10.9.0.0/24 does not fit the network configuration: choosing another',
    ]);
  });

  it('keeps a reservation without an etcd lease, and touches it only where the value differs', async () => {
    const { manager, key } = network();
    await etcd.put(key('10.5.50.0-24'), '{"PublicIP": "172.31.0.1"}');
    const held = await manager().acquire(request('172.31.0.1'), signal);
    expect(held).toMatchObject({ key: key('10.5.50.0-24'), leaseId: 0n, origin: 'reservation' });
    const first = await stored(held.key);
    expect(first).toMatchObject({ value: '{"PublicIP":"172.31.0.1","PublicIPv6":null}' });
    expect(first).not.toHaveProperty('lease');
    const again = await manager().acquire(request('172.31.0.1'), signal);
    expect(again.modRevision).toBe(held.modRevision);
    expect(await stored(held.key)).toEqual(first);
  });

  it('prefers its reservation to a lease that it holds as well', async () => {
    const { manager, key } = network();
    await manager().acquire({ ...request('172.31.0.1'), previous: { ipv4: prefix('10.5.2.0/24') } }, signal);
    await etcd.put(key('10.5.50.0-24'), '{"PublicIP":"172.31.0.1","PublicIPv6":null}');
    expect(subnetOf(await manager().acquire(request('172.31.0.1'), signal))).toBe('10.5.50.0/24');
  });

  it('deletes its lease that no longer fits the configuration, but no reservation', async () => {
    const { manager, key, logger } = network();
    const wide = networkConfig('10.0.0.0/8', 20, '10.0.16.0', '10.255.240.0');
    const old = await manager().acquire(request('172.31.0.1', wide), signal);
    await etcd.put(key('10.200.0.0-20'), '{"PublicIP":"172.31.0.1","PublicIPv6":null}');
    const held = await manager().acquire(request('172.31.0.1'), signal);
    expect(subnetOf(held)).toMatch(/^10\.5\.[0-9]+\.0\/24$/);
    expect(await stored(old.key)).toBeUndefined();
    expect(await stored(key('10.200.0.0-20'))).toBeDefined();
    expect(logger.said.some((line) => line.includes('reservation and stays'))).toBe(true);
  });

  it('never takes a subnet whose key holds something unreadable', async () => {
    const { manager, key } = network();
    const two = networkConfig('10.7.0.0/22', 24, '10.7.1.0', '10.7.2.0');
    await etcd.put(key('10.7.1.0-24'), 'not JSON');
    expect(subnetOf(await manager().acquire(request('172.31.0.1', two), signal))).toBe('10.7.2.0/24');
    await expect(manager().acquire(request('172.31.0.2', two), signal)).rejects.toMatchObject({ exit: 'subnet' });
  });
});

describe('trouble on the way', () => {
  const two = networkConfig('10.7.0.0/22', 24, '10.7.1.0', '10.7.2.0');

  it('loses a race and takes the next', async () => {
    const { manager, key } = network();
    let raced = false;
    const before = await etcdLeases();
    const racing: LeaseStoreClient = {
      ...bind(client),
      txn: async (compares, thenOps, elseOps) => {
        const target = thenOps[0];
        if (!raced && target?.kind === 'put') {
          raced = true;
          await etcd.put(target.key, '{"PublicIP":"172.31.0.9","PublicIPv6":null}');
        }
        return client.txn(compares, thenOps, elseOps);
      },
    };
    const held = await manager(racing).acquire(request('172.31.0.1', two), signal);
    const rival = held.key === key('10.7.1.0-24') ? key('10.7.2.0-24') : key('10.7.1.0-24');
    expect((await stored(rival))?.value).toContain('172.31.0.9');
    expect(await etcdLeases()).toBe(before + 1);
  });

  it('gives up after many races with one clear line', async () => {
    const { manager } = network();
    const losing = { ...bind(client), txn: async () => ({ succeeded: false, revision: 1n, gets: [undefined] }) };
    const before = await etcdLeases();
    const attempt = manager(losing).acquire(request('172.31.0.1'), signal);
    await expect(attempt).rejects.toMatchObject({ exit: 'subnet' });
    await expect(attempt).rejects.toThrow(/another host was faster 50 times in a row/);
    expect(await etcdLeases()).toBe(before);
  }, 60_000);

  it('recognises its own key when the answer to the write was lost', async () => {
    const { manager } = network();
    let lost = 0;
    const lossy: LeaseStoreClient = {
      ...bind(client),
      txn: async (compares, thenOps, elseOps) => {
        const result = await client.txn(compares, thenOps, elseOps);
        if (lost++ === 0) throw new EtcdError('unavailable', 'http://e', 'connection reset');
        return result;
      },
    };
    const before = await etcdLeases();
    const held = await manager(lossy).acquire(request('172.31.0.1'), signal);
    expect(lost).toBe(1);
    expect(BigInt((await client.get(held.key)).kv?.modRevision ?? 0n)).toBe(held.modRevision);
    expect(await etcdLeases()).toBe(before + 1);
  });

  it('makes sure that a write which seemed lost cannot arrive late', async () => {
    const { manager, etcdPrefix } = network();
    let late: (() => Promise<unknown>) | undefined;
    const delayed: LeaseStoreClient = {
      ...bind(client),
      txn: (compares, thenOps, elseOps) => {
        if (late !== undefined) return client.txn(compares, thenOps, elseOps);
        late = () => client.txn(compares, thenOps, elseOps);
        return Promise.reject(new EtcdError('deadline', 'http://e', 'no answer in time'));
      },
    };
    await manager(delayed).acquire(request('172.31.0.1'), signal);
    await expect(late?.()).rejects.toMatchObject({ code: 'lease-not-found' });
    const { kvs } = await client.range(etcdPrefix, { linearizable: true });
    expect(kvs).toHaveLength(1);
  });

  it('waits for an etcd that refuses, says so, and leaves nothing behind meanwhile', async () => {
    const { manager, logger } = network();
    let refusals = 3;
    const refusing: LeaseStoreClient = {
      ...bind(client),
      txn: async (compares, thenOps, elseOps) => {
        if (refusals-- > 0) throw new EtcdError('permission', 'http://e', 'etcdserver: permission denied');
        return client.txn(compares, thenOps, elseOps);
      },
    };
    const before = await etcdLeases();
    await manager(refusing).acquire(request('172.31.0.1'), signal);
    expect(await etcdLeases()).toBe(before + 1);
    expect(logger.said.filter((line) => line.includes('permission denied'))).toHaveLength(1);
  });

  it('stops waiting when told to', async () => {
    const { manager } = network();
    const abort = new AbortController();
    const silent = { ...bind(client), range: () => Promise.reject(new EtcdError('unavailable', 'http://e', 'gone')) };
    const attempt = manager(silent).acquire(request('172.31.0.1'), abort.signal);
    abort.abort(new Error('told to'));
    await expect(attempt).rejects.toThrow('told to');
  });

  it('leaves no key behind when told to stop while its write is under way', async () => {
    const { manager, etcdPrefix } = network();
    const abort = new AbortController();
    const before = await etcdLeases();
    let written = false;
    const late: LeaseStoreClient = {
      ...bind(client),
      txn: async (...args) => {
        abort.abort(new Error('told to'));
        const result = await client.txn(...args);
        written = result.succeeded;
        return result;
      },
    };
    await expect(manager(late).acquire(request('172.31.0.1'), abort.signal)).rejects.toThrow('told to');
    expect(written).toBe(true);
    expect((await client.range(etcdPrefix, { linearizable: true })).kvs).toEqual([]);
    expect(await etcdLeases()).toBe(before);
  });
});

describe('release', () => {
  it('deletes what this run created, and nothing that it found', async () => {
    const { manager, key } = network();
    const created = await manager().acquire(request('172.31.0.1'), signal);
    await manager().release(created);
    expect(await stored(created.key)).toBeUndefined();
    await manager().acquire(request('172.31.0.2'), signal);
    const reused = await manager().acquire(request('172.31.0.2'), signal);
    await manager().release(reused);
    expect(await stored(reused.key)).toBeDefined();
    await etcd.put(key('10.5.50.0-24'), '{"PublicIP":"172.31.0.3","PublicIPv6":null}');
    await manager().release(await manager().acquire(request('172.31.0.3'), signal));
    expect(await stored(key('10.5.50.0-24'))).toBeDefined();
  });
});

describe('reacquire', () => {
  it('takes the same subnet again where it is free', async () => {
    const { manager } = network();
    const held = await manager().acquire(request('172.31.0.1'), signal);
    await client.leaseRevoke(held.leaseId);
    const result = await manager().reacquire(held, signal);
    if (result.kind !== 'held') throw new Error(result.kind);
    expect(result.held.key).toBe(held.key);
    expect(result.held.leaseId).not.toBe(held.leaseId);
    expect(await stored(held.key)).toBeDefined();
  });

  it('finds that nothing was lost', async () => {
    const { manager } = network();
    const held = await manager().acquire(request('172.31.0.1'), signal);
    const result = await manager().reacquire(held, signal);
    expect(result).toMatchObject({ kind: 'held', held: { leaseId: held.leaseId, modRevision: held.modRevision } });
  });

  it('says whose it is where it is taken, be it under the same key or one that overlaps', async () => {
    const { manager, key } = network();
    const previous = { ipv4: prefix('10.5.8.0/24') };
    const held = await manager().acquire({ ...request('172.31.0.1'), previous }, signal);
    await etcd.put(held.key, '{"PublicIP":"172.31.0.2","PublicIPv6":null}');
    expect(await manager().reacquire(held, signal)).toEqual({ kind: 'taken', by: '172.31.0.2 holds 10.5.8.0/24' });
    await etcd.ctl('del', held.key);
    await etcd.put(key('10.5.0.0-20'), '{"PublicIP":"172.31.0.3","PublicIPv6":null}');
    expect(await manager().reacquire(held, signal)).toEqual({ kind: 'taken', by: '172.31.0.3 holds 10.5.0.0/20' });
  });

  it('mends a value that somebody broke, and accepts that a lease became a reservation', async () => {
    const { manager } = network();
    const held = await manager().acquire(request('172.31.0.1'), signal);
    await etcd.put(held.key, 'oops');
    const mended = await manager().reacquire(held, signal);
    expect((await stored(held.key))?.value).toBe('{"PublicIP":"172.31.0.1","PublicIPv6":null}');
    if (mended.kind !== 'held') throw new Error(mended.kind);
    await etcd.put(held.key, '{"PublicIP":"172.31.0.1","PublicIPv6":null}');
    expect(await manager().reacquire(mended.held, signal)).toMatchObject({ kind: 'held', held: { leaseId: 0n } });
  });
});

/** Methods of the client as plain functions, so that a test can replace some. */
function bind(real: EtcdClient): LeaseStoreClient {
  return {
    range: (...args) => real.range(...args),
    get: (...args) => real.get(...args),
    txn: (...args) => real.txn(...args),
    leaseGrant: (...args) => real.leaseGrant(...args),
    leaseRevoke: (...args) => real.leaseRevoke(...args),
    leaseKeys: (...args) => real.leaseKeys(...args),
    leaseKeepAlive: (...args) => real.leaseKeepAlive(...args),
  };
}
