/** The subnet file on disk. Readers never see half a file: it is replaced as a whole, and survives a power cut. */
import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { chmod, type FileHandle, mkdir, open, rename, stat, unlink } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { OperatorError } from '../errors/errors.ts';
import { type PreviousSubnetFile, parseSubnetFile } from './subnet-file.ts';

/** World-readable whatever the umask: container runtimes read it. */
const FILE_MODE = 0o644;
const DIRECTORY_MODE = 0o755;

/** Far above any subnet file: a wrong path must not be read whole into memory. */
export const MAX_SUBNET_FILE_BYTES = 64 * 1024;

export type PreviousSubnet =
  | { readonly kind: 'found'; readonly file: PreviousSubnetFile }
  | { readonly kind: 'absent' }
  /** There is something at the path that cannot be read as a file; `problem` is one line. */
  | { readonly kind: 'unreadable'; readonly problem: string };

/**
 * Replaces the file: a temporary file in the same directory, fsync, rename, fsync of the directory, which is created
 * where missing. On failure no temporary file is left, and the file itself is the old or the new one as a whole.
 * @throws OperatorError (host)
 */
export async function writeSubnetFile(path: string, text: string): Promise<void> {
  const directory = dirname(resolve(path));
  try {
    await ensureDirectory(directory);
    const temporary = join(directory, `.${basename(path)}.${randomBytes(6).toString('hex')}`);
    try {
      await writeDurably(temporary, text);
      await rename(temporary, path);
    } catch (error) {
      await unlink(temporary).catch(() => undefined);
      throw error;
    }
    await syncDirectory(directory);
  } catch (error) {
    throw new OperatorError('host', `cannot write subnet file ${path}: ${causeOf(error)}; see --subnet-file`, {
      cause: error,
    });
  }
}

/**
 * Not `mkdir` with `recursive`: where the kernel answers ENOENT although the parent is there (in /proc, for one), Node
 * tries again for ever.
 */
async function ensureDirectory(directory: string): Promise<void> {
  const missing: string[] = [];
  for (let path = directory; !(await exists(path)); path = dirname(path)) missing.push(path);
  for (const path of missing.reverse()) await makeDirectory(path);
}

async function makeDirectory(path: string): Promise<void> {
  try {
    await mkdir(path, DIRECTORY_MODE);
  } catch (error) {
    // Somebody else made it meanwhile; were it no directory, writing into it would say so.
    if (codeOf(error) === 'EEXIST') return;
    throw error;
  }
  // The umask may have taken bits.
  await chmod(path, DIRECTORY_MODE);
}

async function exists(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return false;
    throw error;
  }
}

async function writeDurably(path: string, text: string): Promise<void> {
  const file = await open(path, 'wx', FILE_MODE);
  try {
    await file.chmod(FILE_MODE);
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
}

async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Reads what an earlier run, or a real flanneld, left behind. Never throws: without it a host gets another subnet. */
export async function readPreviousSubnet(path: string): Promise<PreviousSubnet> {
  try {
    // Not blocking: the path may name a pipe that nobody writes to.
    const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      return await readBounded(path, file);
    } finally {
      await file.close();
    }
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return { kind: 'absent' };
    return { kind: 'unreadable', problem: `cannot read subnet file ${path}: ${causeOf(error)}` };
  }
}

async function readBounded(path: string, file: FileHandle): Promise<PreviousSubnet> {
  if (!(await file.stat()).isFile()) {
    return { kind: 'unreadable', problem: `cannot read subnet file ${path}: not a regular file` };
  }
  const buffer = Buffer.alloc(MAX_SUBNET_FILE_BYTES + 1);
  let length = 0;
  while (length < buffer.length) {
    const { bytesRead } = await file.read(buffer, length, buffer.length - length, length);
    if (bytesRead === 0) break;
    length += bytesRead;
  }
  if (length > MAX_SUBNET_FILE_BYTES) {
    const problem = `cannot read subnet file ${path}: larger than ${MAX_SUBNET_FILE_BYTES} bytes`;
    return { kind: 'unreadable', problem };
  }
  return { kind: 'found', file: parseSubnetFile(buffer.toString('utf8', 0, length)) };
}

function codeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error ? String(error.code) : undefined;
}

const CAUSES: Readonly<Record<string, string>> = {
  EACCES: 'permission denied',
  EPERM: 'not permitted',
  EROFS: 'the file system is read-only',
  ENOSPC: 'no space left on the device',
  ENOTDIR: 'a part of the path is not a directory',
  ENOENT: 'its directory is missing and cannot be made',
  EISDIR: 'the path names a directory',
  ENAMETOOLONG: 'the name is too long',
};

function causeOf(error: unknown): string {
  const code = codeOf(error);
  const message = error instanceof Error ? error.message : String(error);
  return (code === undefined ? undefined : CAUSES[code]) ?? message;
}
