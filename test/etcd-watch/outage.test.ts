import { describe, expect, it } from 'vitest';
import { EtcdError } from '../../src/etcd-watch/etcd-watch.ts';
import { OutageTracker } from '../../src/etcd-watch/outage.ts';
import { createRefusalLog, logListWatch } from '../../src/etcd-watch/watch-log.ts';
import { LogRecorder } from '../support/log-recorder.ts';

describe('an outage', () => {
  it('is spoken of at once, then at growing distances of at most a minute, then at its end', () => {
    const tracker = new OutageTracker();
    const spoken: number[] = [];
    for (let seconds = 0; seconds <= 300; seconds++) {
      if (tracker.failed(seconds * 1000) !== undefined) spoken.push(seconds);
    }
    expect(spoken).toEqual([0, 1, 3, 7, 15, 31, 63, 123, 183, 243]);
    expect(tracker.worked(301_000)).toEqual({ kind: 'up', downMs: 301_000 });
    expect(tracker.worked(302_000)).toBeUndefined();
  });

  it('is spoken of at once where the cause is another', () => {
    const tracker = new OutageTracker();
    tracker.failed(0, 'a');
    expect(tracker.failed(10, 'a')).toBeUndefined();
    expect(tracker.failed(20, 'b')).toEqual({ kind: 'still-down', downMs: 20 });
  });
});

describe('log lines', () => {
  it('leave the silence of etcd to the client and name what is refused once', () => {
    const logger = new LogRecorder();
    const refusals = createRefusalLog(logger, () => 0, 'read /net/config');
    refusals.failed(new EtcdError('unavailable', 'http://e', 'gone'));
    refusals.failed(new EtcdError('permission', 'http://e', 'permission denied'));
    refusals.failed(new EtcdError('permission', 'http://e', 'permission denied'));
    refusals.worked();
    refusals.worked();
    expect(logger.said).toEqual([
      'cannot read /net/config, still trying: etcd at http://e: permission denied',
      'can read /net/config again',
    ]);
  });

  it('tell of a list-and-watch only what changed', () => {
    const logger = new LogRecorder();
    const report = logListWatch(logger, () => 0, 'routes');
    report({ kind: 'synced', revision: 5n });
    report({ kind: 'stale', code: 'compacted', reason: 'history is compacted' });
    report({ kind: 'stale', code: 'compacted', reason: 'history is compacted' });
    report({ kind: 'synced', revision: 9n });
    report({ kind: 'store-went-back', fromRevision: 9n, toRevision: 2n });
    expect(logger.said).toEqual([
      'routes stay as last known until etcd is read again: history is compacted',
      'routes are in step with etcd again',
      "etcd's store went back from revision 9 to 2: restored or wiped?",
    ]);
  });
});
