import { readFileSync, writeSync } from 'node:fs';
import type { RunDaemon } from '../daemon/options.ts';
import { EXIT } from '../errors/errors.ts';
import { descriptorDestination } from '../log/create-logger.ts';
import { escapeUnprintable } from '../log/readable-line.ts';
import { redactText } from '../log/redact.ts';
import { type MainIo, main } from './main.ts';

const STDIN = 0;
const STDOUT = 1;
const STDERR = 2;

/** What `bin/flanneld` calls: runs the program in this process and ends it with the exit status. */
export async function runProcess(): Promise<never> {
  const io = processIo();
  // An error that nobody awaits: the kernel removes device and lock with the process; a restart finds a clean field.
  process.on('uncaughtException', (error) => {
    io.stderr.write(`${describeCrash(error)}\n`);
    process.exit(EXIT.internal);
  });
  const status = await main(process.argv.slice(2), process.env, io);
  process.exit(status);
}

/** One line with the place where it happened, which a report of the defect needs. */
export function describeCrash(error: unknown): string {
  const { message, stack } = error instanceof Error ? error : new Error(String(error));
  const place = /^\s+(at .*)$/m.exec(stack ?? '')?.[1] ?? 'at an unknown place';
  return escapeUnprintable(redactText(`flanneld: internal error: ${message} (${place})`));
}

function processIo(): MainIo {
  return {
    stdout: descriptorDestination(STDOUT, writeSync),
    stderr: descriptorDestination(STDERR, writeSync),
    stderrIsTerminal: process.stderr.isTTY === true,
    ...(process.stdout.isTTY === true ? { columns: process.stdout.columns } : {}),
    version: packageVersion(),
    readFile: (path) => readFileSync(path === '-' ? STDIN : path, 'utf8'),
    loadDaemon,
  };
}

/** The same number of folders up from src/cli and from dist/cli. */
function packageVersion(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}

async function loadDaemon(): Promise<RunDaemon> {
  const { runDaemon } = await import('../daemon/daemon.ts');
  return runDaemon;
}
