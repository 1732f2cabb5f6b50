/** What can be known to fail before the system, or etcd, is touched. */
import { readFileSync } from 'node:fs';
import { OperatorError } from '../errors/errors.ts';

const CAP_NET_ADMIN = 12n;

/**
 * @param status text of /proc/self/status (proc(5)).
 * @throws OperatorError `privileges` where the process may not configure the network.
 */
export function requireNetAdmin(status: string): void {
  const effective = /^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1];
  if (effective === undefined || ((BigInt(`0x${effective}`) >> CAP_NET_ADMIN) & 1n) === 1n) return;
  throw new OperatorError(
    'privileges',
    'CAP_NET_ADMIN is missing, which opening a TUN device and setting routes take; run as root or grant the capability',
  );
}

export function readProcessStatus(): string {
  return readFileSync('/proc/self/status', 'utf8');
}
