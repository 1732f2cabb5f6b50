/**
 * When to speak of something that fails again and again: at once, then after 1 s, 2 s, 4 s ... and at most once a
 * minute; and once when it works again. Time is passed in; nothing runs by itself.
 */
const FIRST_REPEAT_MS = 1_000;
const LAST_REPEAT_MS = 60_000;

export type OutageNotice =
  | { readonly kind: 'down' }
  | { readonly kind: 'still-down'; readonly downMs: number }
  | { readonly kind: 'up'; readonly downMs: number };

interface Outage {
  readonly sinceMs: number;
  readonly nextNoticeMs: number;
  readonly intervalMs: number;
  readonly topic: string;
}

export class OutageTracker {
  #outage: Outage | undefined;

  get down(): boolean {
    return this.#outage !== undefined;
  }

  /** @param topic what is wrong; another topic than before is worth saying at once. */
  failed(nowMs: number, topic = ''): OutageNotice | undefined {
    const outage = this.#outage;
    if (outage === undefined || outage.topic !== topic) {
      const sinceMs = outage?.sinceMs ?? nowMs;
      this.#outage = { sinceMs, nextNoticeMs: nowMs + FIRST_REPEAT_MS, intervalMs: FIRST_REPEAT_MS, topic };
      return outage === undefined ? { kind: 'down' } : { kind: 'still-down', downMs: nowMs - sinceMs };
    }
    if (nowMs < outage.nextNoticeMs) return undefined;
    const intervalMs = Math.min(outage.intervalMs * 2, LAST_REPEAT_MS);
    this.#outage = { ...outage, intervalMs, nextNoticeMs: nowMs + intervalMs };
    return { kind: 'still-down', downMs: nowMs - outage.sinceMs };
  }

  worked(nowMs: number): OutageNotice | undefined {
    const outage = this.#outage;
    this.#outage = undefined;
    return outage === undefined ? undefined : { kind: 'up', downMs: nowMs - outage.sinceMs };
  }
}
