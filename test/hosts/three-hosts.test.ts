import { afterAll, beforeAll, expect, test } from 'vitest';
import { createLab, type Lab } from '../lab/lab.ts';
import { formNetwork, golden } from './support.ts';

let lab: Lab;
beforeAll(async () => {
  lab = await createLab({ hostCount: 3 });
});
afterAll(() => lab?.close());

/** Replaces what differs from run to run: which subnets the hosts drew. Keys come sorted, as etcd keeps them. */
function normalise(text: string): string {
  let count = 0;
  return text.replaceAll(/\/subnets\/10\.5\.[0-9]+\.0-24/g, () => `/subnets/SUBNET-${++count}`);
}

test('three hosts that start in the same second get three subnets and reach each other', {
  timeout: 60_000,
}, async () => {
  const { envs } = await formNetwork(lab, ['flannel0', 'flannel0', 'flannel0']);
  expect(new Set(envs.map(({ subnet }) => subnet)).size).toBe(3);
  for (const env of envs) {
    expect(env).toMatchObject({ network: '10.5.0.0/16', mtuBytes: 1472, ipMasq: 'false' });
    expect(env.subnet).toMatch(/^10\.5\.[0-9]+\.1\/24$/);
  }

  const [config = '', firstKey = '', firstValue = ''] = golden('etcd.txt')
    .split(/\n(?=\/)/)
    .flatMap(splitEntry);
  const keys = await lab.etcdctl('get', '--prefix', '/coreos.com/network');
  const lines = normalise(keys).trimEnd().split('\n');
  expect(lines.slice(0, 2)).toEqual([config, firstKey]);
  expect(lines.filter((_, i) => i > 1 && i % 2 === 0)).toEqual([1, 2, 3].map((n) => normalisedKey(n)));
  // The golden value, with the address of each host in place of the first one's.
  const values = lab.hosts.map(({ address }) => firstValue.replace('172.31.0.1', address));
  expect(lines.filter((_, i) => i > 1 && i % 2 === 1).sort()).toEqual(values.sort());

  const leases = (await lab.etcdctl('lease', 'list')).split('\n').filter((line) => /^[0-9a-f]{16}$/.test(line));
  const attached = await Promise.all(leases.map((id) => lab.etcdctl('lease', 'timetolive', id, '--keys')));
  const holding = attached.filter((text) => text.includes('/subnets/'));
  expect(holding).toHaveLength(3);
  for (const text of holding) expect(text).toMatch(/granted with TTL\(86400s\)/);
});

function normalisedKey(number: number): string {
  return `/coreos.com/network/subnets/SUBNET-${number}`;
}

/** [config key, config value, value of the first lease] out of the golden listing. */
function splitEntry(entry: string, index: number): string[] {
  const [key = '', value = ''] = entry.split('\n');
  if (index === 0) return [key, value];
  return index === 1 ? [value] : [];
}
