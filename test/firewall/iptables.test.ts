import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type CommandRunner, createCommandRunner } from '../../src/firewall/command-runner.ts';
import type { FirewallOptions } from '../../src/firewall/firewall.ts';
import { createIptablesFirewall } from '../../src/firewall/iptables-firewall.ts';
import { type Logger, silentLogger } from '../../src/log/log.ts';
import { prefix } from '../support/network.ts';

const h1: FirewallOptions = {
  network: prefix('10.5.0.0/16'),
  subnet: prefix('10.5.21.0/24'),
  forwardRules: true,
  ipMasq: true,
  randomFully: true,
};

const execute = createCommandRunner({ timeoutMs: 30_000, maxOutputBytes: 1 << 20, env: process.env });

function golden(table: string): string {
  return readFileSync(`test/golden/udp/iptables-${table}-h1.txt`, 'utf8');
}

/** Rules and chains as printed, without the built-in chains' counters and the comment lines. */
function withoutDecoration(text: string): string {
  const lines = text.split('\n').filter((line) => !line.startsWith('#'));
  return lines.join('\n').replace(/^(:\S+ \S+) \[\d+:\d+\]$/gm, '$1 [0:0]');
}

describe.each(['nft', 'legacy'])('with iptables-%s in a network namespace', (backend) => {
  const namespace = `fl0-fw-${backend}-${process.pid}`;
  const commands: string[] = [];

  const run: CommandRunner = (command, args, input) => {
    commands.push(command);
    const linked = command.replace('iptables', `iptables-${backend}`);
    return execute('ip', ['netns', 'exec', namespace, linked, ...args], input);
  };
  const inNamespace = (...args: string[]) => execFileSync('ip', ['netns', 'exec', namespace, ...args]).toString();
  const iptables = (...args: string[]) => inNamespace(`iptables-${backend}`, ...args);
  const save = (table: string) => withoutDecoration(inNamespace(`iptables-${backend}-save`, '-t', table));
  const firewall = (options: Partial<FirewallOptions> = {}, logger: Logger = silentLogger) =>
    createIptablesFirewall({ ...h1, ...options }, { run, readGeneration: () => undefined, logger });

  beforeAll(() => {
    execFileSync('ip', ['netns', 'add', namespace]);
  });
  afterAll(() => {
    execFileSync('ip', ['netns', 'del', namespace]);
  });
  beforeEach(() => {
    for (const table of ['filter', 'nat']) {
      iptables('-t', table, '-F');
      iptables('-t', table, '-X');
    }
    commands.length = 0;
  });

  it('installs, byte for byte, what flannel v0.20.2 installs', async () => {
    await firewall().install();
    expect(save('filter')).toBe(golden('filter'));
    expect(save('nat')).toBe(golden('nat'));
  });

  it('leaves right rules alone: nothing is committed and counters run on', async () => {
    await firewall().install();
    iptables('-t', 'nat', '-Z');
    commands.length = 0;
    const again = firewall();
    await again.install();
    expect(await again.resync()).toEqual([]);
    expect(await again.check()).toEqual([]);
    expect(commands).not.toContain('iptables-restore');
  });

  it('takes over the rules of a real flanneld, also where the jump was appended', async () => {
    const appended = `${golden('filter').replace('COMMIT\n', '')}-D FORWARD 1\n-A FORWARD -i lo -j ACCEPT\n-A FORWARD -m comment --comment "flanneld forward" -j FLANNEL-FWD\nCOMMIT\n`;
    execFileSync('ip', ['netns', 'exec', namespace, `iptables-${backend}-restore`], { input: appended });
    const before = save('filter');
    await firewall({ ipMasq: false }).install();
    expect(save('filter')).toBe(before);
  });

  it('never touches rules of others', async () => {
    iptables('-N', 'OTHER');
    iptables('-A', 'OTHER', '-m', 'comment', '--comment', 'it\'s "odd" \\ text', '-j', 'RETURN');
    iptables('-A', 'FORWARD', '-s', '10.5.0.0/16', '-j', 'OTHER');
    iptables('-t', 'nat', '-A', 'POSTROUTING', '-o', 'eth7', '-j', 'MASQUERADE');
    const before = { filter: save('filter'), nat: save('nat') };
    const ours = firewall();
    await ours.install();
    const withoutOurs = (text: string) =>
      text
        .split('\n')
        .filter((line) => !line.includes('FLANNEL-'))
        .join('\n');
    expect({ filter: withoutOurs(save('filter')), nat: withoutOurs(save('nat')) }).toEqual(before);
    await ours.undo();
    expect({ filter: save('filter'), nat: save('nat') }).toEqual(before);
  });

  it('mends what others break, and says what it was', async () => {
    const ours = firewall();
    await ours.install();
    const jump = ['-m', 'comment', '--comment', 'flanneld forward', '-j', 'FLANNEL-FWD'];
    iptables('-A', 'FORWARD', ...jump);
    iptables('-t', 'nat', '-D', 'FLANNEL-POSTRTG', '2');
    const wanted = [
      { table: 'nat', chain: 'FLANNEL-POSTRTG', differences: ['chain differs'] },
      { table: 'filter', chain: 'FLANNEL-FWD', differences: ['jump more than once'] },
    ];
    expect(await ours.check()).toEqual(wanted);
    expect(await ours.resync()).toEqual(wanted);
    expect(save('filter')).toBe(golden('filter'));
    expect(save('nat')).toBe(golden('nat'));

    iptables('-F');
    iptables('-X');
    expect(await ours.resync()).toEqual([
      { table: 'filter', chain: 'FLANNEL-FWD', differences: ['chain missing', 'jump missing'] },
    ]);
    expect(save('filter')).toBe(golden('filter'));
  });

  it('does not overrule an emergency stop, but says once that it stands in front; a start does overrule it', async () => {
    const warnings: object[] = [];
    const logger: Logger = { ...silentLogger, warn: (fields) => void warnings.push(fields) };
    const ours = firewall({ ipMasq: false }, logger);
    await ours.install();
    iptables('-I', 'FORWARD', '-j', 'DROP');
    const stopped = save('filter');
    expect(await ours.resync()).toEqual([]);
    expect(await ours.resync()).toEqual([]);
    expect(warnings).toEqual([{ table: 'filter', chain: 'FORWARD' }]);
    expect(save('filter')).toBe(stopped);
    await firewall({ ipMasq: false }).install();
    const forward = save('filter')
      .split('\n')
      .filter((line) => line.startsWith('-A FORWARD'));
    expect(forward).toEqual([
      '-A FORWARD -m comment --comment "flanneld forward" -j FLANNEL-FWD',
      '-A FORWARD -j DROP',
    ]);
  });

  it('replaces the rules of a previous subnet, and undo brings them back', async () => {
    await firewall({ subnet: prefix('10.5.99.0/24') }).install();
    const before = save('nat');
    const ours = firewall();
    await ours.install();
    expect(save('nat')).toBe(golden('nat'));
    await ours.undo();
    expect(save('nat')).toBe(before);
    expect(save('filter')).toBe(golden('filter'));
  });

  it('undo removes everything where nothing was before', async () => {
    const ours = firewall();
    await ours.install();
    await ours.undo();
    expect(save('filter') + save('nat')).not.toContain('FLANNEL');
    await ours.undo();
  });

  it('removes masquerade rules of an earlier run when ip-masq is off', async () => {
    await firewall().install();
    const before = save('nat');
    const ours = firewall({ ipMasq: false });
    await ours.install();
    expect(save('nat')).not.toContain('FLANNEL');
    expect(save('filter')).toBe(golden('filter'));
    await ours.undo();
    expect(save('nat')).toBe(before);
  });

  it('does not touch the filter table with forward rules off', async () => {
    const ours = firewall({ forwardRules: false });
    await ours.install();
    expect(save('filter')).not.toContain('FLANNEL');
    expect(save('nat')).toBe(golden('nat'));
  });

  it('writes no --random-fully where it is off', async () => {
    await firewall({ randomFully: false }).install();
    expect(save('nat')).toBe(golden('nat').replaceAll(' --random-fully', ''));
  });

  it('leaves the table as it was when a commit is refused', async () => {
    iptables('-N', 'FLANNEL-FWD');
    const before = save('filter');
    const breaking: CommandRunner = (command, args, input) =>
      run(command, args, input?.replace('COMMIT', '-A NO-SUCH-CHAIN -j ACCEPT\nCOMMIT'));
    const ours = createIptablesFirewall(
      { ...h1, ipMasq: false },
      { run: breaking, readGeneration: () => undefined, logger: silentLogger },
    );
    await expect(ours.install()).rejects.toMatchObject({ exit: 'host', message: expect.stringContaining('restore') });
    expect(save('filter')).toBe(before);
  });
});
