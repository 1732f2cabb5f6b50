/**
 * The leases of all hosts, as a list-and-watch of `<prefix>/subnets/` shows them.
 *
 * The prefix ends in a slash, unlike flanneld's, which also sees siblings such as `<prefix>/subnets-old/...`: no
 * flanneld writes a lease there, so they can only be strays. For the same reason only the key that a flanneld would
 * write for a subnet counts; `subnets/old/10.5.1.0-24` is no second name of 10.5.1.0/24.
 *
 * What cannot be read never takes a route away: a foreign or broken key is reported once per change and ignored, and
 * where a good lease gets a value that cannot be read, the last good one stays until the key is mended or deleted.
 *
 * A dual-stack key may name the IPv4 subnet of another key. The subnet belongs to the key that was made first, which
 * every host sees alike; the other one is reported, and counts only once the first is gone.
 */
import type { KeyValue, ListWatchSink, WatchEvent } from '../etcd-watch/etcd-watch.ts';
import { formatPrefix } from '../ip/ip.ts';
import type { Logger } from '../log/log.ts';
import type { Lease } from './lease.ts';
import { decodeLeaseValue } from './lease-value.ts';
import { formatSubnetKey, parseSubnetKey } from './subnet-key.ts';

export type LeaseChange =
  | { readonly kind: 'set'; readonly lease: Lease }
  | { readonly kind: 'removed'; readonly lease: Lease };

export interface LeaseTableOptions {
  /** From {@link subnetsPrefix}. */
  readonly subnetsPrefix: string;
  readonly logger: Logger;
  /** All changes of one snapshot or one watch message; never empty. The own lease is among them. */
  readonly onChanges: (changes: readonly LeaseChange[]) => void;
}

export interface LeaseTable extends Pick<ListWatchSink, 'onSnapshot' | 'onChanges'> {
  leases(): Lease[];
}

/** Lines about unreadable keys per batch; the rest is a number. A mistaken mass import must not flood the log. */
const MAX_REPORTS_PER_BATCH = 10;
const MAX_SHOWN_KEY_LENGTH = 120;

interface Entry {
  readonly key: string;
  readonly value: Uint8Array;
  readonly createRevision: bigint;
  readonly lease: Lease;
}

export type ReadLease = { readonly ok: true; readonly lease: Lease } | { readonly ok: false; readonly problem: string };

/** Reads a key and its value as a lease. */
export function readLease(subnetsPrefix: string, kv: Pick<KeyValue, 'key' | 'value'>): ReadLease {
  const tail = kv.key.slice(subnetsPrefix.length);
  const subnet = kv.key.startsWith(subnetsPrefix) ? parseSubnetKey(tail) : undefined;
  if (subnet === undefined || formatSubnetKey(subnet) !== tail)
    return { ok: false, problem: 'the key names no subnet (such as 10.5.21.0-24)' };
  const value = decodeLeaseValue(kv.value);
  return value.ok ? { ok: true, lease: { subnet, attributes: value.attributes } } : value;
}

/** What everything under `<prefix>/subnets` starts with; slashes at the ends and doubled ones collapse as in flanneld. */
export function subnetsPrefix(etcdPrefix: string): string {
  return `${joinKey(etcdPrefix, 'subnets')}/`;
}

export function configKey(etcdPrefix: string): string {
  return joinKey(etcdPrefix, 'config');
}

/** Go's `path.Join` for prefixes without `.` and `..`. */
function joinKey(...parts: readonly string[]): string {
  return parts.join('/').replace(/\/+/g, '/');
}

export function createLeaseTable(options: LeaseTableOptions): LeaseTable {
  return new Table(options);
}

class Table implements LeaseTable {
  readonly #options: LeaseTableOptions;
  readonly #entries = new Map<string, Entry>();
  /** By IPv4 subnet, the one that was made first in front; more than one is a mistake of somebody's. */
  readonly #claims = new Map<string, readonly Entry[]>();
  /** Keys that were reported as unreadable, with the revision of that. */
  readonly #reported = new Map<string, bigint>();
  #unsaid = 0;
  #said = 0;

  constructor(options: LeaseTableOptions) {
    this.#options = options;
  }

