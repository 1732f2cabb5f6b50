import { setTimeout as delay } from 'node:timers/promises';
import { rssMib, threadWakes } from '../processor.ts';
import type { Workload } from './workload.ts';

/** Names of our packet threads begin with this (native/core/worker.cc). */
const WORKER_PREFIX = 'fl0-worker';
/** Whatever polls after traffic has stopped by then. */
const SETTLE_MS = 1_000;

/** Nothing at all, after everything before it: memory of the daemon, and whether its packet threads sleep. */
export const idle: Workload = async ({ candidate, seconds }) => {
  const [daemon] = candidate.daemons;
  if (daemon === undefined) return { measured: {}, payloadBytes: 0 };
  await delay(SETTLE_MS);
  const before = threadWakes(daemon.pid, WORKER_PREFIX);
  await delay(seconds * 1000);
  const after = threadWakes(daemon.pid, WORKER_PREFIX);
  const wakes = before === undefined || after === undefined ? {} : { workerWakesPerSecond: (after - before) / seconds };
  return { measured: { rssMib: rssMib(daemon.pid), ...wakes }, payloadBytes: 0 };
};
