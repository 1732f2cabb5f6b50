import type { Clock } from '../etcd-watch/etcd-watch.ts';
import { EtcdError } from '../etcd-watch/etcd-watch.ts';
import { backoffMs } from '../etcd-watch/list-watch.ts';
import type { RefusalLog } from '../etcd-watch/watch-log.ts';

/** Waits on the clock. @throws the signal's reason when aborted. */
export function pause(clock: Clock, delayMs: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) {
      reject(signal.reason);
      return;
    }
    const onAbort = () => {
      cancel();
      reject(signal.reason);
    };
    const cancel = clock.schedule(delayMs, () => {
      signal.removeEventListener('abort', onAbort);
      resolve();
    });
    signal.addEventListener('abort', onAbort, { once: true });
  });
}

export interface Patience {
  readonly clock: Clock;
  /** In [0, 1). */
  readonly random: () => number;
  readonly signal: AbortSignal;
  readonly refusals: RefusalLog;
}

/**
 * Repeats a call until etcd carries it out, whatever it answers meanwhile: an operator may be about to start it, or to
 * grant the right. Only for calls that may be carried out twice. @throws the signal's reason, EtcdError `closed`.
 */
export async function persist<T>(patience: Patience, call: () => Promise<T>): Promise<T> {
  for (let failures = 0; ; failures++) {
    patience.signal.throwIfAborted();
    try {
      const result = await abortable(call(), patience.signal);
      patience.refusals.worked();
      return result;
    } catch (thrown) {
      if (!(thrown instanceof EtcdError) || thrown.code === 'closed') throw thrown;
      patience.refusals.failed(thrown);
    }
    await pause(patience.clock, backoffMs(failures, patience.random()), patience.signal);
  }
}

/** The call goes on behind the scenes, at most until its deadline; only the waiting ends. */
function abortable<T>(call: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(signal.reason);
    signal.addEventListener('abort', onAbort, { once: true });
    call.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}
