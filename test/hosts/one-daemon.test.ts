import { afterEach, expect, test } from 'vitest';
import { EXIT } from '../../src/errors/errors.ts';
import { createLab, type Lab } from '../lab/lab.ts';
import { formNetwork, lastWord, waitForPing } from './support.ts';

let lab: Lab | undefined;
afterEach(() => lab?.close());

test('a second daemon on the host refuses at once, names the first, and harms nothing', {
  timeout: 60_000,
}, async () => {
  lab = await createLab();
  const { daemons } = await formNetwork(lab, ['flannel0', 'flannel0']);
  const host = lab.host(0);
  const before = await lab.etcdctl('get', '--prefix', '/coreos.com/network', '--write-out=json');
  const second = lab.startFlanneld(host, ['--subnet-file', `${host.folder}/second.env`]);
  expect(await second.exited).toEqual({ status: EXIT.busy, signal: undefined });
  expect(lastWord(second)).toMatch(new RegExp(`\\b${daemons[0]?.pid}\\b`));

  expect(daemons[0]?.exitStatus()).toBeUndefined();
  await waitForPing(lab, host, lab.host(1));
  expect(await lab.etcdctl('get', '--prefix', '/coreos.com/network', '--write-out=json')).toBe(before);
});

test('the same port and device on another host are another matter', { timeout: 60_000 }, async () => {
  lab = await createLab({ hostCount: 3 });
  const { envs } = await formNetwork(lab, ['flannel0', 'flannel0', 'flannel0']);
  expect(envs).toHaveLength(3);
});
