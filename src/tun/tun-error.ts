/** What the kernel answered, in words that say what to do. */
import { OperatorError } from '../errors/errors.ts';

/** Name of the errno (`EPERM`), where the error has one. */
export function errnoOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined;
}

/** Runs `step`; an error of this code counts as done. */
export function unless(code: string, step: () => void): void {
  try {
    step();
  } catch (error) {
    if (errnoOf(error) !== code) throw error;
  }
}

/** The open of a queue failed. An OperatorError passes unchanged. */
export function openError(name: string, cause: unknown): OperatorError {
  if (cause instanceof OperatorError) return cause;
  switch (errnoOf(cause)) {
    case 'EPERM':
    case 'EACCES':
      return new OperatorError(
        'privileges',
        `not enough privileges to make the TUN device ${name}; run as root or with CAP_NET_ADMIN`,
        { cause },
      );
    case 'ENOENT':
    case 'ENODEV':
    case 'ENXIO':
      return new OperatorError(
        'host',
        `/dev/net/tun is missing on this host; load the driver (modprobe tun), make the node ` +
          '(mkdir -p /dev/net && mknod /dev/net/tun c 10 200), or in a container pass --device=/dev/net/tun',
        { cause },
      );
    case 'EBUSY':
      return new OperatorError('busy', `device ${name} is held by another process; stop it first`, { cause });
    default:
      return new OperatorError('host', `cannot open the TUN device ${name}: ${messageOf(cause)}`, { cause });
  }
}

/** A later step failed; `step` as a verb phrase. */
export function stepError(name: string, step: string, cause: unknown): OperatorError {
  const line = `cannot ${step} on device ${name}: ${messageOf(cause)}`;
  return errnoOf(cause) === 'EPERM'
    ? new OperatorError('privileges', `${line}; run as root or with CAP_NET_ADMIN`, { cause })
    : new OperatorError('host', line, { cause });
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
