import type { Logger } from '../log/log.ts';

/**
 * What has been done to the system, as the steps that undo it. Start-up pushes one entry per step; a failed start and
 * a clean stop run them in reverse order.
 */
export class UndoStack {
  readonly #steps: { readonly what: string; readonly undo: () => void | Promise<void> }[] = [];
  readonly #logger: Logger;

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  /** @param what in the words of a log line, such as `close the UDP socket`. */
  push(what: string, undo: () => void | Promise<void>): void {
    this.#steps.push({ what, undo });
  }

  /** Runs every step once; one that fails is logged and does not keep the others from running. */
  async unwind(): Promise<void> {
    for (let step = this.#steps.pop(); step !== undefined; step = this.#steps.pop()) {
      try {
        await step.undo();
      } catch (error) {
        this.#logger.warn({ step: step.what, error: String(error) }, 'a step of the shutdown failed');
      }
    }
  }
}
