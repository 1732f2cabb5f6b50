/** Deleting flannel0 under the daemon, or taking it down, must not spin a core. */
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, describe, expect, test } from 'vitest';
import { EXIT } from '../../src/errors/errors.ts';
import { createLab, type Lab, type LabProcess, waitFor } from '../lab/lab.ts';
import { formNetwork, lastWord, waitForPing } from './support.ts';

/** A spinning thread would burn about 100 ticks in this time. */
const WINDOW_MS = 1_000;

let lab: Lab | undefined;
afterEach(() => lab?.close());

/** Clock ticks (1/100 s) that the packet workers have run: utime and stime of proc_pid_stat(5). */
function workerTicks(daemon: LabProcess): number {
  const stats = readdirSync(`/proc/${daemon.pid}/task`).map((task) =>
    readFileSync(`/proc/${daemon.pid}/task/${task}/stat`, 'utf8'),
  );
  const workers = stats.filter((stat) => stat.includes('(fl0-worker-'));
  if (workers.length === 0) throw new Error('no packet worker');
  const ticksOf = (stat: string) => {
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return Number(fields[11]) + Number(fields[12]);
  };
  return workers.reduce((sum, stat) => sum + ticksOf(stat), 0);
}

// That nothing runs can only be seen over a while.
async function isQuiet(daemon: LabProcess): Promise<boolean> {
  const before = workerTicks(daemon);
  await delay(WINDOW_MS);
  return workerTicks(daemon) === before;
}

describe.each(['--workers=1', '--workers=2'])('%s', (flag) => {
  test('flannel0 deleted: the daemon ends and says why', { timeout: 60_000 }, async () => {
    lab = await createLab();
    const { daemons } = await formNetwork(lab, ['flannel0', 'flannel0'], [flag]);
    const daemon = daemons[0] as LabProcess;
    await lab.ip(lab.host(0), ['link del flannel0']);
    expect(await daemon.exited).toEqual({ status: EXIT.host, signal: undefined });
    expect(lastWord(daemon)).toMatch(/flannel0/);
    const errors = daemon
      .stderr()
      .split('\n')
      .filter((line) => line.includes('"level":"error"'));
    expect(errors).toHaveLength(1);
  });

  test('flannel0 taken down: the workers sleep, and forward again once it is up', { timeout: 90_000 }, async () => {
    lab = await createLab();
    const { daemons } = await formNetwork(lab, ['flannel0', 'flannel0'], [flag, '--poll-us=50']);
    const daemon = daemons[0] as LabProcess;
    const [host, peer] = [lab.host(0), lab.host(1)];
    await lab.ip(host, ['link set flannel0 down']);
    await waitFor(() => isQuiet(daemon), 30_000, 'workers that do not run');
    // Packets for a device that is down are dropped, each at once.
    const ping = ['ping', '-q', '-c', '20', '-i', '0.01', '-W', '1', lab.container(0).address ?? ''];
    expect((await lab.exec(lab.container(1), ping, { anyStatus: true })).stdout).toContain('100% packet loss');
    await waitFor(() => isQuiet(daemon), 30_000, 'workers that do not run after packets came');
    expect(daemon.exitStatus()).toBeUndefined();

    await lab.ip(host, ['link set flannel0 up', 'route replace 10.5.0.0/16 dev flannel0']);
    await waitForPing(lab, host, peer);
    await waitForPing(lab, peer, host);
    expect(daemon.exitStatus()).toBeUndefined();
  });
});
