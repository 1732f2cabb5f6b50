import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createLab, type Lab, type LabProcess, waitFor } from '../lab/lab.ts';
import { formNetwork } from './support.ts';

/** Longer than the resync of the firewall, so that everything periodic is in it. */
const WINDOW_SECONDS = 8;

let lab: Lab;
let daemon: LabProcess;
beforeAll(async () => {
  lab = await createLab();
  daemon = (await formNetwork(lab, ['flannel0', 'flannel0'])).daemons[0] as LabProcess;
});
afterAll(() => lab?.close());

interface ThreadSwitches {
  readonly name: string;
  /** How often the thread gave up the processor to wait: once for each time it was woken. */
  readonly voluntary: number;
}

function threadsOf(pid: number): ThreadSwitches[] {
  return readdirSync(`/proc/${pid}/task`).map((task) => {
    const status = readFileSync(`/proc/${pid}/task/${task}/status`, 'utf8');
    const field = (name: string) => new RegExp(`^${name}:\\s+(\\S+)`, 'm').exec(status)?.[1] ?? '';
    return { name: field('Name'), voluntary: Number(field('voluntary_ctxt_switches')) };
  });
}

function wakeUps(threads: readonly ThreadSwitches[]): number {
  return threads.reduce((sum, { voluntary }) => sum + voluntary, 0);
}

function workers(): ThreadSwitches[] {
  return threadsOf(daemon.pid).filter(({ name }) => name.startsWith('fl0-worker-'));
}

// The one place where a test waits for time to pass: that nothing happens can only be seen over a while.
test('while nothing is sent the packet workers sleep', { timeout: 90_000 }, async () => {
  expect(workers().length).toBeGreaterThan(0);
  // The kernel's own IPv6 chatter on new links ends by and by.
  const quiet = async () => {
    const before = wakeUps(workers());
    await delay(WINDOW_SECONDS * 1000);
    return wakeUps(workers()) === before;
  };
  await waitFor(quiet, 60_000, `${WINDOW_SECONDS} s in which no packet worker wakes`);
});

test('while nothing is sent the process wakes once a second at most', { timeout: 90_000 }, async () => {
  const calm = async () => {
    const wakes = await countWakes();
    if (wakes > WINDOW_SECONDS) throw new Error(`woken ${wakes} times in ${WINDOW_SECONDS} s`);
    return true;
  };
  await waitFor(calm, 60_000, 'a calm process');
});

/**
 * How often the process woke in the window: what its threads do for one cause (reading the firewall's rules, say) lies
 * within a tenth of a second and counts once.
 */
async function countWakes(): Promise<number> {
  let wakes = 0;
  let before = wakeUps(threadsOf(daemon.pid));
  for (let slot = 0; slot < WINDOW_SECONDS * 10; slot++) {
    await delay(100);
    const now = wakeUps(threadsOf(daemon.pid));
    if (now !== before) wakes += 1;
    before = now;
  }
  return wakes;
}

test('it stays under 120 MiB', () => {
  const resident = /^VmRSS:\s+([0-9]+) kB/m.exec(readFileSync(`/proc/${daemon.pid}/status`, 'utf8'))?.[1];
  expect(Number(resident)).toBeGreaterThan(0);
  expect(Number(resident) / 1024).toBeLessThan(120);
});
