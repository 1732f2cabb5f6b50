import { type ExecFileException, execFile } from 'node:child_process';

/** How a command ended; a command that could not be started, or did not end in time, rejects instead. */
export interface CommandResult {
  /** Exit status; -1 where a signal ended it. */
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

/**
 * Runs a program without a shell.
 * @param input what it reads on stdin.
 * @throws an Error with `code` ENOENT or EACCES (cannot be started), ETIMEDOUT, or ENOBUFS (too much output).
 */
export type CommandRunner = (command: string, args: readonly string[], input?: string) => Promise<CommandResult>;

export interface CommandRunnerOptions {
  readonly timeoutMs: number;
  readonly maxOutputBytes: number;
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** iptables stands in a directory that a plain user's PATH, or a spare service's, may lack. */
const SYSTEM_PATH = '/usr/sbin:/sbin:/usr/bin:/bin';

export function createCommandRunner(options: CommandRunnerOptions): CommandRunner {
  const path = options.env.PATH === undefined ? SYSTEM_PATH : `${options.env.PATH}:${SYSTEM_PATH}`;
  // Messages are parsed: no translations.
  const env = { ...options.env, PATH: path, LC_ALL: 'C' };
  return (command, args, input) =>
    new Promise((resolve, reject) => {
      const limits = { timeout: options.timeoutMs, maxBuffer: options.maxOutputBytes, killSignal: 'SIGKILL' } as const;
      const child = execFile(command, [...args], { env, encoding: 'utf8', ...limits }, (error, stdout, stderr) => {
        const failure = error === null ? undefined : asFailure(error, command, options);
        if (failure === undefined) resolve({ status: statusOf(error), stdout, stderr });
        else reject(failure);
      });
      // A program that ends before it has read its input closes the pipe; its status says why.
      child.stdin?.on('error', () => {});
      child.stdin?.end(input ?? '');
    });
}

function statusOf(error: ExecFileException | null): number {
  if (error === null) return 0;
  return typeof error.code === 'number' ? error.code : -1;
}

function asFailure(error: ExecFileException, command: string, options: CommandRunnerOptions): Error | undefined {
  if (error.code === 'ERR_CHILD_PROCESS_STDIO_MAXBUFFER') {
    return Object.assign(new Error(`${command} printed more than ${options.maxOutputBytes} bytes`), {
      code: 'ENOBUFS',
    });
  }
  if (error.killed === true) {
    return Object.assign(new Error(`${command} did not end within ${options.timeoutMs} ms`), { code: 'ETIMEDOUT' });
  }
  return typeof error.code === 'string' ? error : undefined;
}
