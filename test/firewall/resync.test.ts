import { describe, expect, it } from 'vitest';
import type { Firewall, TableDifference } from '../../src/firewall/firewall.ts';
import { startResync } from '../../src/firewall/resync.ts';
import type { Logger } from '../../src/log/log.ts';

const mended: TableDifference = { table: 'filter', chain: 'FLANNEL-FWD', differences: ['jump missing'] };

function harness(results: (readonly TableDifference[] | Error)[]) {
  const lines: string[] = [];
  const log = (level: string) => (_fields: object, message: string) => void lines.push(`${level} ${message}`);
  const logger: Logger = { debug: log('debug'), info: log('info'), warn: log('warn'), error: log('error') };
  const timers = new Set<() => void>();
  const delays: number[] = [];
  let release: (() => void) | undefined;
  const firewall: Firewall = {
    install: () => Promise.resolve(),
    undo: () => Promise.resolve(),
    check: () => Promise.resolve([]),
    async resync() {
      await new Promise<void>((resolve) => {
        release = resolve;
      });
      const result = results.shift() ?? [];
      if (result instanceof Error) throw result;
      return result;
    },
  };
  const resync = startResync({
    firewall,
    intervalMs: 5000,
    logger,
    schedule(callback, delayMs) {
      delays.push(delayMs);
      timers.add(callback);
      return () => void timers.delete(callback);
    },
  });
  /** Lets the timer fire and the check it starts come to its end. */
  async function tick(): Promise<void> {
    const [timer] = timers;
    if (timer === undefined) throw new Error('no timer is set');
    timers.delete(timer);
    timer();
    release?.();
    await new Promise((resolve) => setImmediate(resolve));
  }
  return {
    lines,
    timers,
    delays,
    resync,
    tick,
    fire: () => [...timers].forEach((t) => void t()),
    release: () => release?.(),
  };
}

describe('startResync', () => {
  it('says nothing while all is well, one line when something was mended', async () => {
    const { tick, lines, delays } = harness([[], [mended], []]);
    for (let i = 0; i < 3; i++) await tick();
    expect(lines).toEqual(['warn traffic rules had been changed; put them right']);
    expect(delays).toEqual([5000, 5000, 5000, 5000]);
  });

  it('logs a failure when it begins, changes and ends', async () => {
    const { tick, lines } = harness([new Error('a'), new Error('a'), new Error('b'), [], []]);
    for (let i = 0; i < 5; i++) await tick();
    expect(lines).toEqual([
      'error could not check the traffic rules; trying on',
      'error could not check the traffic rules; trying on',
      'info traffic rules can be checked again',
    ]);
  });

  it('stops after the check that is under way, and sets no timer again', async () => {
    const { resync, timers, fire, release } = harness([[]]);
    fire();
    timers.clear();
    let done = false;
    const stopping = resync.stop().then(() => {
      done = true;
    });
    await new Promise((resolve) => setImmediate(resolve));
    expect(done).toBe(false);
    release();
    await stopping;
    expect(timers.size).toBe(0);
    await resync.stop();
  });
});
