/**
 * The errors an operator can meet: a closed list of codes, each with its exit status. They are told apart by code,
 * never by message text. A message says what was wrong, where, and what to do.
 */

/** Exit statuses of `flanneld`; documented in docs/exit-codes.md. */
export const EXIT = {
  ok: 0,
  /** A defect of ours, or a failure with no code of its own. */
  internal: 1,
  /** Unknown flag, bad value on the command line or in the environment. */
  usage: 2,
  /** The network configuration cannot be used. */
  config: 3,
  /** Not enough privileges. */
  privileges: 4,
  /** The host lacks something: /dev/net/tun, an interface, a command; or its routes overlap the network. */
  host: 5,
  /** Another daemon (or a foreign device or socket) holds the device or the port. */
  busy: 6,
  /** No subnet can be had: none free, or ours was lost. */
  subnet: 7,
} as const;

export type ExitName = keyof typeof EXIT;

/** An error that ends the daemon with one line and a documented exit status. */
export class OperatorError extends Error {
  readonly exit: ExitName;
  constructor(exit: ExitName, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'OperatorError';
    this.exit = exit;
  }
}
