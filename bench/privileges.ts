import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';

/** What is missing to run the benchmark, in one line; undefined: nothing. */
export function missingPrivilege(): string | undefined {
  if (process.getuid?.() !== 0) {
    return 'needs root, for network namespaces, TUN devices and forced socket buffers; run: sudo npm run bench';
  }
  if (!existsSync('/dev/net/tun')) return '/dev/net/tun is missing; load the driver (modprobe tun)';
  if (spawnSync('unshare', ['--net', 'true']).status !== 0) {
    return 'this root may not create network namespaces (CAP_SYS_ADMIN); a container needs --privileged';
  }
  return undefined;
}
