import * as etcd3 from 'etcd3';
import { EtcdError, type EtcdErrorCode } from './etcd-watch.ts';

/** etcd3 turns gRPC status codes into classes; this is the one place that turns those into our codes. */
const CODES: readonly (readonly [new (...args: never[]) => Error, EtcdErrorCode])[] = [
  [etcd3.GRPCDeadlineExceededError, 'deadline'],
  [etcd3.GRPCUnavailableError, 'unavailable'],
  [etcd3.GRPCCancelledError, 'unavailable'],
  [etcd3.GRPCInternalError, 'unavailable'],
  [etcd3.EtcdPermissionDeniedError, 'permission'],
  [etcd3.EtcdInvalidAuthTokenError, 'unauthenticated'],
  [etcd3.EtcdAuthenticationFailedError, 'unauthenticated'],
  [etcd3.GRPCUnauthenticatedError, 'unauthenticated'],
  [etcd3.EtcdLeaseInvalidError, 'lease-not-found'],
  [etcd3.GRPCFailedPreconditionError, 'precondition'],
  [etcd3.ClientClosedError, 'closed'],
];

/** Whether another endpoint, or the same one later, may answer what this one did not. */
export function isConnectionTrouble(error: EtcdError): boolean {
  return error.code === 'unavailable' || error.code === 'deadline';
}

export function toEtcdError(endpoint: string, thrown: unknown): EtcdError {
  if (thrown instanceof EtcdError) return thrown;
  const cause = thrown instanceof Error ? etcd3.castGrpcError(thrown) : new Error(String(thrown));
  const code = CODES.find(([type]) => cause instanceof type)?.[1] ?? 'other';
  return new EtcdError(code, endpoint, describe(code, cause), { cause });
}

/** What grpc-js writes around the cause of a connection that cannot be made. */
const GRPC_FRAME = /^No connection established\. Last error: (?:Error: )?(?!null)(.+?)\.? Resolution note:.*$/;

/** The text etcd or gRPC gave, without the status number and class names in front; one line. */
function describe(code: EtcdErrorCode, cause: Error): string {
  if (code === 'deadline') return 'no answer in time';
  const text = cause.message
    .replace(/^(?:\w*Error: )?(?:\d+ [A-Z_]+: )?/, '')
    .replace(/\s+/g, ' ')
    .replace(GRPC_FRAME, '$1')
    .trim();
  return text === '' ? cause.name : text;
}
