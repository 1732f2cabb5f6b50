/**
 * The leases of all hosts, as a list-and-watch of `<prefix>/subnets/` shows them.
 *
 * The prefix ends in a slash, unlike flanneld's, which also sees siblings such as `<prefix>/subnets-old/...`: no
 * flanneld writes a lease there, so they can only be strays. For the same reason only the key that a flanneld would
 * write for a subnet counts; `subnets/old/10.5.1.0-24` is no second name of 10.5.1.0/24.
 *
 * What cannot be read never takes a route away: a foreign or broken key is reported once per change and ignored, and
 * where a good lease gets a value that cannot be read, the last good one stays until the key is mended or deleted.
 */
import type { KeyValue, ListWatchSink, WatchEvent } from '../etcd-watch/etcd-watch.ts';
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
  readonly value: Uint8Array;
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
  /** Keys that were reported as unreadable, with the revision of that. */
  readonly #reported = new Map<string, bigint>();
  #unsaid = 0;
  #said = 0;

  constructor(options: LeaseTableOptions) {
    this.#options = options;
  }

  leases(): Lease[] {
    return Array.from(this.#entries.values(), (entry) => entry.lease);
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
    if (known !== undefined && sameBytes(known.value, kv.value)) {
      this.#reported.delete(kv.key);
      return [];
    }
    const read = readLease(this.#options.subnetsPrefix, kv);
    if (!read.ok) {
      this.#report(kv, read.problem, known !== undefined);
      return [];
    }
    this.#reported.delete(kv.key);
    this.#entries.set(kv.key, { value: kv.value, lease: read.lease });
    return [{ kind: 'set', lease: read.lease }];
  }

  #remove(key: string): LeaseChange[] {
    this.#reported.delete(key);
    const known = this.#entries.get(key);
    if (known === undefined) return [];
    this.#entries.delete(key);
    return [{ kind: 'removed', lease: known.lease }];
  }

  #deliver(changes: readonly LeaseChange[]): void {
    const { logger, onChanges } = this.#options;
    if (this.#unsaid > 0) logger.warn({ count: this.#unsaid }, `ignored ${this.#unsaid} more keys that are no leases`);
    this.#unsaid = 0;
    this.#said = 0;
    if (changes.length > 0) onChanges(changes);
  }

  #report(kv: KeyValue, problem: string, keepsLast: boolean): void {
    if (this.#reported.get(kv.key) === kv.modRevision) return;
    this.#reported.set(kv.key, kv.modRevision);
    if (this.#said >= MAX_REPORTS_PER_BATCH) {
      this.#unsaid++;
      return;
    }
    this.#said++;
    const key = JSON.stringify(kv.key.slice(0, MAX_SHOWN_KEY_LENGTH));
    const effect = keepsLast ? 'the last good value stays in use; mend or delete the key' : 'ignored';
    this.#options.logger.warn(
      { revision: Number(kv.modRevision) },
      `etcd key ${key} is no lease: ${problem}: ${effect}`,
    );
  }
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}
