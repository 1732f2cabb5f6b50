import type { Logger } from '../log/log.ts';

/**
 * What has been done to the system, as the steps that undo it. Start-up pushes one entry per step; a failed start and
 * a clean stop run them in reverse order. Some things (the lease, the traffic rules) are to survive a clean stop, so
 * that a restarted daemon finds them: those are undone only if the start fails.
 */
export class UndoStack {
  #steps: { readonly what: string; readonly lasting: boolean; readonly undo: () => void | Promise<void> }[] = [];
  readonly #logger: Logger;

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  /** @param what in the words of a log line, such as `close the UDP socket`. */
  push(what: string, undo: () => void | Promise<void>): void {
    this.#steps.push({ what, lasting: true, undo });
  }

  /** To be undone only if the start fails later on. */
  pushForFailedStart(what: string, undo: () => void | Promise<void>): void {
    this.#steps.push({ what, lasting: false, undo });
  }

  /** The start has succeeded. */
  started(): void {
    this.#steps = this.#steps.filter((step) => step.lasting);
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
