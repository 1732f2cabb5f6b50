/**
 * Processes that a lab starts: their output is kept, their end can be awaited, and they die with us, whatever happens
 * to us (PR_SET_PDEATHSIG, prctl(2)).
 */
import { type ChildProcess, spawn } from 'node:child_process';

export interface ExitStatus {
  /** Exit status, or undefined where a signal ended it. */
  readonly status: number | undefined;
  readonly signal: NodeJS.Signals | undefined;
}

export interface LabProcess {
  readonly argv: readonly string[];
  readonly pid: number;
  readonly exited: Promise<ExitStatus>;
  /** undefined while it runs. */
  exitStatus(): ExitStatus | undefined;
  stdout(): string;
  stderr(): string;
  /** Standard output and error in the order in which they came. */
  output(): string;
  write(text: string): void;
  endInput(): void;
  /** Sends `signal` and waits for the end; after `graceMs` sends SIGKILL. Idempotent. */
  stop(signal?: NodeJS.Signals, graceMs?: number): Promise<ExitStatus>;
}

export interface SpawnOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** Keep the standard input open for `write` (it is /dev/null otherwise). */
  readonly writable?: boolean;
}

/** Output kept per stream; a runaway process must not take the test's memory with it. */
const KEPT_OUTPUT_CHARS = 4 * 1024 * 1024;

/** Starts `argv`, in the network namespace `namespace` where one is given. The pid is the program's own. */
export function startProcess(
  argv: readonly string[],
  namespace: string | undefined,
  options: SpawnOptions = {},
): LabProcess {
  const inside = namespace === undefined ? [] : ['ip', 'netns', 'exec', namespace];
  const [command = '', ...rest] = ['setpriv', '--pdeathsig', 'KILL', '--', ...inside, ...argv];
  const child = spawn(command, rest, {
    cwd: options.cwd,
    env: { ...process.env, ...options.env },
    stdio: [options.writable ? 'pipe' : 'ignore', 'pipe', 'pipe'],
  });
  return watchChild(argv, child);
}

function watchChild(argv: readonly string[], child: ChildProcess): LabProcess {
  const text = { stdout: '', stderr: '', both: '' };
  for (const stream of ['stdout', 'stderr'] as const) {
    child[stream]?.setEncoding('utf8').on('data', (chunk: string) => {
      text[stream] = (text[stream] + chunk).slice(-KEPT_OUTPUT_CHARS);
      text.both = (text.both + chunk).slice(-KEPT_OUTPUT_CHARS);
    });
  }
  let ended: ExitStatus | undefined;
  const exited = new Promise<ExitStatus>((resolve) => {
    const end = (status: number | null, signal: NodeJS.Signals | null) => {
      ended ??= { status: status ?? undefined, signal: signal ?? undefined };
      resolve(ended);
    };
    child.on('error', (error) => {
      text.both += `cannot start: ${error.message}\n`;
      end(127, null);
    });
    // 'close' and not 'exit': all output has arrived by then.
    child.on('close', end);
  });
  // Writing to a process that has just ended is no error of the test; its exit status tells the story.
  child.stdin?.on('error', () => {});
  return {
    argv,
    pid: child.pid ?? -1,
    exited,
    exitStatus: () => ended,
    stdout: () => text.stdout,
    stderr: () => text.stderr,
    output: () => text.both,
    write: (chunk) => void child.stdin?.write(chunk),
    endInput: () => void child.stdin?.end(),
    stop: (signal = 'SIGTERM', graceMs = 10_000) => stopChild(child, exited, signal, graceMs),
  };
}

async function stopChild(child: ChildProcess, exited: Promise<ExitStatus>, signal: NodeJS.Signals, graceMs: number) {
  // ChildProcess.kill does nothing once the child was reaped, so no foreign process with its pid can be hit.
  child.kill(signal);
  const timer = setTimeout(() => child.kill('SIGKILL'), graceMs);
  try {
    return await exited;
  } finally {
    clearTimeout(timer);
  }
}

export interface ExecOptions extends SpawnOptions {
  readonly input?: string;
  readonly deadlineMs?: number;
  /** Return whatever the exit status is; otherwise any but 0 throws. */
  readonly anyStatus?: boolean;
}

export interface ExecResult {
  readonly status: number | undefined;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs `argv` to its end. @throws Error with its output unless it exits 0 before the deadline (30 s). */
export function execute(
  argv: readonly string[],
  namespace: string | undefined,
  options: ExecOptions = {},
): Promise<ExecResult> {
  return collect(startProcess(argv, namespace, { ...options, writable: options.input !== undefined }), options);
}

/** Waits for the end of a process as {@link execute} does. */
export async function collect(child: LabProcess, options: ExecOptions): Promise<ExecResult> {
  if (options.input !== undefined) {
    child.write(options.input);
    child.endInput();
  }
  const deadlineMs = options.deadlineMs ?? 30_000;
  let timedOut = false;
  const timer = setTimeout(() => {
    timedOut = true;
    void child.stop('SIGKILL');
  }, deadlineMs);
  const { status, signal } = await child.exited;
  clearTimeout(timer);
  if (timedOut || (status !== 0 && options.anyStatus !== true)) {
    const how = timedOut ? `not finished after ${deadlineMs} ms` : `ended with ${signal ?? `status ${status}`}`;
    throw new Error(`${child.argv.join(' ')}: ${how}\n${child.output().trim()}`);
  }
  return { status, stdout: child.stdout(), stderr: child.stderr() };
}
