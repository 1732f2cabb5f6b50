import { pino } from 'pino';
import type { Logger } from './log.ts';
import { readableLine } from './readable-line.ts';
import { redactFields, redactText } from './redact.ts';

export const LOG_LEVELS = ['error', 'warn', 'info', 'debug'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** Where lines go: each call is one or more whole lines. */
export interface LogDestination {
  write(text: string): void;
}

export interface LoggerOptions {
  readonly level: LogLevel;
  /** `json`: one object a line, for journals and collectors; `readable`: for a person at a terminal. */
  readonly format: 'json' | 'readable';
  readonly destination: LogDestination;
}

/** Level for flannel's `-v N` (klog): 0 is state changes only; flannel has details from 1 on. */
export function levelForVerbosity(verbosity: number): LogLevel {
  return verbosity >= 1 ? 'debug' : 'info';
}

/** A pino logger behind the project's own interface; secrets are redacted here, for every caller. */
export function createLogger({ level, format, destination }: LoggerOptions): Logger {
  const stream: LogDestination =
    format === 'json' ? destination : { write: (line) => destination.write(readableLine(JSON.parse(line))) };
  const sink = pino(
    {
      level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    stream,
  );
  const withStacks = level === 'debug';
  const at = (name: LogLevel) => (fields: object, message: string) => {
    if (sink.isLevelEnabled(name)) sink[name](safeFields(fields, withStacks), redactText(message));
  };
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
}

/** A field must not pass for the line's own time, level or message. */
const OWN_NAMES = ['time', 'level', 'msg'];

function safeFields(fields: object, withStacks: boolean): Record<string, unknown> {
  const safe = redactFields(fields instanceof Error ? { error: fields } : fields, { withStacks });
  for (const name of OWN_NAMES) {
    if (!(name in safe)) continue;
    safe[`${name}_`] = safe[name];
    delete safe[name];
  }
  return safe;
}

/** Longest wait for a full pipe, in turns of {@link FULL_PIPE_PAUSE_MS}: a stuck reader must not stop the daemon. */
const FULL_PIPE_TURNS = 50;
const FULL_PIPE_PAUSE_MS = 2;

/**
 * Standard error as a destination that has written every line when it returns, so that the last words before an exit
 * are not lost. A reader that went away, or that does not read for 100 ms, costs lines, not the daemon.
 * @param writeSync as `fs.writeSync`: returns how many bytes were taken.
 */
export function descriptorDestination(
  fd: number,
  writeSync: (fd: number, bytes: Uint8Array) => number,
): LogDestination {
  return {
    write(text) {
      let rest: Uint8Array = Buffer.from(text);
      for (let turn = 0; rest.length > 0 && turn < FULL_PIPE_TURNS; ) {
        try {
          rest = rest.subarray(writeSync(fd, rest));
        } catch (error) {
          if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') return;
          turn++;
          Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, FULL_PIPE_PAUSE_MS);
        }
      }
    },
  };
}
