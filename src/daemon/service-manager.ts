import type { Logger } from '../log/log.ts';
import type { NativeAddon } from '../native/addon.ts';

/** Tells the service manager of a state (sd_notify(3)), where there is one; what it makes of it is its affair. */
export function notifyServiceManager(
  native: Pick<NativeAddon, 'sdNotify'>,
  env: Readonly<Record<string, string | undefined>>,
  state: 'READY=1' | 'STOPPING=1',
  logger: Logger,
): void {
  const socketName = env.NOTIFY_SOCKET;
  if (socketName === undefined || socketName === '') return;
  try {
    native.sdNotify(socketName, state);
  } catch (error) {
    logger.warn({ state, error: String(error) }, 'cannot notify the service manager');
  }
}
