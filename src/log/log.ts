/** What the rooms below `cli` need of a logger; pino fits it. */
export interface Logger {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

/** Discards everything: for tests and for commands that print their own result. */
export const silentLogger: Logger = { debug() {}, info() {}, warn() {}, error() {} };
