import type { Logger } from '../log/log.ts';
import { isConnectionTrouble } from './etcd-error.ts';
import type { EtcdError, ListWatchSink, ListWatchStatus } from './etcd-watch.ts';
import { OutageTracker } from './outage.ts';

/** Says what etcd refuses (rights, login), at once and then sparingly. Silence of etcd is the client's to report. */
export interface RefusalLog {
  failed(error: EtcdError): void;
  worked(): void;
}

export function createRefusalLog(logger: Logger, nowMs: () => number, doing: string): RefusalLog {
  const outage = new OutageTracker();
  return {
    failed(error) {
      if (isConnectionTrouble(error) || error.code === 'closed') return;
      const notice = outage.failed(nowMs(), error.message);
      if (notice !== undefined) logger.warn({ code: error.code }, `cannot ${doing}, still trying: ${error.message}`);
    },
    worked() {
      if (outage.worked(nowMs()) !== undefined) logger.info({}, `can ${doing} again`);
    },
  };
}

/** Turns the states of a list-and-watch into log lines: one when it falls behind, then sparingly, one when synced. */
export function logListWatch(logger: Logger, nowMs: () => number, what: string): (status: ListWatchStatus) => void {
  const outage = new OutageTracker();
  return (status) => {
    if (status.kind === 'store-went-back') {
      const { fromRevision, toRevision } = status;
      const text = `etcd's store went back from revision ${fromRevision} to ${toRevision}: restored or wiped?`;
      logger.warn({ fromRevision: Number(fromRevision), toRevision: Number(toRevision) }, text);
    } else if (status.kind === 'synced') {
      const notice = outage.worked(nowMs());
      if (notice !== undefined)
        logger.info({ revision: Number(status.revision) }, `${what} are in step with etcd again`);
    } else if (status.kind === 'stale') {
      const notice = outage.failed(nowMs(), status.code);
      // With etcd silent, the client says so; the lines here would be doubles.
      const silent = status.code === 'unavailable' || status.code === 'deadline';
      const text = `${what} stay as last known until etcd is read again: ${status.reason}`;
      if (notice !== undefined) logger[silent ? 'debug' : 'warn']({ code: status.code }, text);
    }
  };
}

/** Hands everything to each sink in turn. */
export function combineSinks(sinks: readonly ListWatchSink[]): ListWatchSink {
  return {
    onSnapshot: (kvs, revision) => {
      for (const sink of sinks) sink.onSnapshot(kvs, revision);
    },
    onChanges: (events, revision) => {
      for (const sink of sinks) sink.onChanges(events, revision);
    },
    onState: (state) => {
      for (const sink of sinks) sink.onState?.(state);
    },
  };
}
