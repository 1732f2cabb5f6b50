import { describe, expect, it } from 'vitest';
import { type CommandRunner, createCommandRunner } from '../../src/firewall/command-runner.ts';
import { openIptables } from '../../src/firewall/iptables.ts';
import { createIptablesFirewall } from '../../src/firewall/iptables-firewall.ts';
import { parsePrefix } from '../../src/ip/ip.ts';
import { silentLogger } from '../../src/log/log.ts';

const network = parsePrefix('10.5.0.0/16');
const subnet = parsePrefix('10.5.21.0/24');
if (network === undefined || subnet === undefined) throw new Error('bad fixture');
const options = { network, subnet, forwardRules: true, ipMasq: false, randomFully: true };

function answering(answers: Record<string, Partial<Awaited<ReturnType<CommandRunner>>>>): CommandRunner {
  return async (command) => ({ status: 0, stdout: '', stderr: '', ...answers[command] });
}

const version = { stdout: 'iptables v1.8.9 (nf_tables)\n' };

describe('openIptables', () => {
  it.each([
    ['iptables v1.8.9 (nf_tables)', '1.8.9 (nf_tables)', true],
    ['iptables v1.8.9 (legacy)', '1.8.9 (legacy)', true],
    ['iptables v1.6.2', '1.6.2', true],
    ['iptables v1.6.1', '1.6.1', false],
    ['iptables v1.4.21', '1.4.21', false],
    ['iptables v2.0.0 (nf_tables)', '2.0.0 (nf_tables)', true],
  ])('%s', async (stdout, text, modern) => {
    const seen: (readonly string[])[] = [];
    const tools = await openIptables(async (command, args) => {
      if (command === 'iptables-restore') seen.push(args);
      return { status: 0, stdout, stderr: '' };
    });
    await tools.commit('*filter\nCOMMIT\n');
    expect(tools).toMatchObject({ version: text, randomFully: modern });
    expect(seen).toEqual([modern ? ['--noflush', '--wait=10'] : ['--noflush']]);
  });

  it('names the package where iptables is missing', async () => {
    const run = createCommandRunner({ timeoutMs: 5_000, maxOutputBytes: 1000, env: {} });
    const missing: CommandRunner = (command, args) => run(`no-such-${command}`, args);
    await expect(openIptables(missing)).rejects.toMatchObject({
      exit: 'host',
      message: expect.stringMatching(/iptables not found; install the package "iptables"/),
    });
  });

  it('asks for an iptables that answers with a version', async () => {
    await expect(openIptables(answering({ iptables: { stdout: 'hello' } }))).rejects.toMatchObject({ exit: 'host' });
  });
});

describe('failures', () => {
  it.each([
    'iptables-save v1.8.9 (nf_tables): Could not fetch rule set generation id: Permission denied (you must be root)',
    'iptables-save v1.8.9 (legacy): Cannot initialize: Permission denied (you must be root)',
    "Fatal: can't open lock file /run/xtables.lock: Permission denied",
  ])('of privileges: %s', async (stderr) => {
    const run = answering({ iptables: version, 'iptables-save': { status: 4, stderr } });
    const firewall = createIptablesFirewall(options, { run, readGeneration: () => undefined, logger: silentLogger });
    await expect(firewall.install()).rejects.toMatchObject({
      exit: 'privileges',
      message: expect.stringContaining(stderr),
    });
  });

  it('quote what iptables said', async () => {
    const run = answering({
      iptables: version,
      'iptables-restore': { status: 2, stderr: '# Warning: x\niptables-restore: line 3 failed\nmore' },
    });
    const firewall = createIptablesFirewall(options, { run, readGeneration: () => undefined, logger: silentLogger });
    await expect(firewall.install()).rejects.toMatchObject({
      exit: 'host',
      message: 'iptables-restore --noflush --wait=10 failed: iptables-restore: line 3 failed',
    });
  });

  it('do not matter where no rule is wanted', async () => {
    const run: CommandRunner = () =>
      Promise.reject(Object.assign(new Error('spawn iptables ENOENT'), { code: 'ENOENT' }));
    const firewall = createIptablesFirewall(
      { ...options, forwardRules: false },
      { run, readGeneration: () => undefined, logger: silentLogger },
    );
    await firewall.install();
    expect(await firewall.resync()).toEqual([]);
    await firewall.undo();
  });
});

describe('an iptables with a spelling of its own', () => {
  it('does not have its rules replaced at every check', async () => {
    let committed = 0;
    const chain = () =>
      committed === 0
        ? ''
        : ':FLANNEL-FWD - [0:0]\n-A FORWARD -m comment --comment "flanneld forward" -j FLANNEL-FWD\n-A FLANNEL-FWD --from ten -j ACCEPT\n-A FLANNEL-FWD --to ten -j ACCEPT\n';
    const run: CommandRunner = async (command) => {
      if (command === 'iptables-restore') committed++;
      const saved = `*filter\n:FORWARD ACCEPT [0:0]\n${chain()}COMMIT\n`;
      return { status: 0, stderr: '', stdout: command === 'iptables' ? 'iptables v9.9.9' : saved };
    };
    const firewall = createIptablesFirewall(options, { run, readGeneration: () => undefined, logger: silentLogger });
    await firewall.install();
    expect(await firewall.resync()).toEqual([]);
    expect(await firewall.check()).toEqual([]);
    expect(committed).toBe(1);
  });
});

describe('createCommandRunner', () => {
  const run = createCommandRunner({ timeoutMs: 10_000, maxOutputBytes: 1000, env: process.env });

  it('passes input and returns status and both outputs', async () => {
    const result = await run('sh', ['-c', 'cat; echo oops >&2; exit 3'], 'words');
    expect(result).toEqual({ status: 3, stdout: 'words', stderr: 'oops\n' });
  });

  it('uses no shell', async () => {
    expect((await run('echo', ['$(id)', ';', '*'])).stdout).toBe('$(id) ; *\n');
  });

  it('ends what does not end', async () => {
    const hasty = createCommandRunner({ timeoutMs: 50, maxOutputBytes: 1000, env: process.env });
    await expect(hasty('sleep', ['1000'])).rejects.toMatchObject({ code: 'ETIMEDOUT' });
  });

  it('bounds the output', async () => {
    await expect(run('yes', [])).rejects.toMatchObject({ code: 'ENOBUFS' });
  });

  it('outlives a program that does not read its input', async () => {
    expect((await run('true', [], 'x'.repeat(1 << 20))).status).toBe(0);
  });
});
