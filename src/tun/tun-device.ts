/** Brings the system to the desired state of the TUN device: descriptors through the addon, the rest by rtnetlink. */
import { writeFileSync } from 'node:fs';
import { OperatorError } from '../errors/errors.ts';
import { formatPrefix } from '../ip/ip.ts';
import type { Logger } from '../log/log.ts';
import type { NativeAddon, TunOffloads } from '../native/addon.ts';
import { type Link, ROUTE_TABLE, type Rtnetlink } from '../rtnetlink/rtnetlink.ts';
import { describeAction, findRouteConflict, planTun, type TunAction, type TunObserved } from './plan.ts';
import { deviceNameProblem, type TunDesiredState, type TunDevice } from './tun.ts';
import { errnoOf, openError, stepError, unless } from './tun-error.ts';
import { claimLeftover } from './tun-leftover.ts';

export type TunNative = Pick<NativeAddon, 'openTunQueue' | 'closeFd'>;

/** Writes one file under /proc/sys. */
export type WriteSysctl = (path: string, value: string) => void;

const writeSysctlFile: WriteSysctl = (path, value) => writeFileSync(path, value);

/**
 * Makes the device (or takes over our own leftover) and brings it to the desired state; on any error nothing is left.
 *
 * Order: descriptors, IPv6 off, accept_local, alias + MTU + queue length, address, link up, route.
 * @throws OperatorError `usage` for a bad name, `privileges`, `host` (no /dev/net/tun, conflicting route), `busy` where
 *   a device of this name is not ours to take.
 */
export function openTun(
  native: TunNative,
  rtnetlink: Rtnetlink,
  desired: TunDesiredState,
  logger: Logger,
  writeSysctl: WriteSysctl = writeSysctlFile,
): TunDevice {
  const problem = deviceNameProblem(desired.name);
  if (problem !== undefined) {
    throw new OperatorError('usage', `${JSON.stringify(desired.name)} cannot be a device name: ${problem}`);
  }
  const descriptors = openDescriptors(native, rtnetlink, desired, logger);
  try {
    const index = indexOf(rtnetlink, desired.name);
    const bring = (): number => bringToState(index, { rtnetlink, desired, logger, writeSysctl });
    bring();
    return tunDevice(desired.name, index, descriptors, bring);
  } catch (error) {
    descriptors.close();
    throw error;
  }
}

interface Descriptors {
  readonly fds: readonly number[];
  readonly offloads: TunOffloads;
  /** Idempotent; the device is gone afterwards. */
  close(): void;
}

function tunDevice(name: string, index: number, descriptors: Descriptors, bring: () => number): TunDevice {
  let isOpen = true;
  return {
    name,
    index,
    fds: descriptors.fds,
    offloads: descriptors.offloads,
    repair() {
      if (!isOpen) throw new OperatorError('internal', `device ${name} was closed`);
      return bring();
    },
    close() {
      isOpen = false;
      descriptors.close();
    },
  };
}

function openDescriptors(
  native: TunNative,
  rtnetlink: Rtnetlink,
  desired: TunDesiredState,
  logger: Logger,
): Descriptors {
  const fds: number[] = [];
  const multiQueue = desired.queues > 1;
  // What the first queue is granted, the others are asked for: they share the device's settings.
  let { offloads } = desired;
  const open = (exclusive: boolean): void => {
    const queue = native.openTunQueue({ name: desired.name, exclusive, multiQueue, offloads });
    fds.push(queue.fd);
    offloads = queue.offloads;
  };
  let leftover: Link | undefined;
  const close = (): void => {
    // A persistent device outlives its descriptors, so it is deleted first; by index, which no other device takes.
    const index = leftover?.index;
    if (index !== undefined && fds.length > 0) unless('ENODEV', () => rtnetlink.deleteLink(index));
    for (const fd of fds.splice(0)) native.closeFd(fd);
  };
  try {
    try {
      open(true);
    } catch (error) {
      if (errnoOf(error) !== 'EBUSY') throw error;
      leftover = claimLeftover(rtnetlink, desired.name, multiQueue);
      logger.info({ device: desired.name, attached: leftover !== undefined }, 'taking over a device we left behind');
      open(leftover === undefined);
    }
    while (fds.length < desired.queues) open(false);
  } catch (error) {
    close();
    throw openError(desired.name, error);
  }
  return { fds: [...fds], offloads, close };
}

