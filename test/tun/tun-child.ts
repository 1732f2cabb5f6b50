/** Opens TUN devices in its namespace for a test; the log lines come back with `log`. */
import { readSync } from 'node:fs';
import type { Logger } from '../../src/log/log.ts';
import { loadNative } from '../../src/native/load.ts';
import { kernelRtnetlink } from '../../src/rtnetlink/kernel-rtnetlink.ts';
import type { TunDesiredState, TunDevice } from '../../src/tun/tun.ts';
import { openTun } from '../../src/tun/tun-device.ts';
import { serve } from '../rtnetlink/wire.ts';

const NO_OFFLOADS = { vnetHeader: false, checksum: false, tcp: false, udp: false };

const lines: string[] = [];
const note = (level: string) => (_fields: object, message: string) => void lines.push(`${level} ${message}`);
const logger: Logger = { debug() {}, info: note('info'), warn: note('warn'), error: note('error') };
const native = loadNative();
const rtnetlink = kernelRtnetlink(native);
const devices: TunDevice[] = [];

/** Packets that wait on a descriptor; they are taken out. */
function drain(fd: number): number {
  for (let count = 0; ; count++) {
    try {
      readSync(fd, Buffer.alloc(2048));
    } catch (error) {
      if (error instanceof Error && 'code' in error && error.code === 'EAGAIN') return count;
      throw error;
    }
  }
}

function current(): TunDevice {
  const device = devices.at(-1);
  if (device === undefined) throw new Error('no device');
  return device;
}

serve({
  open(desired: TunDesiredState, sysctlFails?: boolean) {
    const refuse = () => {
      throw new Error('read-only file system');
    };
    devices.push(openTun(native, rtnetlink, desired, logger, ...(sysctlFails ? [refuse] : [])));
    return { index: current().index, fds: current().fds.length };
  },
  repair: () => current().repair(),
  close: () => current().close(),
  /** A device that nobody configures. */
  openBare: (name: string) =>
    native.openTunQueue({ name, exclusive: true, multiQueue: false, offloads: NO_OFFLOADS }).fd,
  drain: (fd?: number) => drain(fd ?? current().fds[0] ?? -1),
  log: () => lines.splice(0),
});
