/**
 * The TUN device as it should be. Control plane only: packets are the native core's affair.
 *
 * The device is not persistent: it lives as long as a descriptor of it is open, and takes its address, its routes and
 * its settings with it. So the close of the descriptors is the whole undo, also when the process is killed.
 */
import type { Prefix } from '../ip/ip.ts';
import type { TunOffloads } from '../native/addon.ts';

export interface TunDesiredState {
  readonly name: string;
  readonly mtuBytes: number;
  /** The device's own address: the base of the host's subnet, as a /32. */
  readonly address: Prefix;
  /** The overlay network, which the device leads to. */
  readonly route: Prefix;
  /** Descriptors to open, one for each worker; more than 1 makes a multi-queue device. */
  readonly queues: number;
  /** Wanted of the kernel; what it does not know is left out. */
  readonly offloads: TunOffloads;
  readonly txQueueLength: number;
  /**
   * Take packets from the device whose source is the device's own address. Our ICMP answers are such packets; without
   * it the kernel drops them as martians.
   */
  readonly acceptLocal: boolean;
}

/** What flannel's device has; also the tun driver's own default. */
export const TX_QUEUE_LENGTH = 500;

/** Marks a device as made by us, so that a persistent one that nobody holds is known as our leftover. */
export const TUN_ALIAS = 'flannel0 overlay';

export interface TunDevice {
  readonly name: string;
  readonly index: number;
  /** One for each queue; owned by the device, closed by `close`. */
  readonly fds: readonly number[];
  /** What the kernel granted. */
  readonly offloads: TunOffloads;
  /**
   * Brings address, route and settings back to the desired state.
   * @returns how many changes were needed.
   * @throws OperatorError
   */
  repair(): number;
  /** Idempotent. Stop whatever uses the descriptors first. */
  close(): void;
}

/** IFNAMSIZ (linux/if.h) with its closing NUL */
const NAME_MAX_BYTES = 15;

/**
 * The kernel's rules for names (netdevice(7), `dev_valid_name`), and three of ours: no `%`, which makes the kernel number
 * devices, and neither `all` nor `default`, which mean something else under /proc/sys/net.
 * @returns what is wrong with the name; undefined where it is good.
 */
export function deviceNameProblem(name: string): string | undefined {
  if (name === '') return 'it is empty';
  if (Buffer.byteLength(name) > NAME_MAX_BYTES) return `it is longer than ${NAME_MAX_BYTES} bytes`;
  if (/[\s/:%\0]/.test(name)) return 'it contains a blank, "/", ":" or "%"';
  if (['.', '..', 'all', 'default'].includes(name)) return 'the name is reserved';
  return undefined;
}
