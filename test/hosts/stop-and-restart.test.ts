import { existsSync, readFileSync } from 'node:fs';
import { afterEach, describe, expect, test } from 'vitest';
import { createLab, type Lab, type LabHost, waitFor } from '../lab/lab.ts';
import { type DaemonKind, formNetwork, startDaemon, waitForPing } from './support.ts';

let lab: Lab | undefined;
afterEach(() => lab?.close());

async function deviceExists(on: Lab, host: LabHost): Promise<boolean> {
  return (await on.exec(host, ['ip', 'link', 'show', 'flannel0'], { anyStatus: true })).status === 0;
}

describe.each(['SIGTERM', 'SIGINT'] as const)('%s', (signal) => {
  test('stops cleanly: exit status 0, device and routes gone, lease and subnet.env kept', {
    timeout: 60_000,
  }, async () => {
    lab = await createLab();
    const { daemons } = await formNetwork(lab, ['flannel0', 'flannel0']);
    const host = lab.host(0);
    const keys = await lab.etcdctl('get', '--prefix', '/coreos.com/network/subnets');
    const file = readFileSync(host.subnetFile, 'utf8');

    expect(await daemons[0]?.stop(signal)).toEqual({ status: 0, signal: undefined });
    expect(await deviceExists(lab, host)).toBe(false);
    expect((await lab.exec(host, ['ip', 'route'])).stdout).not.toContain('10.5.0.0/16');
    expect(await lab.etcdctl('get', '--prefix', '/coreos.com/network/subnets')).toBe(keys);
    expect(readFileSync(host.subnetFile, 'utf8')).toBe(file);
  });
});

test('a daemon that was killed leaves nothing that keeps the next one out', { timeout: 60_000 }, async () => {
  lab = await createLab();
  const { daemons, envs } = await formNetwork(lab, ['flannel0', 'flannel0']);
  await daemons[0]?.stop('SIGKILL');
  const again = lab.startFlanneld(lab.host(0));
  expect(await lab.joinContainers(lab.host(0), again)).toEqual(envs[0]);
  await waitForPing(lab, lab.host(0), lab.host(1));
});

describe.each<[DaemonKind, DaemonKind]>([
  ['flannel0', 'flannel0'],
  ['model peer', 'flannel0'],
  ['flannel0', 'model peer'],
])('a host that ran %s and now runs %s', (before, after) => {
  test('gets the same subnet again, by its public IP', { timeout: 60_000 }, async () => {
    lab = await createLab();
    const { daemons, envs } = await formNetwork(lab, [before, 'flannel0']);
    await daemons[0]?.stop();
    const again = startDaemon(lab, after, lab.host(0));
    await waitFor(() => deviceExists(lab as Lab, (lab as Lab).host(0)), 20_000, 'the device of the second daemon');
    expect(await lab.joinContainers(lab.host(0), again)).toEqual(envs[0]);
    await waitForPing(lab, lab.host(0), lab.host(1));
    await waitForPing(lab, lab.host(1), lab.host(0));
    const keys = await lab.etcdctl('get', '--prefix', '--keys-only', '/coreos.com/network/subnets');
    expect(keys.split('\n').filter((line) => line !== '')).toHaveLength(2);
  });
});

test('a host whose lease is gone gets the subnet of its subnet.env again', { timeout: 60_000 }, async () => {
  lab = await createLab();
  const { daemons, envs } = await formNetwork(lab, ['flannel0', 'flannel0']);
  await daemons[0]?.stop();
  const key = `/coreos.com/network/subnets/${envs[0]?.subnet.replace(/1\/24$/, '0-24')}`;
  expect(await lab.etcdctl('del', key)).toBe('1\n');
  expect(existsSync(lab.host(0).subnetFile)).toBe(true);
  const again = lab.startFlanneld(lab.host(0));
  await lab.waitWhileRunning(
    again,
    async () => (await (lab as Lab).etcdctl('get', key)) !== '',
    20_000,
    `the key ${key}`,
  );
  expect(await lab.joinContainers(lab.host(0), again)).toEqual(envs[0]);
  await waitForPing(lab, lab.host(0), lab.host(1));
});

test('routes follow the leases: a host that leaves is forgotten, one that joins is reached', {
  timeout: 60_000,
}, async () => {
  lab = await createLab({ hostCount: 3 });
  const { daemons, envs } = await formNetwork(lab, ['flannel0', 'flannel0', 'flannel0']);
  await daemons[2]?.stop();
  await lab.etcdctl('del', `/coreos.com/network/subnets/${envs[2]?.subnet.replace(/1\/24$/, '0-24')}`);
  const [near, gone] = [lab.container(0), lab.container(2)];
  const ping = ['ping', '-c', '1', '-W', '1', gone.address ?? ''];
  const refused = async () =>
    (await (lab as Lab).exec(near, ping, { anyStatus: true })).stdout.includes('Net Unreachable');
  await waitFor(refused, 10_000, 'net unreachable for the host that left');
  const again = lab.startFlanneld(lab.host(2));
  await lab.joinContainers(lab.host(2), again);
  await waitForPing(lab, lab.host(0), lab.host(2));
  await waitForPing(lab, lab.host(2), lab.host(1));
});