  leases(): Lease[] {
    return [...this.#claims.values()].flatMap(([first]) => (first === undefined ? [] : [first.lease]));
  }

  onSnapshot(kvs: readonly KeyValue[]): void {
    const present = new Set(kvs.map((kv) => kv.key));
    const gone = [...this.#entries.keys(), ...this.#reported.keys()].filter((key) => !present.has(key));
    this.#deliver([...gone.flatMap((key) => this.#remove(key)), ...kvs.flatMap((kv) => this.#set(kv))]);
  }

  onChanges(events: readonly WatchEvent[]): void {
    this.#deliver(events.flatMap((event) => (event.kind === 'put' ? this.#set(event.kv) : this.#remove(event.key))));
  }

  #set(kv: KeyValue): LeaseChange[] {
    const known = this.#entries.get(kv.key);
    const { key, value, createRevision } = kv;
    if (known !== undefined && sameBytes(known.value, value)) {
      return this.#replace(known, { ...known, createRevision }, kv);
    }
    const read = readLease(this.#options.subnetsPrefix, kv);
    if (!read.ok) {
      const effect = known === undefined ? 'ignored' : 'the last good value stays in use; mend or delete the key';
      this.#report(kv, `is no lease: ${read.problem}: ${effect}`);
      return [];
    }
    return this.#replace(known, { key, value, createRevision, lease: read.lease }, kv);
  }

  #remove(key: string): LeaseChange[] {
    this.#reported.delete(key);
    const known = this.#entries.get(key);
    if (known === undefined) return [];
    this.#entries.delete(key);
    return this.#claim(known.lease, (claims) => claims.filter((claim) => claim !== known));
  }

  /** `known` and `entry` stand for the same key, hence for the same subnet. */
  #replace(known: Entry | undefined, entry: Entry, kv: KeyValue): LeaseChange[] {
    this.#entries.set(entry.key, entry);
    const changes = this.#claim(entry.lease, (claims) =>
      [...claims.filter((claim) => claim !== known), entry].sort(byCreation),
    );
    const [first] = this.#claims.get(formatPrefix(entry.lease.subnet.ipv4)) ?? [];
    if (first === undefined || first === entry) this.#reported.delete(entry.key);
    else this.#report(kv, `names the subnet of ${shownKey(first.key)}, which was there first: ignored`);
    return changes;
  }

  /** @returns what a change of the claims on a lease's subnet means for the subnet. */
  #claim({ subnet }: Lease, change: (claims: readonly Entry[]) => readonly Entry[]): LeaseChange[] {
    const name = formatPrefix(subnet.ipv4);
    const before = this.#claims.get(name) ?? [];
    const after = change(before);
    if (after.length === 0) this.#claims.delete(name);
    else this.#claims.set(name, after);
    const [was, is] = [before[0]?.lease, after[0]?.lease];
    if (is !== undefined) return is === was ? [] : [{ kind: 'set', lease: is }];
    return was === undefined ? [] : [{ kind: 'removed', lease: was }];
  }

  #deliver(changes: readonly LeaseChange[]): void {
    const { logger, onChanges } = this.#options;
    if (this.#unsaid > 0) logger.warn({ count: this.#unsaid }, `ignored ${this.#unsaid} more keys that are no leases`);
    this.#unsaid = 0;
    this.#said = 0;
    if (changes.length > 0) onChanges(changes);
  }

  #report(kv: KeyValue, problem: string): void {
    if (this.#reported.get(kv.key) === kv.modRevision) return;
    this.#reported.set(kv.key, kv.modRevision);
    if (this.#said >= MAX_REPORTS_PER_BATCH) {
      this.#unsaid++;
      return;
    }
    this.#said++;
    this.#options.logger.warn({ revision: Number(kv.modRevision) }, `etcd key ${shownKey(kv.key)} ${problem}`);
  }
}

function shownKey(key: string): string {
  return JSON.stringify(key.slice(0, MAX_SHOWN_KEY_LENGTH));
}

/** Keys made by one transaction have one revision. */
function byCreation(a: Entry, b: Entry): number {
  if (a.createRevision !== b.createRevision) return a.createRevision < b.createRevision ? -1 : 1;
  return a.key < b.key ? -1 : 1;
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}
