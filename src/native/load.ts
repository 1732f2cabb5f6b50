/** Loads the addon; the only place that knows where the binary lies. */
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import type { NativeAddon } from './addon.ts';

const ADDON_PATH = fileURLToPath(new URL('../../native/build/flannel0.node', import.meta.url));

let loaded: NativeAddon | undefined;

/** @throws Error with one clear line where the addon was not built for this machine. */
export function loadNative(): NativeAddon {
  if (loaded === undefined) {
    try {
      loaded = createRequire(import.meta.url)(ADDON_PATH) as NativeAddon;
    } catch (cause) {
      throw new Error(`the native addon ${ADDON_PATH} cannot be loaded; build it with "npm run build:native"`, {
        cause,
      });
    }
  }
  return loaded;
}
