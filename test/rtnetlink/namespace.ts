/** A network namespace of the test's own, and TypeScript that runs inside it (a namespace belongs to a process). */
import { type ChildProcessWithoutNullStreams, execFileSync, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { formatWire, parseWire } from './wire.ts';

const REPOSITORY = fileURLToPath(new URL('../../', import.meta.url));
let count = 0;

export interface Namespace {
  readonly name: string;
  /** Runs a program to its end. @returns what it printed. @throws where its status is not 0. */
  run(...argv: string[]): string;
  /** Runs the lines of a script, each an `ip` command. */
  ip(script: string): void;
  ipJson(...argv: string[]): unknown[];
  /** Starts a script of this repository that calls `serve`. */
  child(script: URL): Child;
  /** Ends the children, removes the namespace. */
  close(): Promise<void>;
}

export interface Child {
  readonly pid: number;
  /** @throws RemoteError with the child's error's `code` and `exit`. */
  call(method: string, ...args: unknown[]): Promise<unknown>;
  /** Kills the process the hard way and waits for its end. */
  kill(): Promise<void>;
}

export class RemoteError extends Error {
  readonly code: string | undefined;
  readonly exit: string | undefined;
  constructor(message: string, code: string | undefined, exit: string | undefined) {
    super(message);
    this.code = code;
    this.exit = exit;
  }
}

export function createNamespace(): Namespace {
  const name = `fl0-unit-${process.pid}-${++count}`;
  execFileSync('ip', ['netns', 'add', name]);
  const children: Child[] = [];
  const run = (...argv: string[]): string =>
    execFileSync('ip', ['netns', 'exec', name, ...argv], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
  return {
    name,
    run,
    ip(script) {
      for (const line of script.split('\n').map((each) => each.trim())) {
        if (line !== '') run('ip', ...line.split(/\s+/));
      }
    },
    ipJson: (...argv) => JSON.parse(run('ip', '-j', ...argv) || '[]') as unknown[],
    child(script) {
      const child = startChild(name, fileURLToPath(script));
      children.push(child);
      return child;
    },
    async close() {
      await Promise.all(children.map((child) => child.kill()));
      execFileSync('ip', ['netns', 'del', name]);
    },
  };
}

function startChild(namespace: string, script: string): Child {
  const child: ChildProcessWithoutNullStreams = spawn(
    'ip',
    ['netns', 'exec', namespace, process.execPath, '--import', 'tsx', script],
    { cwd: REPOSITORY },
  );
  const ended = new Promise<void>((resolve) => child.on('exit', () => resolve()));
  let errors = '';
  child.stderr.on('data', (chunk: Buffer) => {
    errors += chunk.toString();
  });
  const answers: ((line: string | undefined) => void)[] = [];
  const lines = createInterface(child.stdout);
  lines.on('line', (line) => answers.shift()?.(line));
  lines.on('close', () => {
    for (const answer of answers.splice(0)) answer(undefined);
  });
  return {
    pid: child.pid ?? 0,
    async call(method, ...args) {
      const line = await new Promise<string | undefined>((resolve) => {
        answers.push(resolve);
        child.stdin.write(`${formatWire({ method, args })}\n`);
      });
      if (line === undefined) throw new Error(`the child ended: ${errors}`);
      const answer = parseWire(line) as { value?: unknown; error?: { message: string; code?: string; exit?: string } };
      if (answer.error) throw new RemoteError(answer.error.message, answer.error.code, answer.error.exit);
      return answer.value;
    },
    async kill() {
      child.kill('SIGKILL');
      await ended;
    },
  };
}
