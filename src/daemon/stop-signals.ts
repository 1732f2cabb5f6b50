/** Why the daemon was asked to stop: the reason of the abort signal. */
export class StopRequest extends Error {
  readonly signalName: NodeJS.Signals;
  constructor(signalName: NodeJS.Signals) {
    super(`stopped by ${signalName}`);
    this.name = 'StopRequest';
    this.signalName = signalName;
  }
}

const STOP_SIGNALS = ['SIGINT', 'SIGTERM'] as const;

/**
 * Turns the first SIGINT or SIGTERM into an abort; a second one ends the process at once, as signals do by default.
 * `close` gives the signals back.
 */
export function listenForStop(process: NodeJS.Process): { readonly signal: AbortSignal; close(): void } {
  const controller = new AbortController();
  const close = () => {
    for (const name of STOP_SIGNALS) process.off(name, onSignal);
  };
  const onSignal = (name: NodeJS.Signals) => {
    close();
    controller.abort(new StopRequest(name));
  };
  for (const name of STOP_SIGNALS) process.on(name, onSignal);
  return { signal: controller.signal, close };
}
