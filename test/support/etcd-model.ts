/**
 * A model of etcd's key space, revisions and watches, as far as a list-and-watch can see them: the oracle of the state
 * machine's tests. It keeps the content at every revision, so that "the copy equals the store as of revision R" can be
 * asked at any time. Its watch sends when told to, in batches as small as wanted, and can lag, be compacted and die.
 */
import type { KeyValue, Listing, WatchEvent, WatchResponse } from '../../src/etcd-watch/etcd-watch.ts';

export type Write = { readonly key: string; readonly value: string } | { readonly key: string; readonly value: null };

export class EtcdModel {
  revision = 1n;
  compacted = 0n;
  #states = new Map<bigint, ReadonlyMap<string, KeyValue>>([[1n, new Map()]]);
  #history = new Map<bigint, readonly WatchEvent[]>();

  /** One transaction: all its events carry one revision. Deleting what is not there changes nothing. */
  txn(writes: readonly Write[]): void {
    const next = new Map(this.stateAt(this.revision));
    const modRevision = this.revision + 1n;
    const events: WatchEvent[] = [];
    for (const { key, value } of new Map(writes.map((write) => [write.key, write])).values()) {
      const before = next.get(key);
      if (value === null) {
        if (before === undefined) continue;
        next.delete(key);
        events.push({ kind: 'delete', key, modRevision });
      } else {
        const createRevision = before?.createRevision ?? modRevision;
        const version = (before?.version ?? 0n) + 1n;
        const kv = { key, value: Buffer.from(value), createRevision, modRevision, version, leaseId: 0n };
        next.set(key, kv);
        events.push({ kind: 'put', kv });
      }
    }
    if (events.length === 0) return;
    this.revision = modRevision;
    this.#states.set(modRevision, next);
    this.#history.set(modRevision, events);
  }

  compact(): void {
    this.compacted = this.revision;
  }

  /** As after the loss of the data: an empty store that starts over. */
  wipe(): void {
    this.revision = 1n;
    this.compacted = 0n;
    this.#states = new Map([[1n, new Map()]]);
    this.#history = new Map();
  }

  list(): Listing {
    return { revision: this.revision, kvs: [...this.stateAt(this.revision).values()] };
  }

  stateAt(revision: bigint): ReadonlyMap<string, KeyValue> {
    const state = this.#states.get(revision);
    if (state === undefined) throw new Error(`the store never had revision ${revision}`);
    return state;
  }

  eventsAt(revision: bigint): readonly WatchEvent[] {
    return this.#history.get(revision) ?? [];
  }
}

const NO_EVENTS = { canceled: false, compactRevision: 0n, cancelReason: '', fragment: false, events: [] };

/** The server's side of one watch. */
export class ModelWatch {
  readonly #store: EtcdModel;
  /** Next revision to send. */
  #cursor: bigint;
  /** Events of the revision at the cursor that went out in earlier fragments. */
  #sentOfCursor = 0;
  #created = false;
  #over = false;

  constructor(store: EtcdModel, fromRevision: bigint) {
    this.#store = store;
    this.#cursor = fromRevision;
  }

  /** The member's answer; `lag` revisions behind the store. */
  create(lag: bigint): WatchResponse | undefined {
    if (this.#created || this.#over) return undefined;
    this.#created = true;
    const revision = this.#store.revision - lag;
    return { ...NO_EVENTS, created: true, headerRevision: revision < 1n ? 1n : revision };
  }

  /** At most `maxEvents` events (a whole revision unless `fragment`); or the end, where they have been compacted away. */
  send(maxEvents: number, fragment: boolean): WatchResponse | undefined {
    if (!this.#created || this.#over) return undefined;
    const { revision, compacted } = this.#store;
    if (this.#cursor < compacted) return this.cancel(compacted);
    const events: WatchEvent[] = [];
    let split = false;
    while (this.#cursor <= revision && events.length < maxEvents) {
      const rest = this.#store.eventsAt(this.#cursor).slice(this.#sentOfCursor);
      const room = maxEvents - events.length;
      if (fragment && rest.length > room) {
        events.push(...rest.slice(0, room));
        this.#sentOfCursor += room;
        split = true;
        break;
      }
      events.push(...rest);
      this.#cursor += 1n;
      this.#sentOfCursor = 0;
    }
    if (events.length === 0) return undefined;
    // As etcd: the header holds the store's revision, however far behind the batch is.
    return { ...NO_EVENTS, created: false, headerRevision: revision, events, fragment: split };
  }

  /** A progress notification, which only a watch that has sent everything gets. */
  progress(): WatchResponse | undefined {
    if (!this.#created || this.#over || this.#cursor <= this.#store.revision) return undefined;
    return { ...NO_EVENTS, created: false, headerRevision: this.#store.revision };
  }

  cancel(compactRevision: bigint): WatchResponse {
    this.#over = true;
    return { ...NO_EVENTS, created: false, canceled: true, compactRevision, headerRevision: this.#store.revision };
  }
}
