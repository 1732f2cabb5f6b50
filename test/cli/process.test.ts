import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';

const folder = mkdtempSync(join(tmpdir(), 'fl0-bin-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** Runs a program to its end, in an environment without any FLANNELD_ variable. */
function run(command: string, args: readonly string[], input = '') {
  const { status, stdout, stderr } = spawnSync(command, args, {
    encoding: 'utf8',
    input,
    timeout: 30_000,
    env: { PATH: process.env.PATH },
  });
  return { status, stdout, stderr };
}

describe('bin/flanneld', () => {
  const home = join(folder, 'package');
  const program = join(home, 'bin/flanneld');

  beforeEach(() => {
    rmSync(home, { recursive: true, force: true });
    mkdirSync(join(home, 'dist/cli'), { recursive: true });
    cpSync('bin', join(home, 'bin'), { recursive: true });
    writeFileSync(join(home, 'package.json'), '{"type":"module"}');
  });
  const entry = (source: string) => writeFileSync(join(home, 'dist/cli/process-entry.js'), source);

  it('says in one line that the program is not built', () => {
    expect(run(program, [])).toEqual({
      status: 5,
      stdout: '',
      stderr: expect.stringMatching(
        /^flanneld: not built: \S+process-entry\.js is missing; run "npm run build" in .*\n$/,
      ),
    });
  });

  it('says in one line that it cannot be loaded', () => {
    entry('import "no-such-package";\nexport function runProcess() {}\n');
    const { status, stderr } = run(program, []);
    expect(status).toBe(5);
    expect(stderr).toMatch(/^flanneld: cannot be loaded: [^\n]*no-such-package[^\n]*\n$/);
  });

  it('runs the program with its arguments, also through a symbolic link', () => {
    entry('export function runProcess() { console.log(process.argv.slice(2).join()); process.exit(7); }\n');
    const link = join(home, 'flanneld-link');
    symlinkSync(program, link);
    expect(run(link, ['-iface', 'eth0'])).toEqual({ status: 7, stdout: '-iface,eth0\n', stderr: '' });
  });

  it('refuses an old Node.js', () => {
    const source = readFileSync(program, 'utf8').replace('process.versions.node', '"18.20.4"');
    writeFileSync(program, source);
    expect(run(program, [])).toMatchObject({
      status: 5,
      stderr: expect.stringMatching(/^flanneld: needs Node\.js 20 or newer/),
    });
  });

  it('is executable in the repository', () => {
    expect(run(resolve('bin/flanneld'), ['--version']).stderr).not.toContain('Permission denied');
  });
});

describe('the program as a process', () => {
  const script = join(folder, 'start.mjs');
  writeFileSync(
    script,
    `import(${JSON.stringify(resolve('src/cli/process-entry.ts'))}).then((entry) => entry.runProcess());\n`,
  );
  const flanneld = (args: readonly string[], input?: string) =>
    run(process.execPath, ['--import', 'tsx', script, ...args], input);
  const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string };

  it.each<[string[], object]>([
    [['-version'], { status: 0, stdout: `flannel0 v${version}\n`, stderr: '' }],
    [['--help'], { status: 0, stdout: expect.stringMatching(/^Usage: flanneld [\s\S]*--iface /), stderr: '' }],
    [['-ifcae', 'x'], { status: 2, stdout: '', stderr: 'flanneld: unknown flag "--ifcae"; did you mean --iface?\n' }],
    [['--public-ip=x'], { status: 2, stdout: '', stderr: 'flanneld: --public-ip: "x" is not an IPv4 address\n' }],
  ])('%j', (args, expected) => {
    expect(flanneld(args)).toEqual(expected);
  });

  it('checks a configuration from standard input', () => {
    expect(flanneld(['config', 'check', '-'], '{"Network":"10.5.0.0/16"}')).toMatchObject({ status: 0, stderr: '' });
    expect(flanneld(['config', 'check', '-'], '{').status).toBe(3);
    expect(flanneld(['config', 'check', folder])).toMatchObject({
      status: 2,
      stderr: `flanneld: cannot read "${folder}": EISDIR\n`,
    });
  });

  it('outlives a reader that went away', async () => {
    const child = spawn(process.execPath, ['--import', 'tsx', script, '--help'], { stdio: ['ignore', 'pipe', 'pipe'] });
    child.stdout.destroy();
    let stderr = '';
    child.stderr.on('data', (chunk: Buffer) => {
      stderr += chunk.toString();
    });
    const [status] = await once(child, 'close');
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  });
});
