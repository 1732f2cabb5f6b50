import { spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { createLab, type Lab, NETWORK_CONFIG, REPOSITORY, waitFor } from './lab.ts';
import { execute } from './process.ts';

let lab: Lab | undefined;
afterEach(async () => {
  await lab?.close();
  lab = undefined;
});

async function namespacesOf(pid: number): Promise<string[]> {
  const { stdout } = await execute(['ip', 'netns', 'list'], undefined);
  return stdout.split('\n').filter((line) => line.startsWith(`fl0-${pid}-`));
}

describe('lab', () => {
  test('three hosts reach each other and etcd over a bridge', async () => {
    lab = await createLab({ hostCount: 3 });
    for (const host of lab.hosts) {
      for (const address of ['172.31.0.1', '172.31.0.2', '172.31.0.3', '172.31.0.100', '172.31.0.250']) {
        await lab.exec(host, ['ping', '-c1', '-W5', '-q', address]);
      }
    }
    expect(await lab.etcdctl('get', '/coreos.com/network/config', '--print-value-only')).toBe(`${NETWORK_CONFIG}\n`);
  });

  test('a pair is one veth, with etcd on the first host', async () => {
    lab = await createLab({ underlay: 'pair', networkConfig: undefined });
    await lab.exec(lab.host(0), ['ping', '-c1', '-W5', '-q', '172.31.0.2']);
    expect(await lab.etcdctl('get', '--prefix', '')).toBe('');
    expect(lab.topology.namespaces).toHaveLength(4);
  });

  test('rp_filter is as asked on interfaces that come later', async () => {
    lab = await createLab({ etcd: false, reversePathFilter: 1 });
    await lab.ip(lab.host(0), ['link add probe0 type bridge']);
    const { stdout } = await lab.exec(lab.host(0), ['cat', '/proc/sys/net/ipv4/conf/probe0/rp_filter']);
    expect(stdout).toBe('1\n');
  });

  test('close takes down processes, namespaces and files, and may be called twice', async () => {
    lab = await createLab();
    const { folder } = lab.host(0);
    const sleeper = lab.spawn(lab.host(0), ['sleep', '1000']);
    await Promise.all([lab.close(), lab.close()]);
    expect(sleeper.exitStatus()).toEqual({ status: undefined, signal: 'SIGTERM' });
    expect((await namespacesOf(process.pid)).filter((name) => lab?.topology.namespaces.includes(name))).toEqual([]);
    expect(existsSync(folder)).toBe(false);
  });

  test('exec reports what a failing command said', async () => {
    lab = await createLab({ etcd: false });
    await expect(lab.exec(lab.host(0), ['ip', 'link', 'show', 'nosuch0'])).rejects.toThrow(/status 1[\s\S]*nosuch0/);
    await expect(lab.exec(lab.host(0), ['sleep', '100'], { deadlineMs: 50 })).rejects.toThrow(
      /not finished after 50 ms/,
    );
  });
});

describe('a lab whose process ends before close', () => {
  const program = `
    import { createLab } from './test/lab/lab.ts';
    const lab = await createLab();
    const sleeper = lab.spawn(lab.host(0), ['sleep', '1000']);
    console.log('ready', sleeper.pid);
    if (process.argv[1] === 'throw') setTimeout(() => { throw new Error('on purpose'); });
    setInterval(() => {}, 1000);
  `;

  async function runLab(argument: string, signal: NodeJS.Signals | undefined) {
    const child = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '--eval', program, argument], {
      cwd: REPOSITORY,
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    let output = '';
    child.stdout.on('data', (chunk) => (output += chunk));
    const ended = new Promise<string>((resolve) => child.on('exit', (status, by) => resolve(by ?? String(status))));
    await waitFor(() => output.includes('\n'), 30_000, 'the lab in a child process');
    const sleeperPid = Number(/ready ([0-9]+)/.exec(output)?.[1]);
    if (signal !== undefined) child.kill(signal);
    return { pid: child.pid ?? -1, sleeperPid, how: await ended };
  }

  test.each(['SIGINT', 'SIGTERM'] as const)('%s: everything is gone, and the signal has its effect', async (signal) => {
    const { pid, sleeperPid, how } = await runLab('', signal);
    expect(how).toBe(signal);
    expect(await namespacesOf(pid)).toEqual([]);
    expect(existsSync(`/proc/${sleeperPid}`)).toBe(false);
  });

  test('an uncaught error: everything is gone, exit status 1', async () => {
    const { pid, how } = await runLab('throw', undefined);
    expect(how).toBe('1');
    expect(await namespacesOf(pid)).toEqual([]);
  });

  test('SIGKILL: its processes die with it, and the next lab sweeps its namespaces', async () => {
    const { pid, sleeperPid } = await runLab('', 'SIGKILL');
    expect((await namespacesOf(pid)).length).toBeGreaterThan(0);
    await waitFor(() => !isRunning(sleeperPid), 5_000, 'death of the process in the lab');
    lab = await createLab({ etcd: false });
    expect(await namespacesOf(pid)).toEqual([]);
  });
});

/** A process that died but was not reaped (its parent is gone) still has a folder in /proc, in state Z. */
function isRunning(pid: number): boolean {
  if (!readdirSync('/proc').includes(String(pid))) return false;
  return !/^State:\s+[ZX]/m.test(readFileSync(join('/proc', String(pid), 'status'), 'utf8'));
}
