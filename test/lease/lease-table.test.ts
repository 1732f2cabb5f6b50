import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { KeyValue, WatchEvent } from '../../src/etcd-watch/etcd-watch.ts';
import { formatAddress, formatPrefix } from '../../src/ip/ip.ts';
import { createLeaseTable, type LeaseChange, subnetsPrefix } from '../../src/lease/lease-table.ts';
import { LogRecorder } from '../support/log-recorder.ts';

const PREFIX = subnetsPrefix('/coreos.com/network');

function kv(tail: string, value: string, modRevision = 1n): KeyValue {
  const bytes = new TextEncoder().encode(value);
  return { key: PREFIX + tail, value: bytes, createRevision: 1n, modRevision, version: 1n, leaseId: 7n };
}

function held(tail: string, publicIp: string, modRevision = 1n): KeyValue {
  return kv(tail, `{"PublicIP":"${publicIp}","PublicIPv6":null}`, modRevision);
}

const put = (entry: KeyValue): WatchEvent => ({ kind: 'put', kv: entry });
const del = (tail: string): WatchEvent => ({ kind: 'delete', key: PREFIX + tail, modRevision: 9n });

function show(change: LeaseChange): string {
  const { subnet, attributes } = change.lease;
  const text = `${formatPrefix(subnet.ipv4)} ${formatAddress(attributes.publicIp)}`;
  return change.kind === 'set' ? `+${text}` : `-${text}`;
}

function setUp() {
  const logger = new LogRecorder();
  const batches: string[][] = [];
  const table = createLeaseTable({
    subnetsPrefix: PREFIX,
    logger,
    onChanges: (changes) => batches.push(changes.map(show)),
  });
  return { logger, batches, table };
}

describe('the prefix', () => {
  it.each([
    ['/coreos.com/network', '/coreos.com/network/subnets/'],
    ['/coreos.com//network/', '/coreos.com/network/subnets/'],
    ['net', 'net/subnets/'],
    ['/', '/subnets/'],
  ])('%s leads to %s', (etcdPrefix, expected) => expect(subnetsPrefix(etcdPrefix)).toBe(expected));
});