interface Bringing {
  readonly rtnetlink: Rtnetlink;
  readonly desired: TunDesiredState;
  readonly logger: Logger;
  readonly writeSysctl: WriteSysctl;
}

/** @returns number of steps taken. */
function bringToState(index: number, { rtnetlink, desired, logger, writeSysctl }: Bringing): number {
  const observed = observe(rtnetlink, index, desired.name);
  const conflict = findRouteConflict(desired, observed);
  if (conflict !== undefined) throw routeConflict(desired, conflict.nextHops[0]?.index, rtnetlink);
  const actions = planTun(desired, observed);
  for (const action of actions) {
    logger.debug({ device: desired.name }, describeAction(action));
    try {
      perform(action, rtnetlink, desired.name, writeSysctl);
    } catch (error) {
      if (action.kind === 'accept-local' || action.kind === 'silence-ipv6') {
        warnSetting(action.kind, desired.name, error, logger);
      } else if (action.kind === 'add-route' && errnoOf(error) === 'EEXIST') {
        throw routeConflict(desired, undefined, rtnetlink);
      } else {
        throw stepError(desired.name, describeAction(action), error);
      }
    }
  }
  return actions.length;
}

function indexOf(rtnetlink: Rtnetlink, name: string): number {
  const link = rtnetlink.links().find((each) => each.name === name);
  if (link === undefined) throw deviceGone(name);
  return link.index;
}

/** By index: a device that somebody else made under our name later is not ours to change. */
function observe(rtnetlink: Rtnetlink, index: number, name: string): TunObserved {
  const link = rtnetlink.links().find((each) => each.index === index && each.name === name);
  if (link === undefined) throw deviceGone(name);
  return { link, addresses: rtnetlink.addresses(), routes: rtnetlink.routes(4, ROUTE_TABLE.main) };
}

function deviceGone(name: string): OperatorError {
  return new OperatorError('host', `device ${name} has gone: somebody deleted or renamed it; restart the daemon`);
}

/** Somebody else's change in between that does our work is no failure. */
function perform(action: TunAction, rtnetlink: Rtnetlink, name: string, writeSysctl: WriteSysctl): void {
  switch (action.kind) {
    case 'silence-ipv6':
      try {
        writeSysctl(`/proc/sys/net/ipv6/conf/${name}/disable_ipv6`, '1');
      } catch {
        // Containers have /proc/sys read-only: without an address of its own the device sends no more than multicast
        // reports when it comes up.
        rtnetlink.setLink(action.change);
      }
      break;
    case 'accept-local':
    case 'set-link':
    case 'link-up':
      rtnetlink.setLink(action.change);
      break;
    case 'delete-address':
      // The kernel removes the other addresses of a subnet together with its first one.
      unless('EADDRNOTAVAIL', () => rtnetlink.deleteAddress(action.address));
      break;
    case 'add-address':
      unless('EEXIST', () => rtnetlink.addAddress(action.address));
      break;
    case 'add-route':
      rtnetlink.addRoute(action.route);
      break;
    case 'replace-route':
      rtnetlink.replaceRoute(action.route);
      break;
  }
}

/** The overlay works without these two; what is missing is said once. */
function warnSetting(kind: 'accept-local' | 'silence-ipv6', device: string, error: unknown, logger: Logger): void {
  const message =
    kind === 'accept-local'
      ? 'cannot set accept_local: containers will not see ICMP answers of this host'
      : "cannot turn IPv6 off on the device: the kernel's own IPv6 packets will be dropped and counted";
  logger.warn({ device, cause: error instanceof Error ? error.message : String(error) }, message);
}

function routeConflict(desired: TunDesiredState, index: number | undefined, rtnetlink: Rtnetlink): OperatorError {
  const route = formatPrefix(desired.route);
  const other = rtnetlink.links().find((link) => link.index === index)?.name;
  const where = other === undefined ? '' : ` over ${other}`;
  return new OperatorError(
    'host',
    `this host has a route to ${route}${where} already, so it cannot lead to ${desired.name}; ` +
      `remove it (ip route del ${route}) or choose another Network in the configuration`,
  );
}
