import type { Logger } from '../../src/log/log.ts';

export interface LogLine {
  readonly level: 'debug' | 'info' | 'warn' | 'error';
  readonly message: string;
  readonly fields: object;
}

/** Keeps what is logged. */
export class LogRecorder implements Logger {
  readonly lines: LogLine[] = [];

  /** The messages from `info` up. */
  get said(): string[] {
    return this.lines.filter(({ level }) => level !== 'debug').map(({ message }) => message);
  }

  debug(fields: object, message: string): void {
    this.lines.push({ level: 'debug', message, fields });
  }
  info(fields: object, message: string): void {
    this.lines.push({ level: 'info', message, fields });
  }
  warn(fields: object, message: string): void {
    this.lines.push({ level: 'warn', message, fields });
  }
  error(fields: object, message: string): void {
    this.lines.push({ level: 'error', message, fields });
  }
}
