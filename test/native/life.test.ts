/**
 * The addon's whole life: processes and threads that end at each stage, handles that are forgotten, listeners that
 * throw, stop or stand still. Each case is a process in a network namespace of its own; an abort or a crash shows as a
 * signal.
 */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const CHILD = fileURLToPath(new URL('life-child.mjs', import.meta.url));
const ADDON = fileURLToPath(new URL('../../native/build/flannel0.node', import.meta.url));

interface End {
  readonly status: number | null;
  readonly signal: string | null;
  readonly stderr: string;
  readonly said: unknown;
}

function live(stage: string): End {
  const command = ['--net', process.execPath, '--expose-gc', CHILD, ADDON, stage];
  const { status, signal, stdout, stderr } = spawnSync('unshare', ['--kill-child', ...command], {
    encoding: 'utf8',
    timeout: 60_000,
    env: { PATH: process.env.PATH },
  });
  return { status, signal, stderr, said: stdout === '' ? undefined : JSON.parse(stdout) };
}

const ended = (status: number, said?: unknown): End => ({ status, signal: null, stderr: '', said });
const WORKERS = ['fl0-worker-0', 'fl0-worker-1'];
const ALL = ['fl0-netlink', ...WORKERS];

describe('the process ends', () => {
  it.each([
    'exit after create',
    'exit while running',
    'exit while running, counters in view',
    'exit after stop',
    'exit while an event waits',
    'exit while a monitor runs',
  ])('%s', (stage) => {
    expect(live(stage)).toEqual(ended(7));
  });

  it('by itself: nothing keeps the process alive', () => {
    expect(live('nothing keeps the process alive')).toEqual(ended(0, ALL));
  });

  it('a worker thread is terminated: its packet workers end with it', () => {
    expect(live('a worker thread is terminated')).toEqual(ended(0, { before: ALL, after: [] }));
  });
});

describe('handles', () => {
  it('the collector ends what was forgotten', () => {
    expect(live('the collector ends what was forgotten')).toEqual(ended(0, { before: ALL, after: [] }));
  });

  it('counters outlive their forwarder, its workers do not', () => {
    expect(live('counters outlive their forwarder')).toEqual(ended(0, { before: WORKERS, after: [], sum: '0' }));
  });
});

describe('listeners', () => {
  it.each([
    ['onEvent throws', ['from onEvent']],
    ['onMessages throws', ['from onMessages']],
  ])('%s: the exception is not lost', (stage, said) => {
    expect(live(stage)).toEqual(ended(0, said));
  });

  it('a stopped monitor is silent, whatever was queued', () => {
    expect(live('a stopped monitor is silent')).toEqual(ended(0, { calls: 0 }));
  });

  it('a monitor is stopped by its own listener', () => {
    expect(live('a monitor is stopped by its own listener')).toEqual(ended(0, { calls: 1, threads: [] }));
  });

  it('a slow listener hears of its losses', () => {
    const said = { lossTold: true, fewerThanSent: true };
    expect(live('a slow listener hears of its losses')).toEqual(ended(0, said));
  });
});
