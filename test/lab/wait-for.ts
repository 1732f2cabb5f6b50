import { setTimeout as delay } from 'node:timers/promises';

const POLL_MS = 40;

/**
 * Polls `condition` until it returns something truthy, and returns that. What it throws counts as "not yet" and is
 * shown as the last state if the deadline passes.
 * @throws Error naming `what` and the last state after `deadlineMs`.
 */
export async function waitFor<T>(
  condition: () => T | Promise<T>,
  deadlineMs: number,
  what: string,
): Promise<NonNullable<T>> {
  const end = performance.now() + deadlineMs;
  let last = 'condition false';
  for (;;) {
    try {
      const value = await condition();
      if (value) return value as NonNullable<T>;
      last = `condition ${JSON.stringify(value) ?? 'undefined'}`;
    } catch (error) {
      last = error instanceof Error ? error.message : String(error);
    }
    if (performance.now() >= end) throw new Error(`${what}: not within ${deadlineMs} ms; last state: ${last}`);
    await delay(POLL_MS);
  }
}
