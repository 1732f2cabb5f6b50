import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { OperatorError } from '../../src/errors/errors.ts';
import { parsePrefix } from '../../src/ip/ip.ts';
import { MAX_SUBNET_FILE_BYTES, readPreviousSubnet, writeSubnetFile } from '../../src/subnet-file/subnet-file-io.ts';

let root: string;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'subnet-file-'));
});

afterEach(() => {
  rmSync(root, { recursive: true });
});

function modeOf(path: string): number {
  return statSync(path).mode & 0o7777;
}

async function failureOf(attempt: Promise<void>): Promise<OperatorError> {
  try {
    await attempt;
  } catch (error) {
    if (error instanceof OperatorError) return error;
    throw error;
  }
  throw new Error('did not fail');
}

const TEXT = 'FLANNEL_SUBNET=10.5.21.1/24\n';

describe('writeSubnetFile', () => {
  it('creates the directories and a file that everybody may read', async () => {
    const path = join(root, 'a/b/subnet.env');
    await writeSubnetFile(path, TEXT);
    expect(readFileSync(path, 'utf8')).toBe(TEXT);
    expect(modeOf(path)).toBe(0o644);
    expect(modeOf(join(root, 'a'))).toBe(0o755);
    expect(modeOf(join(root, 'a/b'))).toBe(0o755);
  });

  it('does so under a strict umask', () => {
    const module = new URL('../../src/subnet-file/subnet-file-io.ts', import.meta.url).href;
    const path = join(root, 'a/b/subnet.env');
    const script = `process.umask(0o077); const { writeSubnetFile } = await import(${JSON.stringify(module)});
      await writeSubnetFile(${JSON.stringify(path)}, 'x\\n');`;
    execFileSync(process.execPath, ['--import', 'tsx', '--input-type=module', '--eval', script]);
    expect(modeOf(path)).toBe(0o644);
    expect(modeOf(join(root, 'a'))).toBe(0o755);
    expect(modeOf(join(root, 'a/b'))).toBe(0o755);
  });

  it('leaves the mode of directories that were there', async () => {
    chmodSync(root, 0o700);
    await writeSubnetFile(join(root, 'subnet.env'), TEXT);
    expect(modeOf(root)).toBe(0o700);
  });

  it('replaces the old file by a new one and leaves nothing beside it', async () => {
    const path = join(root, 'subnet.env');
    await writeSubnetFile(path, `${'x'.repeat(10_000)}\n`);
    const before = statSync(path).ino;
    await writeSubnetFile(path, TEXT);
    expect(readFileSync(path, 'utf8')).toBe(TEXT);
    expect(statSync(path).ino).not.toBe(before);
    expect(readdirSync(root)).toEqual(['subnet.env']);
  });

  it('shows a reader the old or the new text, never a part', async () => {
    const path = join(root, 'subnet.env');
    const texts = ['a', 'b'].map((char) => `${char.repeat(50_000)}\n`);
    await writeSubnetFile(path, texts[0] ?? '');
    let writing = true;
    const writer = (async () => {
      for (let i = 0; i < 40; i++) await writeSubnetFile(path, texts[i % 2] ?? '');
      writing = false;
    })();
    const seen = new Set<string>();
    while (writing) {
      seen.add(readFileSync(path, 'utf8'));
      await new Promise(setImmediate);
    }
    await writer;
    expect(seen.size).toBeGreaterThan(0);
    for (const text of seen) expect(texts).toContain(text);
  });

  it('says what is in the way, and removes the temporary file', async () => {
    mkdirSync(join(root, 'subnet.env'));
    const error = await failureOf(writeSubnetFile(join(root, 'subnet.env'), TEXT));
    expect(error.exit).toBe('host');
    expect(error.message).toBe(
      `cannot write subnet file ${root}/subnet.env: the path names a directory; see --subnet-file`,
    );
    expect(readdirSync(root)).toEqual(['subnet.env']);
  });

  // Node's recursive mkdir never ends there, nor does the process that waits for it.
  it('says so, and ends, where a directory cannot be made although its parent is there', async () => {
    const message = 'its directory is missing and cannot be made';
    expect((await failureOf(writeSubnetFile('/proc/nowhere/below/subnet.env', 'x'))).message).toContain(message);
    symlinkSync(join(root, 'nowhere'), join(root, 'dangling'));
    expect((await failureOf(writeSubnetFile(join(root, 'dangling', 'subnet.env'), 'x'))).message).toContain(message);
  });

  it('says so where the directory is a file', async () => {
    writeFileSync(join(root, 'file'), '');
    const error = await failureOf(writeSubnetFile(join(root, 'file/deep/subnet.env'), TEXT));
    expect(error.message).toContain('a part of the path is not a directory');
    expect((await failureOf(writeSubnetFile(join(root, 'file/subnet.env'), TEXT))).message).toContain(
      'not a directory',
    );
  });
});

describe('readPreviousSubnet', () => {
  const subnet = parsePrefix('10.5.21.0/24');

  it('reads what was written', async () => {
    await writeSubnetFile(join(root, 'subnet.env'), TEXT);
    expect(await readPreviousSubnet(join(root, 'subnet.env'))).toEqual({ kind: 'found', file: { subnet } });
  });

  it('follows a symbolic link', async () => {
    writeFileSync(join(root, 'target'), TEXT);
    symlinkSync('target', join(root, 'subnet.env'));
    expect(await readPreviousSubnet(join(root, 'subnet.env'))).toEqual({ kind: 'found', file: { subnet } });
  });

  it('finds none where there is none', async () => {
    expect(await readPreviousSubnet(join(root, 'subnet.env'))).toEqual({ kind: 'absent' });
    expect(await readPreviousSubnet(join(root, 'no/such/subnet.env'))).toEqual({ kind: 'absent' });
  });

  it('does not hang on a pipe, nor read a directory, a device or a huge file', async () => {
    const pipe = join(root, 'pipe');
    execFileSync('mkfifo', [pipe]);
    const huge = join(root, 'huge');
    writeFileSync(huge, Buffer.alloc(MAX_SUBNET_FILE_BYTES + 1, 0x0a));
    const problems = await Promise.all(
      [pipe, root, '/dev/zero', huge].map(async (path) => {
        const result = await readPreviousSubnet(path);
        return result.kind === 'unreadable' ? result.problem : result.kind;
      }),
    );
    expect(problems).toEqual([
      `cannot read subnet file ${pipe}: not a regular file`,
      `cannot read subnet file ${root}: not a regular file`,
      'cannot read subnet file /dev/zero: not a regular file',
      `cannot read subnet file ${huge}: larger than 65536 bytes`,
    ]);
  });

  it('reads a file of exactly the allowed size', async () => {
    const path = join(root, 'full');
    writeFileSync(path, TEXT.padEnd(MAX_SUBNET_FILE_BYTES, '\n'));
    expect(await readPreviousSubnet(path)).toEqual({ kind: 'found', file: { subnet } });
  });
});
