/**
 * How a host comes by its subnet: acquire at the start, reacquire in place when the lease was lost, release when the
 * start fails later on. The choices are those of flanneld (allocator.ts); the writes are guarded (lease-store.ts).
 */
import { randomBytes } from 'node:crypto';
import { OperatorError } from '../errors/errors.ts';
import type { Clock } from '../etcd-watch/etcd-watch.ts';
import { createRefusalLog } from '../etcd-watch/watch-log.ts';
import { formatAddress, formatPrefix, overlaps, sameAddress, samePrefix } from '../ip/ip.ts';
import type { Logger } from '../log/log.ts';
import type { NetworkConfig } from '../network-config/network-config.ts';
import { allocateSubnet, findOwn, judgePrevious } from './allocator.ts';
import type { Lease, LeaseAttributes, Subnet } from './lease.ts';
import {
  LeaseStore,
  type LeaseStoreClient,
  type Persist,
  type StoredLease,
  type SubnetListing,
} from './lease-store.ts';
import { subnetsPrefix } from './lease-table.ts';
import { encodeLeaseValue } from './lease-value.ts';
import { pause, persist } from './retry.ts';

/** As flanneld's: 24 hours. */
export const LEASE_TTL_SECONDS = 86_400;

/** Races lost in a row before giving up; each one means that some other host got a subnet. */
const MAX_LOST_RACES = 50;
const MAX_RACE_PAUSE_MS = 200;

/** The lease this host holds. */
export interface HeldLease {
  readonly key: string;
  readonly lease: Lease;
  /** 0: a reservation, which needs no renewal. */
  readonly leaseId: bigint;
  readonly modRevision: bigint;
  /** 0 for a reservation. */
  readonly ttlSeconds: number;
  /** On the boot clock, no later than the moment from which etcd counts the TTL. */
  readonly confirmedAtSeconds: number;
  /** How it came about. `created` and `previous` made the key, the others found it. */
  readonly origin: 'created' | 'previous' | 'reused' | 'reservation';
}

export type Reacquired =
  | { readonly kind: 'held'; readonly held: HeldLease }
  /** Another host's now; `by` says whose, for the operator. */
  | { readonly kind: 'taken'; readonly by: string };

export interface LeaseManagerOptions {
  readonly client: LeaseStoreClient;
  readonly etcdPrefix: string;
  readonly logger: Logger;
  readonly clock: Clock;
  /** Clock that runs through suspend, in seconds (CLOCK_BOOTTIME). */
  readonly bootSeconds: () => number;
  /** In [0, 1). */
  readonly random: () => number;
  readonly ttlSeconds?: number;
  readonly drawLeaseId?: () => bigint;
}

export interface AcquireRequest {
  readonly config: NetworkConfig;
  readonly attributes: LeaseAttributes;
  /** From the subnet file of an earlier run. */
  readonly previous?: Subnet;
}

export interface LeaseManager {
  /**
   * Obtains a subnet; waits for as long as etcd does not answer. @throws OperatorError `subnet` when there is none to
   * be had; the signal's reason when aborted, once a write under way is settled and undone (an etcd lease without a key
   * may be left to expire).
   */
  acquire(request: AcquireRequest, signal: AbortSignal): Promise<HeldLease>;
  /** Gets the same subnet again where it is free or still ours; waits for etcd as above. */
  reacquire(held: HeldLease, signal: AbortSignal): Promise<Reacquired>;
  /** Undoes an acquire of this run: deletes a key that it created; one that it found stays. One try. */
  release(held: HeldLease): Promise<void>;
}

export function createLeaseManager(options: LeaseManagerOptions): LeaseManager {
  return new Manager(options);
}

function drawLeaseId(): bigint {
  return (randomBytes(8).readBigUInt64BE() & 0x7fffffffffffffffn) | 1n;
}

class Manager implements LeaseManager {
  readonly #options: LeaseManagerOptions;
  readonly #store: LeaseStore;
  readonly #prefix: string;
  #lastWrite: Promise<HeldLease | undefined> = Promise.resolve(undefined);

