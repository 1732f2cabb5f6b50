/** Machine, kernel, commit and command of a run. */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { cpus, release } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import { REPOSITORY } from '../test/lab/lab.ts';
import type { Circumstances } from './measurement.ts';
import type { Options } from './options.ts';
import { cpuSeconds } from './processor.ts';

const LOAD_SAMPLE_MS = 1_000;

export async function circumstancesOf(options: Options, argv: readonly string[]): Promise<Circumstances> {
  const [cpu] = cpus();
  return {
    date: new Date().toISOString().replace(/\.[0-9]+Z$/, 'Z'),
    commit: commit(),
    command: commandLine(argv),
    cpu: cpu?.model.trim() ?? 'unknown processor',
    cores: cpus().length,
    kernel: release(),
    congestionControl: options.congestionControl ?? defaultCongestionControl(),
    mode: options.mode,
    rounds: options.rounds,
    secondsPerWorkload: options.seconds,
    busyBefore: await busyShare(),
  };
}

async function busyShare(): Promise<number> {
  const before = cpuSeconds();
  await delay(LOAD_SAMPLE_MS);
  const after = cpuSeconds();
  const busy = after.busy - before.busy;
  const whole = busy + after.idle - before.idle;
  return whole === 0 ? 0 : busy / whole;
}

function defaultCongestionControl(): string {
  return readFileSync('/proc/sys/net/ipv4/tcp_congestion_control', 'utf8').trim();
}

function git(...args: readonly string[]): string | undefined {
  const { status, stdout } = spawnSync('git', args, { cwd: REPOSITORY, encoding: 'utf8' });
  return status === 0 ? stdout.trim() : undefined;
}

/** `-dirty`: what ran is not what the commit says. Results of an earlier run do not count. */
function commit(): string {
  const hash = git('rev-parse', '--short=12', 'HEAD');
  if (hash === undefined) return 'unknown';
  const changes = git('status', '--porcelain', '--untracked-files=no', '--', ':/', ':(exclude,top)bench/results');
  return changes === '' ? hash : `${hash}-dirty`;
}

/** As it is typed in a shell. */
export function commandLine(argv: readonly string[]): string {
  const quoted = argv.map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`));
  return ['npm run bench', ...(quoted.length === 0 ? [] : ['--', ...quoted])].join(' ');
}
