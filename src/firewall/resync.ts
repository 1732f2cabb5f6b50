import type { Logger } from '../log/log.ts';
import type { Firewall } from './firewall.ts';

/** Calls back once after `delayMs`; returns what cancels it. Passed in so that tests own the time. */
export type Schedule = (callback: () => void, delayMs: number) => () => void;

export interface ResyncOptions {
  readonly firewall: Firewall;
  readonly intervalMs: number;
  readonly logger: Logger;
  readonly schedule: Schedule;
}

/**
 * Mends the traffic rules every `intervalMs`, counted from the end of one check to the start of the next. One log line
 * when something had to be mended; a failure is logged when it begins or changes, and once when it ends.
 * @returns `stop`, which resolves when no check is under way any more; idempotent.
 */
export function startResync({ firewall, intervalMs, logger, schedule }: ResyncOptions): { stop(): Promise<void> } {
  let stopped = false;
  let failure: string | undefined;
  let running: Promise<void> = Promise.resolve();
  let cancel = scheduleNext();

  function scheduleNext(): () => void {
    return schedule(() => {
      running = mendOnce().then(() => {
        if (!stopped) cancel = scheduleNext();
      });
    }, intervalMs);
  }

  async function mendOnce(): Promise<void> {
    try {
      for (const { table, chain, differences } of await firewall.resync()) {
        logger.warn({ table, chain, found: differences }, 'traffic rules had been changed; put them right');
      }
      if (failure !== undefined) logger.info({}, 'traffic rules can be checked again');
      failure = undefined;
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      if (message !== failure)
        logger.error({ error: message, intervalMs }, 'could not check the traffic rules; trying on');
      failure = message;
    }
  }

  return {
    async stop() {
      stopped = true;
      cancel();
      await running;
    },
  };
}
