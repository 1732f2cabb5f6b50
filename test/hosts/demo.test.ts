import { spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { afterEach, expect, test } from 'vitest';
import { REPOSITORY, waitFor } from '../lab/lab.ts';
import { execute } from '../lab/process.ts';

let stop: (() => void) | undefined;
afterEach(() => stop?.());

function startDemo() {
  // A process group of its own: a Ctrl-C on a terminal reaches every process of the group.
  const child = spawn(process.execPath, ['--import', 'tsx', 'demo/main.ts'], {
    cwd: REPOSITORY,
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const pid = child.pid ?? -1;
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output += chunk));
  const ended = new Promise<string>((resolve) =>
    child.on('close', (status, signal) => resolve(signal ?? String(status))),
  );
  stop = () => void child.kill('SIGKILL');
  return { pid, output: () => output, ended };
}

async function namespacesOf(pid: number): Promise<string[]> {
  const { stdout } = await execute(['ip', 'netns', 'list'], undefined);
  return stdout.split('\n').filter((line) => line.startsWith(`fl0-${pid}-`));
}

test('the demo shows leases, routes, a ping and a throughput, and cleans up', { timeout: 60_000 }, async () => {
  const demo = startDemo();
  expect([await demo.ended, demo.output()]).toEqual(['0', expect.stringContaining('All worked')]);
  expect(demo.output()).toMatch(/subnets\/10\.5\.[0-9]+\.0-24 {2}\{"PublicIP":"172\.31\.0\.1","PublicIPv6":null\}/);
  expect(demo.output()).toMatch(/10\.5\.0\.0\/16 dev flannel0/);
  expect(demo.output()).toMatch(/3 received, 0% packet loss/);
  expect(demo.output()).toMatch(/-> .* TCP [1-9][0-9]* Mbit\/s/);
  expect(await namespacesOf(demo.pid)).toEqual([]);
});

test.each([
  ['while it builds', /^$/],
  ['while the daemons start', /A flanneld on each host/],
  ['under load', /\$ iperf3/],
])('Ctrl-C %s leaves no namespace and no process', { timeout: 60_000 }, async (_, seen) => {
  const demo = startDemo();
  await waitFor(() => seen.test(demo.output()), 40_000, String(seen));
  if (seen.test(''))
    await waitFor(async () => (await namespacesOf(demo.pid)).length > 0, 20_000, 'its first namespace');
  process.kill(-demo.pid, 'SIGINT');
  expect(await demo.ended).toBe('SIGINT');
  expect(await namespacesOf(demo.pid)).toEqual([]);
  await waitFor(() => processesOfSession(demo.pid).length === 0, 10_000, 'end of all processes of the demo');
});

/** Processes of a session that still run; field 6 of /proc/PID/stat (proc(5)), counted behind the name in parentheses. */
function processesOfSession(session: number): number[] {
  return readdirSync('/proc')
    .map(Number)
    .filter((pid) => {
      if (!(pid > 0)) return false;
      try {
        const [state, , , sessionOfPid] = readFileSync(`/proc/${pid}/stat`, 'utf8')
          .replace(/^.*\) /s, '')
          .split(' ');
        return Number(sessionOfPid) === session && state !== 'Z' && state !== 'X';
      } catch {
        return false;
      }
    });
}
