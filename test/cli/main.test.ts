import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { type MainIo, main } from '../../src/cli/main.ts';
import { describeCrash } from '../../src/cli/process-entry.ts';
import type { DaemonOptions, RunDaemon } from '../../src/daemon/options.ts';
import { EXIT, type ExitName, OperatorError } from '../../src/errors/errors.ts';

function harness(runDaemon: RunDaemon = async () => 0) {
  const out = { stdout: '', stderr: '', loaded: 0 };
  const io: MainIo = {
    stdout: {
      write(text) {
        out.stdout += text;
      },
    },
    stderr: {
      write(text) {
        out.stderr += text;
      },
    },
    stderrIsTerminal: false,
    version: '1.2.3',
    readFile: (path) => {
      if (path === 'good.json') return '{"Network":"10.5.0.0/16"}';
      if (path === 'bad.json') return '{"Network":"10.5.0.0/33","SubnetLen":"24"}';
      throw Object.assign(new Error('no'), { code: 'ENOENT' });
    },
    async loadDaemon() {
      out.loaded++;
      return runDaemon;
    },
  };
  return { io, out };
}

describe('main', () => {
  it('runs the daemon with checked options and returns its status', async () => {
    let seen: DaemonOptions | undefined;
    const { io, out } = harness(async (options, { logger }) => {
      seen = options;
      logger.info({ a: 1 }, 'running');
      return 42;
    });
    expect(await main(['-iface', 'eth0'], { FLANNELD_IP_MASQ: '1' }, io)).toBe(42);
    expect(seen).toMatchObject({ externalInterface: { iface: ['eth0'] }, firewall: { ipMasq: true } });
    expect(JSON.parse(out.stderr)).toMatchObject({ level: 'info', a: 1, msg: 'running' });
    expect(out.stdout).toBe('');
  });

  it('writes readable lines on a terminal, and details with -v', async () => {
    const { io, out } = harness(async (_options, { logger }) => {
      logger.debug({}, 'detail');
      return 0;
    });
    await main(['-v', '1', '-vmodule', 'x=1'], {}, { ...io, stderrIsTerminal: true });
    expect(out.stderr).toMatch(/^\S+ DEBUG flag is accepted .* flag=--vmodule\n\S+ DEBUG detail\n$/);
  });

  it.each(Object.entries(EXIT))(
    'turns an OperatorError "%s" of the daemon into one line and status %i',
    async (exit, status) => {
      const { io, out } = harness(() => Promise.reject(new OperatorError(exit as ExitName, 'a\nb')));
      expect(await main([], {}, io)).toBe(status);
      expect(out.stderr).toMatch(/^[^\n]+\n$/);
      expect(JSON.parse(out.stderr)).toMatchObject({ level: 'error', exit, status, msg: 'a\nb' });
    },
  );

  it('shows the stack of an unexpected error only at level debug', async () => {
    const failing = () => Promise.reject(new TypeError('x is not a function'));
    const quiet = harness(failing);
    expect(await main([], {}, quiet.io)).toBe(1);
    expect(quiet.out.stderr).toMatch(/^[^\n]*internal error: x is not a function[^\n]*\n$/);
    expect(quiet.out.stderr).not.toContain('main.test.ts');
    const loud = harness(failing);
    await main(['--log-level=debug'], {}, loud.io);
    expect(loud.out.stderr).toContain('main.test.ts');
  });

  it.each([
    [['--nope'], 'flanneld: unknown flag "--nope"; see flanneld --help\n'],
    [['--ifac=x'], 'flanneld: unknown flag "--ifac"; did you mean --iface?\n'],
    [['--ip-masq=2'], 'flanneld: --ip-masq: "2" is neither true nor false\n'],
    [['config'], 'flanneld: a sub-command is missing; see flanneld --help\n'],
    [['config', 'chekc'], /^flanneld: unknown command 'chekc'.*\n$/],
    [['config', 'check'], "flanneld: missing required argument 'FILE'; see flanneld --help\n"],
    [['config', 'check', 'a', 'b'], /^flanneld: too many arguments.*\n$/],
    [['config', 'check', '--x', 'b'], /^flanneld: unknown option '--x'.*\n$/],
    [['config', 'check', 'none'], 'flanneld: cannot read "none": ENOENT\n'],
  ])('%j: one line, status 2, nothing run', async (argv, line) => {
    const { io, out } = harness();
    expect(await main(argv, {}, io)).toBe(EXIT.usage);
    if (typeof line === 'string') expect(out.stderr).toBe(line);
    else expect(out.stderr).toMatch(line);
    expect(out).toMatchObject({ loaded: 0, stdout: '' });
  });

  it('says when the daemon cannot be loaded', async () => {
    const { io, out } = harness();
    const loadDaemon = () => Promise.reject(new Error('no addon'));
    expect(await main([], {}, { ...io, loadDaemon })).toBe(1);
    expect(out.stderr).toBe('flanneld: internal error: no addon\n');
  });

  it.each([['--version'], ['-version'], ['--version=1']])('%s goes to standard output', async (word) => {
    const { io, out } = harness();
    expect(await main([word], {}, io)).toBe(0);
    expect(out).toEqual({ stdout: 'flannel0 v1.2.3\n', stderr: '', loaded: 0 });
  });

  it('checks a configuration file', async () => {
    const good = harness();
    expect(await main(['config', 'check', 'good.json'], {}, good.io)).toBe(0);
    expect(good.out.stdout).toMatch(/^good\.json: usable\n/);
    const bad = harness();
    expect(await main(['config', 'check', 'bad.json'], {}, bad.io)).toBe(EXIT.config);
    expect(bad.out.stdout).toMatch(/^bad\.json: 2 problems\n/);
    expect(bad.out.stderr).toBe('');
  });
});

describe('describeCrash', () => {
  it('is one line with the place', () => {
    const line = describeCrash(new Error('bad\nhttp://u:secret@h'));
    expect(line).toMatch(
      /^flanneld: internal error: bad\\nhttp:\/\/\[redacted\]@h \(at .*main\.test\.ts:\d+:\d+\)?\)$/,
    );
    expect(describeCrash('text')).toContain('internal error: text');
  });
});

describe('docs/exit-codes.md', () => {
  it('lists exactly the codes', () => {
    const rows = [...readFileSync('docs/exit-codes.md', 'utf8').matchAll(/^\| (\d+) \| `(\w+)` \|/gm)];
    expect(Object.fromEntries(rows.map(([, status, name]) => [name, Number(status)]))).toEqual(EXIT);
  });
});