describe('the lease table', () => {
  it('turns a snapshot into one batch, and the next into the difference', () => {
    const { table, batches } = setUp();
    table.onSnapshot([held('10.5.1.0-24', '172.31.0.1'), held('10.5.2.0-24', '172.31.0.2')], 5n);
    table.onSnapshot([held('10.5.2.0-24', '172.31.0.9', 8n), held('10.5.3.0-24', '172.31.0.3', 7n)], 8n);
    expect(batches).toEqual([
      ['+10.5.1.0/24 172.31.0.1', '+10.5.2.0/24 172.31.0.2'],
      ['-10.5.1.0/24 172.31.0.1', '+10.5.2.0/24 172.31.0.9', '+10.5.3.0/24 172.31.0.3'],
    ]);
  });

  it('says nothing where nothing changed: a renewal that rewrites the same value is no change', () => {
    const { table, batches } = setUp();
    table.onSnapshot([held('10.5.1.0-24', '172.31.0.1')], 5n);
    table.onChanges([put(held('10.5.1.0-24', '172.31.0.1', 6n))], 6n);
    table.onSnapshot([held('10.5.1.0-24', '172.31.0.1', 6n)], 7n);
    table.onChanges([del('10.5.7.0-24')], 8n);
    expect(batches).toHaveLength(1);
  });

  it('lets no second key for the same IPv4 subnet take it over or take it away', () => {
    const { table, batches, logger } = setUp();
    const second = { ...held('10.5.1.0-24&fd00:5:1::-64', '172.31.0.9', 2n), createRevision: 2n };
    table.onSnapshot([held('10.5.1.0-24', '172.31.0.1')], 1n);
    table.onChanges([put(second)], 2n);
    table.onSnapshot([second, held('10.5.1.0-24', '172.31.0.1')], 3n);
    expect(table.leases()).toHaveLength(1);
    expect(logger.said.filter((line) => line.includes('was there first'))).toHaveLength(1);
    table.onChanges([del('10.5.1.0-24&fd00:5:1::-64')], 9n);
    expect(batches).toEqual([['+10.5.1.0/24 172.31.0.1']]);
  });

  it('falls back to the second key when the first is gone', () => {
    const { table, batches } = setUp();
    const second = { ...held('10.5.1.0-24&fd00:5:1::-64', '172.31.0.9', 2n), createRevision: 2n };
    table.onSnapshot([second, held('10.5.1.0-24', '172.31.0.1')], 2n);
    table.onChanges([del('10.5.1.0-24')], 9n);
    expect(batches.at(-1)).toEqual(['+10.5.1.0/24 172.31.0.9']);
    table.onChanges([del('10.5.1.0-24&fd00:5:1::-64')], 9n);
    expect(batches.at(-1)).toEqual(['-10.5.1.0/24 172.31.0.9']);
  });

  it('compares the whole value, not the subnet alone', () => {
    const { table, batches } = setUp();
    const value = (mac: string) =>
      `{"PublicIP":"172.31.0.1","PublicIPv6":null,"BackendType":"vxlan","BackendData":{"VNI":1,"VtepMAC":"${mac}"}}`;
    table.onSnapshot([kv('10.5.1.0-24', value('aa:bb:cc:dd:ee:01'))], 5n);
    table.onSnapshot([kv('10.5.1.0-24', value('aa:bb:cc:dd:ee:02'))], 6n);
    expect(batches).toHaveLength(2);
    expect(table.leases()[0]?.attributes.backendData).toContain('ee:02');
  });

  it('ignores foreign and broken keys, reports each once per change, and removes nobody for them', () => {
    const { table, batches, logger } = setUp();
    const good = held('10.5.1.0-24', '172.31.0.1');
    const stray = [
      held('old/10.5.1.0-24', '172.31.0.8'),
      held('10.5.1.7-24', '172.31.0.8'),
      kv('10.5.2.0-24', '{broken'),
      kv('10.5.3.0-24', '{"PublicIP":null}'),
      kv('readme\u001b[31m', 'hello'),
    ];
    table.onSnapshot([good, ...stray], 5n);
    table.onSnapshot([good, ...stray], 6n);
    expect(batches).toEqual([['+10.5.1.0/24 172.31.0.1']]);
    expect(logger.said).toHaveLength(stray.length);
    expect(logger.said.at(-1)).toContain('readme\\u001b[31m');
    table.onChanges([put(kv('10.5.2.0-24', '{still broken', 7n))], 7n);
    expect(logger.said).toHaveLength(stray.length + 1);
    table.onChanges([put(held('10.5.2.0-24', '172.31.0.2', 8n))], 8n);
    expect(batches.at(-1)).toEqual(['+10.5.2.0/24 172.31.0.2']);
  });

  it('keeps the last good value of a lease that was broken, until its key goes', () => {
    const { table, batches, logger } = setUp();
    table.onSnapshot([held('10.5.1.0-24', '172.31.0.1')], 5n);
    table.onChanges([put(kv('10.5.1.0-24', 'oops', 6n))], 6n);
    table.onSnapshot([kv('10.5.1.0-24', 'oops', 6n)], 7n);
    expect(table.leases()).toHaveLength(1);
    expect(logger.said).toEqual([expect.stringContaining('the last good value stays in use')]);
    table.onChanges([del('10.5.1.0-24')], 8n);
    expect(batches.at(-1)).toEqual(['-10.5.1.0/24 172.31.0.1']);
  });

  it('does not flood the log when thousands of keys are foreign', () => {
    const { table, logger } = setUp();
    table.onSnapshot(
      Array.from({ length: 5000 }, (_, i) => kv(`stray-${i}`, '')),
      5n,
    );
    expect(logger.said).toHaveLength(11);
    expect(logger.said.at(-1)).toContain('4990 more');
  });

  it('keeps leases that overlap: the longest match decides later', () => {
    const { table } = setUp();
    table.onSnapshot([held('10.5.0.0-16', '172.31.0.1'), held('10.5.2.0-24', '172.31.0.2')], 5n);
    expect(table.leases()).toHaveLength(2);
  });

  it('delivers ten thousand leases as one batch', () => {
    const { table, batches } = setUp();
    const all = Array.from({ length: 10_000 }, (_, i) => held(`10.${i >> 8}.${i & 255}.0-24`, '172.31.0.1'));
    table.onSnapshot(all, 5n);
    expect(batches.map((batch) => batch.length)).toEqual([10_000]);
    expect(table.leases()).toHaveLength(10_000);
  });

  it('tells a consumer that applies the changes what the keys say, however they came', () => {
    const tail = fc.constantFrom('10.5.1.0-24', '10.5.2.0-24', '10.5.3.0-24');
    const change = fc.record({ tail, host: fc.option(fc.integer({ min: 1, max: 3 })), snapshot: fc.boolean() });
    fc.assert(
      fc.property(fc.array(change, { maxLength: 40 }), (changes) => {
        const store = new Map<string, KeyValue>();
        const consumer = new Map<string, string>();
        const table = createLeaseTable({
          subnetsPrefix: PREFIX,
          logger: new LogRecorder(),
          onChanges: (batch) => {
            for (const { kind, lease } of batch) {
              const subnet = formatPrefix(lease.subnet.ipv4);
              if (kind === 'removed') expect(consumer.delete(subnet)).toBe(true);
              else consumer.set(subnet, formatAddress(lease.attributes.publicIp));
            }
          },
        });
        for (const { tail: key, host, snapshot } of changes) {
          const entry = host === null ? undefined : held(key, `172.31.0.${host}`);
          if (entry === undefined) store.delete(key);
          else store.set(key, entry);
          if (snapshot) table.onSnapshot([...store.values()], 1n);
          else table.onChanges([entry === undefined ? del(key) : put(entry)], 1n);
          expect(consumer.size).toBe(store.size);
        }
        const told = table
          .leases()
          .map((lease) => [formatPrefix(lease.subnet.ipv4), formatAddress(lease.attributes.publicIp)]);
        expect(new Map([...consumer].sort())).toEqual(new Map((told as [string, string][]).sort()));
      }),
    );
  });
});
