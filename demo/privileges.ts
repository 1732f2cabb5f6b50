/**
 * The demo makes network namespaces and TUN devices. Root may do that; others may inside a user namespace of their
 * own (user_namespaces(7)), where the system permits it and /dev/net/tun is open to them.
 */
import { spawnSync } from 'node:child_process';
import { accessSync, constants, existsSync } from 'node:fs';

export type Privileges =
  | { readonly kind: 'sufficient' }
  /** Run this command in place of ourselves. */
  | { readonly kind: 'user-namespace'; readonly argv: readonly string[] }
  | { readonly kind: 'missing'; readonly message: string };

/** Set inside the user namespace, so that a failure there does not try a third time. */
const INSIDE = 'FLANNEL0_DEMO_USER_NAMESPACE';

export function checkPrivileges(argv: readonly string[]): Privileges {
  if (!existsSync('/dev/net/tun')) {
    return missing('/dev/net/tun is missing; load the driver (modprobe tun) or give this container the device');
  }
  const isRoot = process.getuid?.() === 0;
  if (!isReadWrite('/dev/net/tun')) {
    return missing(
      isRoot ? '/dev/net/tun cannot be opened; this container needs the device' : needRoot('/dev/net/tun'),
    );
  }
  if (succeeds(['unshare', '--net', '--mount', 'true'])) return { kind: 'sufficient' };
  if (isRoot) return missing('this root may not create network namespaces (CAP_SYS_ADMIN); run it with --privileged');
  if (process.env[INSIDE] === undefined && succeeds(['unshare', '-Urnm', 'true'])) {
    // `ip netns` and iptables keep files below /run, which belongs to the real root.
    const script = 'mount -t tmpfs tmpfs /run && exec "$@"';
    return {
      kind: 'user-namespace',
      argv: ['env', `${INSIDE}=1`, 'unshare', '-Urnm', 'sh', '-c', script, 'sh', ...argv],
    };
  }
  return missing(needRoot('network namespaces'));
}

function needRoot(what: string): string {
  return `not enough privileges for ${what}; run: sudo npm run demo`;
}

function missing(message: string): Privileges {
  return { kind: 'missing', message };
}

function isReadWrite(path: string): boolean {
  try {
    accessSync(path, constants.R_OK | constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

function succeeds([command = '', ...rest]: readonly string[]): boolean {
  return spawnSync(command, rest, { stdio: 'ignore' }).status === 0;
}
