import { describe, expect, it } from 'vitest';
import { EtcdError, type KeyValue } from '../../src/etcd-watch/etcd-watch.ts';
import { type ParsedConfig, waitForConfig } from '../../src/lease/wait-for-config.ts';
import { LogRecorder } from '../support/log-recorder.ts';
import { ManualClock } from '../support/manual-clock.ts';

/** What etcd answers, and a parser that takes `good` and says what else it saw. */
function setUp() {
  const clock = new ManualClock();
  const logger = new LogRecorder();
  const abort = new AbortController();
  const asked: string[] = [];
  const etcd: { answer: string | EtcdError | undefined; revision: bigint } = { answer: undefined, revision: 0n };
  const result = waitForConfig({
    client: {
      get: async (key) => {
        asked.push(key);
        if (etcd.answer instanceof EtcdError) throw etcd.answer;
        if (etcd.answer === undefined) return { kv: undefined, revision: 1n };
        const value = new TextEncoder().encode(etcd.answer);
        const kv: KeyValue = { key, value, modRevision: etcd.revision, createRevision: 1n, version: 1n, leaseId: 0n };
        return { kv, revision: etcd.revision };
      },
    },
    etcdPrefix: '/net/',
    parse: (value): ParsedConfig<string> => {
      const text = Buffer.from(value).toString();
      if (text === 'good') return { ok: true, config: text };
      return { ok: false, problems: [{ message: `saw ${text}`, fatal: text === 'hopeless' }] };
    },
    logger,
    clock,
    random: () => 0,
    signal: abort.signal,
  });
  result.catch(() => {});
  const set = (answer: string | EtcdError | undefined) => {
    etcd.answer = answer;
    etcd.revision += 1n;
  };
  return { clock, logger, abort, asked, result, set };
}

describe('waiting for the configuration', () => {
  it('says how to make one where there is none, once, and reads again every second', async () => {
    const { clock, logger, asked, result, set } = setUp();
    await clock.advance(10_000);
    expect(asked.slice(0, 2)).toEqual(['/net/config', '/net/config']);
    expect(asked.length).toBeLessThanOrEqual(11);
    expect(logger.said).toEqual([expect.stringContaining("etcdctl put /net/config '{")]);
    set('good');
    await clock.advance(1_000);
    expect(await result).toBe('good');
  });

  it('says what is wrong once per change', async () => {
    const { clock, logger, result, set } = setUp();
    set('bad');
    await clock.advance(5_000);
    set('worse');
    await clock.advance(5_000);
    set('good');
    await clock.advance(1_000);
    expect(await result).toBe('good');
    expect(logger.said).toEqual([
      expect.stringMatching(
        /^waiting for a usable \/net\/config in etcd: the key does not exist; set it with: etcdctl/,
      ),
      'waiting for a usable /net/config in etcd: saw bad',
      'waiting for a usable /net/config in etcd: saw worse',
    ]);
  });

  it('ends at once where waiting is of no use', async () => {
    const { clock, result, set } = setUp();
    set('hopeless');
    await clock.advance(1_000);
    await expect(result).rejects.toMatchObject({ exit: 'config', message: 'etcd key /net/config: saw hopeless' });
  });

  it('keeps asking an etcd that fails, and leaves silence for the client to report', async () => {
    const { clock, logger, result, set } = setUp();
    set(new EtcdError('unavailable', 'http://e', 'gone'));
    await clock.advance(30_000);
    expect(logger.said.filter((line) => line.includes('gone'))).toEqual([]);
    set(new EtcdError('permission', 'http://e', 'etcdserver: permission denied'));
    await clock.advance(10_000);
    expect(logger.said.filter((line) => line.includes('cannot read /net/config')).length).toBeLessThanOrEqual(4);
    expect(logger.said.some((line) => line.includes('etcd at http://e: etcdserver: permission denied'))).toBe(true);
    set('good');
    await clock.advance(5_000);
    expect(await result).toBe('good');
  });

  it('can be told to stop', async () => {
    const { clock, abort, result } = setUp();
    await clock.advance(1_500);
    abort.abort(new Error('told to'));
    await expect(result).rejects.toThrow('told to');
    expect(clock.pending).toBe(0);
  });
});
