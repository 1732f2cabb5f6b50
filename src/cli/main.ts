import type { RunDaemon } from '../daemon/options.ts';
import { EXIT, OperatorError } from '../errors/errors.ts';
import { createLogger, type LogDestination } from '../log/create-logger.ts';
import type { Logger } from '../log/log.ts';
import { escapeUnprintable } from '../log/readable-line.ts';
import { redactText } from '../log/redact.ts';
import { checkConfigText } from '../network-config/config-check.ts';
import { type Environment, flagsFromEnvironment, mergeFlags } from './environment.ts';
import { booleanValue } from './flag-values.ts';
import type { GivenFlags } from './flags.ts';
import { quote } from './normalise-argv.ts';
import { ignoredFlags, readDaemonOptions, readLogLevel } from './options.ts';
import { parseInvocation } from './program.ts';

/** The process around {@link main}. */
export interface MainIo {
  readonly stdout: LogDestination;
  readonly stderr: LogDestination;
  readonly stderrIsTerminal: boolean;
  /** Width of the terminal, where there is one. */
  readonly columns?: number;
  readonly version: string;
  /** Reads a file as text (UTF-8); `-` is standard input. */
  readFile(path: string): string;
  /** Loads the daemon, and with it the native addon: only when it is about to run. */
  loadDaemon(): Promise<RunDaemon>;
}

/**
 * The whole program: parses and checks everything, then does what it was asked to.
 * @param argv arguments without interpreter and program.
 * @returns the exit status (docs/exit-codes.md); never rejects.
 */
export async function main(argv: readonly string[], env: Environment, io: MainIo): Promise<number> {
  try {
    const invocation = parseInvocation(argv, io.columns);
    switch (invocation.kind) {
      case 'print':
        io.stdout.write(invocation.text);
        return EXIT.ok;
      case 'config-check':
        return checkConfigFile(invocation.file, io);
      case 'daemon':
        return await startDaemon(mergeFlags(invocation.flags, flagsFromEnvironment(env)), io);
    }
  } catch (error) {
    if (error instanceof OperatorError) {
      io.stderr.write(`flanneld: ${oneLine(error.message)}\n`);
      return EXIT[error.exit];
    }
    io.stderr.write(`flanneld: internal error: ${oneLine(messageOf(error))}\n`);
    return EXIT.internal;
  }
}

async function startDaemon(flags: GivenFlags, io: MainIo): Promise<number> {
  if (booleanValue(flags, 'version')) {
    io.stdout.write(`flannel0 v${io.version}\n`);
    return EXIT.ok;
  }
  const level = readLogLevel(flags);
  const options = readDaemonOptions(flags);
  const format = io.stderrIsTerminal ? 'readable' : 'json';
  const logger = createLogger({ level, format, destination: io.stderr });
  for (const ignored of ignoredFlags(flags)) {
    logger[ignored.level]({ flag: ignored.source }, 'flag is accepted for compatibility and has no effect');
  }
  const runDaemon = await io.loadDaemon();
  try {
    return await runDaemon(options, { logger });
  } catch (error) {
    return reportFailure(error, logger);
  }
}

/** From here on, whoever reads standard error expects log lines. */
function reportFailure(error: unknown, logger: Logger): number {
  if (error instanceof OperatorError) {
    const status = EXIT[error.exit];
    logger.error({ exit: error.exit, status }, error.message);
    if (error.cause !== undefined) logger.debug({ cause: error.cause }, 'what led to it');
    return status;
  }
  logger.error({ status: EXIT.internal }, `internal error: ${messageOf(error)}`);
  logger.debug({ error }, 'where it happened');
  return EXIT.internal;
}

function checkConfigFile(file: string, io: MainIo): number {
  let text: string;
  try {
    text = io.readFile(file);
  } catch (error) {
    throw new OperatorError('usage', `cannot read ${quote(file)}: ${(error as NodeJS.ErrnoException).code}`, {
      cause: error,
    });
  }
  const check = checkConfigText(file === '-' ? 'standard input' : file, text);
  io.stdout.write(check.text);
  return check.ok ? EXIT.ok : EXIT.config;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function oneLine(text: string): string {
  return escapeUnprintable(redactText(text));
}
