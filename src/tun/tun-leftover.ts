/** A device of our name exists already: whose is it? */
import { OperatorError } from '../errors/errors.ts';
import type { Link, Rtnetlink } from '../rtnetlink/rtnetlink.ts';
import { TUN_ALIAS } from './tun.ts';
import { unless } from './tun-error.ts';

export type Occupant =
  /** Ours, persistent, and nobody holds it. */
  | { readonly kind: 'leftover'; readonly link: Link }
  /** `description` completes "NAME is ...". */
  | { readonly kind: 'foreign'; readonly description: string };

export function judgeOccupant(link: Link): Occupant {
  const { tun } = link;
  if (tun === undefined) return { kind: 'foreign', description: `a device of kind ${link.kind ?? 'hardware'}` };
  if (tun.type === 'tap') return { kind: 'foreign', description: 'a tap device of another program' };
  // Only multi-queue devices tell their queues; the carrier of a TUN is on while a descriptor is attached.
  const isHeld = tun.queues !== undefined ? tun.queues > 0 : link.lowerUp;
  if (isHeld || !tun.persistent) return { kind: 'foreign', description: 'a tun device that another process holds' };
  if (link.alias !== TUN_ALIAS) return { kind: 'foreign', description: 'a persistent tun device that is not ours' };
  return { kind: 'leftover', link };
}

/**
 * Decides about the device that made the exclusive open fail.
 * @returns the leftover to attach to; undefined where the name is free now (the device went away in between, or was a
 *   leftover of the wrong queue mode, to which the kernel lets nobody attach, and has been deleted).
 * @throws OperatorError `busy` where the device is not ours.
 */
export function claimLeftover(rtnetlink: Rtnetlink, name: string, multiQueue: boolean): Link | undefined {
  const link = rtnetlink.links().find((each) => each.name === name);
  if (link === undefined) return undefined;
  const occupant = judgeOccupant(link);
  if (occupant.kind === 'foreign') {
    throw new OperatorError(
      'busy',
      `device ${name} exists and is ${occupant.description}; ` +
        `stop what uses it, or remove it if nothing does (ip link del ${name})`,
    );
  }
  if (link.tun?.multiQueue === multiQueue) return link;
  unless('ENODEV', () => rtnetlink.deleteLink(link.index));
  return undefined;
}