  constructor(options: LeaseManagerOptions) {
    this.#options = options;
    this.#prefix = subnetsPrefix(options.etcdPrefix);
    this.#store = new LeaseStore({
      client: options.client,
      subnetsPrefix: this.#prefix,
      ttlSeconds: options.ttlSeconds ?? LEASE_TTL_SECONDS,
      drawLeaseId: options.drawLeaseId ?? drawLeaseId,
    });
  }

  async acquire(request: AcquireRequest, signal: AbortSignal): Promise<HeldLease> {
    const persist = this.#patience(signal, `acquire a lease under ${this.#prefix}`);
    const settle = this.#patience(signal, `finish a write under ${this.#prefix}`);
    for (let lost = 0; lost < MAX_LOST_RACES; lost++) {
      const held = await persist(() => this.#attempt(settle, request)).catch(async (thrown: unknown) => {
        if (signal.aborted) await this.#releaseLate();
        throw thrown;
      });
      if (held !== undefined) return held;
      await this.#pauseAfterRace(lost, signal);
    }
    const problem = `another host was faster ${MAX_LOST_RACES} times in a row under ${this.#prefix}`;
    throw new OperatorError('subnet', `no subnet obtained: ${problem}; start again`);
  }

  /** The write of an aborted attempt may be on its way: nobody would know of what it makes. */
  async #releaseLate(): Promise<void> {
    const held = await this.#lastWrite.catch(() => undefined);
    if (held !== undefined) await this.release(held);
  }

  async reacquire(held: HeldLease, signal: AbortSignal): Promise<Reacquired> {
    const persist = this.#patience(signal, `take ${held.key} again`);
    const settle = this.#patience(signal, `finish a write to ${held.key}`);
    for (let lost = 0; ; lost++) {
      const result = await persist(() => this.#reattempt(settle, held));
      if (result !== undefined) return result;
      await this.#pauseAfterRace(lost, signal);
    }
  }

  async release(held: HeldLease): Promise<void> {
    const createdHere = held.origin === 'created' || held.origin === 'previous';
    if (createdHere && held.leaseId !== 0n) await this.#options.client.leaseRevoke(held.leaseId);
  }

  /**
   * One look and one write; may be repeated whenever etcd failed on the way.
   * @returns undefined where the look turned out to be out of date.
   */
  async #attempt(settle: Persist, request: AcquireRequest): Promise<HeldLease | undefined> {
    const { config, attributes } = request;
    const listing = await this.#store.list();
    // Reservations first: what somebody set aside for this host goes before what it happens to hold.
    const ranked = [...listing.leases].sort((a, b) => Number(a.leaseId !== 0n) - Number(b.leaseId !== 0n));
    const own = findOwn(ranked, attributes.publicIp, config);
    if (own.kind === 'reusable') {
      return own.lease.leaseId === 0n
        ? this.#takeReservation(own.lease, attributes)
        : this.#reuse(settle, own.lease, attributes);
    }
    if (own.kind === 'incompatible' && (await this.#clearIncompatible(ranked, attributes))) return undefined;
    const subnet = this.#choosePrevious(request, listing) ?? this.#allocate(request, listing);
    const origin = request.previous !== undefined && sameSubnet(subnet, request.previous) ? 'previous' : 'created';
    return this.#write(settle, { subnet, attributes }, 0n, origin);
  }

  async #takeReservation(stored: StoredLease, attributes: LeaseAttributes): Promise<HeldLease | undefined> {
    const value = valueBytes(attributes);
    let modRevision: bigint | undefined = stored.modRevision;
    if (Buffer.compare(stored.value, value) !== 0) {
      modRevision = await this.#store.writeReservation(stored.key, value, stored.modRevision);
    }
    if (modRevision === undefined) return undefined;
    const lease = { subnet: stored.subnet, attributes };
    const { bootSeconds } = this.#options;
    const times = { ttlSeconds: 0, confirmedAtSeconds: bootSeconds() };
    return { key: stored.key, lease, leaseId: 0n, modRevision, ...times, origin: 'reservation' };
  }

  /** Moves the key from the etcd lease of an earlier run to a fresh one, then gives the earlier one back. */
  async #reuse(settle: Persist, stored: StoredLease, attributes: LeaseAttributes): Promise<HeldLease | undefined> {
    const lease = { subnet: stored.subnet, attributes };
    const held = await this.#write(settle, lease, stored.modRevision, 'reused');
    if (held !== undefined) await this.#store.dropEmptyLease(stored.leaseId);
    return held;
  }

  #write(settle: Persist, lease: Lease, guard: bigint, origin: HeldLease['origin']): Promise<HeldLease | undefined> {
    this.#lastWrite = this.#carryOut(settle, lease, guard, origin);
    return this.#lastWrite;
  }

  async #carryOut(
    settle: Persist,
    lease: Lease,
    guard: bigint,
    origin: HeldLease['origin'],
  ): Promise<HeldLease | undefined> {
    const key = this.#store.keyOf(lease.subnet);
    const confirmedAtSeconds = this.#options.bootSeconds();
    const result = await this.#store.writeLeased(settle, key, valueBytes(lease.attributes), guard);
    if (result.kind === 'conflict') return undefined;
    const { leaseId, modRevision, ttlSeconds } = result;
    return { key, lease, leaseId, modRevision, ttlSeconds, confirmedAtSeconds, origin };
  }

  /**
   * Deletes our own leases that the configuration no longer allows, as flanneld does; a reservation, which somebody
   * made by hand, is left alone. @returns whether anything was deleted.
   */
  async #clearIncompatible(leases: readonly StoredLease[], attributes: LeaseAttributes): Promise<boolean> {
    const own = leases.filter((lease) => sameAddress(lease.attributes.publicIp, attributes.publicIp));
    for (const lease of own) {
      const does = lease.leaseId === 0n ? 'it is a reservation and stays, unused' : 'deleting it';
      const text = `${lease.key} names this host but does not fit the network configuration: ${does}`;
      this.#options.logger.warn({ key: lease.key }, text);
      if (lease.leaseId !== 0n) await this.#store.delete(lease);
    }
    return own.some((lease) => lease.leaseId !== 0n);
  }

  #choosePrevious({ config, previous }: AcquireRequest, listing: SubnetListing): Subnet | undefined {
    if (previous === undefined) return undefined;
    const verdict = judgePrevious(previous, config, listing.taken);
    if (verdict === 'usable') return previous;
    const why = verdict === 'taken' ? 'is taken' : 'does not fit the network configuration';
    this.#options.logger.info({}, `the previous subnet ${formatPrefix(previous.ipv4)} ${why}: choosing another`);
    return undefined;
  }

  /** @throws OperatorError `subnet` */
  #allocate({ config }: AcquireRequest, listing: SubnetListing): Subnet {
    const subnet = allocateSubnet(config, listing.taken, this.#options.random);
    if (subnet !== undefined) return subnet;
    const range = `${formatAddress(config.subnetMin)} to ${formatAddress(config.subnetMax)}`;
    const network = `${formatPrefix(config.network)} (subnets of /${config.subnetLength} from ${range})`;
    const advice = `delete keys of hosts that are gone, or enlarge the network`;
    const count = listing.taken.length;
    throw new OperatorError('subnet', `no free subnet in ${network}: ${count} keys under ${this.#prefix}; ${advice}`);
  }

  async #reattempt(settle: Persist, held: HeldLease): Promise<Reacquired | undefined> {
    const listing = await this.#store.list();
    const rival = listing.leases.find((lease) => lease.key !== held.key && clash(lease.subnet, held.lease.subnet));
    if (rival !== undefined) return takenBy(rival);
    const kv = listing.kvs.find((candidate) => candidate.key === held.key);
    if (kv === undefined) return this.#regain(settle, held, 0n, 0n);
    const stored = listing.leases.find((lease) => lease.key === held.key);
    if (stored === undefined) return this.#regain(settle, held, kv.modRevision, kv.leaseId);
    if (!sameAddress(stored.attributes.publicIp, held.lease.attributes.publicIp)) return takenBy(stored);
    if (stored.leaseId === 0n) {
      const reserved = await this.#takeReservation(stored, held.lease.attributes);
      return reserved === undefined ? undefined : { kind: 'held', held: reserved };
    }
    if (stored.leaseId === held.leaseId) {
      const confirmedAtSeconds = this.#options.bootSeconds();
      const { ttlSeconds } = await this.#options.client.leaseKeepAlive(held.leaseId);
      if (ttlSeconds === 0) return undefined;
      return { kind: 'held', held: { ...held, modRevision: stored.modRevision, ttlSeconds, confirmedAtSeconds } };
    }
    return this.#regain(settle, held, stored.modRevision, stored.leaseId);
  }

  /** Writes our key anew over what stands there (`guard`), under a fresh etcd lease. */
  async #regain(settle: Persist, held: HeldLease, guard: bigint, leaseId: bigint): Promise<Reacquired | undefined> {
    const origin = held.origin === 'reservation' ? 'reused' : held.origin;
    const regained = await this.#write(settle, held.lease, guard, origin);
    if (regained === undefined) return undefined;
    for (const former of new Set([leaseId, held.leaseId])) await this.#store.dropEmptyLease(former);
    return { kind: 'held', held: regained };
  }

  #patience(signal: AbortSignal, doing: string): Persist {
    const { logger, clock, random } = this.#options;
    const refusals = createRefusalLog(logger, () => clock.nowMs(), doing);
    return (call) => persist({ clock, random, signal, refusals }, call);
  }

  async #pauseAfterRace(lost: number, signal: AbortSignal): Promise<void> {
    const { clock, random, logger } = this.#options;
    logger.debug({ lost: lost + 1 }, 'the leases changed meanwhile, looking again');
    await pause(clock, random() * Math.min(MAX_RACE_PAUSE_MS, 20 * 2 ** Math.min(lost, 8)), signal);
  }
}

function valueBytes(attributes: LeaseAttributes): Uint8Array {
  return new TextEncoder().encode(encodeLeaseValue(attributes));
}

function takenBy(lease: Lease): Reacquired {
  const address = formatAddress(lease.attributes.publicIp);
  return { kind: 'taken', by: `${address} holds ${formatPrefix(lease.subnet.ipv4)}` };
}

function clash(a: Subnet, b: Subnet): boolean {
  return overlaps(a.ipv4, b.ipv4) || (a.ipv6 !== undefined && b.ipv6 !== undefined && overlaps(a.ipv6, b.ipv6));
}

function sameSubnet(a: Subnet, b: Subnet): boolean {
  if (!samePrefix(a.ipv4, b.ipv4)) return false;
  return a.ipv6 === undefined || b.ipv6 === undefined ? a.ipv6 === b.ipv6 : samePrefix(a.ipv6, b.ipv6);
}
