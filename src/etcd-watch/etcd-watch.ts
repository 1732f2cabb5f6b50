/**
 * etcd v3 as this project sees it: a thin typed client, and a list-and-watch that keeps a copy of a prefix in step.
 *
 * The transport below is etcd3 (raw calls and raw streams only). Revisions, lease ids and versions are bigint: they
 * are int64 in the protocol (etcd `rpc.proto`). Values are bytes. Times are in seconds or milliseconds, as named.
 */

/**
 * Everything that can go wrong with a call, as a closed list:
 * - `unavailable`: no answer from any endpoint, or the member has no leader. The request may have been carried out.
 * - `deadline`: the answer did not come in time. The request may have been carried out.
 * - `permission`: the user lacks the right. Not carried out.
 * - `unauthenticated`: wrong user name or password, or a token that stays invalid. Not carried out.
 * - `lease-not-found`: the etcd lease named has expired or was revoked. Not carried out.
 * - `precondition`: etcd's state does not allow it (an etcd lease of this id exists, authentication is not enabled).
 * - `closed`: the client was closed by us.
 * - `other`: anything else etcd answered.
 */
export type EtcdErrorCode =
  | 'unavailable'
  | 'deadline'
  | 'permission'
  | 'unauthenticated'
  | 'lease-not-found'
  | 'precondition'
  | 'closed'
  | 'other';

/** A failed call: told apart by `code`; `endpoint` is where the last try went, `detail` what came back. */
export class EtcdError extends Error {
  readonly code: EtcdErrorCode;
  readonly endpoint: string;
  readonly detail: string;
  constructor(code: EtcdErrorCode, endpoint: string, detail: string, options?: ErrorOptions) {
    super(`etcd at ${endpoint}: ${detail}`, options);
    this.name = 'EtcdError';
    this.code = code;
    this.endpoint = endpoint;
    this.detail = detail;
  }
}

export interface KeyValue {
  /** UTF-8 text of the key; bytes that are none are written `\xHH`, so that a foreign key can still be reported. */
  readonly key: string;
  readonly value: Uint8Array;
  readonly createRevision: bigint;
  readonly modRevision: bigint;
  readonly version: bigint;
  /** 0 where no etcd lease is attached: the key stays until somebody deletes it. */
  readonly leaseId: bigint;
}

export type WatchEvent =
  | { readonly kind: 'put'; readonly kv: KeyValue }
  | { readonly kind: 'delete'; readonly key: string; readonly modRevision: bigint };

/** The content of a prefix at one revision of the store. */
export interface Listing {
  readonly revision: bigint;
  readonly kvs: readonly KeyValue[];
}

/** A condition of a transaction. `version` 0 means that the key does not exist. */
export interface Compare {
  readonly key: string;
  readonly target: 'version' | 'modRevision';
  readonly equals: bigint;
}

export type Operation =
  | { readonly kind: 'put'; readonly key: string; readonly value: Uint8Array; readonly leaseId: bigint }
  | { readonly kind: 'delete'; readonly key: string }
  | { readonly kind: 'get'; readonly key: string };

export interface TxnResult {
  readonly succeeded: boolean;
  readonly revision: bigint;
  /** What the `get` operations of the branch taken found, in their order. */
  readonly gets: readonly (KeyValue | undefined)[];
}

/** One message of a watch stream. */
export interface WatchResponse {
  /** The store's revision when the member sent this; NOT the revision of the last event. */
  readonly headerRevision: bigint;
  /** Answer to the request that opened the watch. */
  readonly created: boolean;
  /** The server ended the watch (compaction, permission, no leader). */
  readonly canceled: boolean;
  /** Where `canceled` because of compaction: first revision that is still there; else 0. */
  readonly compactRevision: bigint;
  readonly cancelReason: string;
  /** More events of the same revision follow in the next message. */
  readonly fragment: boolean;
  readonly events: readonly WatchEvent[];
}

export interface WatchHandlers {
  onResponse(response: WatchResponse): void;
  /** Called once, and nothing after it; not called after `close`. `error` is absent where the server ended politely. */
  onEnd(error: EtcdError | undefined): void;
}

export interface WatchStream {
  /** Idempotent; no handler is called afterwards. `avoidEndpoint`: let the next call use another member, if any. */
  close(options?: { readonly avoidEndpoint: boolean }): void;
}

/** The client. Every call has a deadline; failures are {@link EtcdError}. */
export interface EtcdClient {
  /** All keys that start with `prefix`. `linearizable` false lets a lagging member answer from its own copy. */
  range(prefix: string, options: { readonly linearizable: boolean }): Promise<Listing>;
  /** One key, linearizable. */
  get(key: string): Promise<{ readonly kv: KeyValue | undefined; readonly revision: bigint }>;
  /**
   * Applies `thenOps` if all compares hold, else `elseOps`. Never repeated by the client: after `unavailable` or
   * `deadline` the caller must look whether it happened.
   */
  txn(compares: readonly Compare[], thenOps: readonly Operation[], elseOps: readonly Operation[]): Promise<TxnResult>;
  /**
   * Grants an etcd lease under an id that the caller drew at random, so that a repeated request grants no second one.
   * @returns the TTL granted, which etcd may have raised.
   */
  leaseGrant(leaseId: bigint, ttlSeconds: number): Promise<{ readonly ttlSeconds: number }>;
  /** Renews once. @returns the TTL from now, 0 where the lease is gone. */
  leaseKeepAlive(leaseId: bigint): Promise<{ readonly ttlSeconds: number }>;
  /** Revokes the lease and deletes its keys; a lease that is gone already is no error. */
  leaseRevoke(leaseId: bigint): Promise<void>;
  /** Keys attached to the lease; empty where it is gone. */
  leaseKeys(leaseId: bigint): Promise<readonly string[]>;
  /** Opens a watch on the prefix, one stream, from the revision given (inclusive). */
  watch(prefix: string, fromRevision: bigint, handlers: WatchHandlers): WatchStream;
  /** Idempotent; calls under way fail with `closed` or at their deadline. */
  close(): void;
}

/** What receives a list-and-watch. Calls come one at a time, in the order of revisions. */
export interface ListWatchSink {
  /** The whole prefix: to be applied as a difference to what is known. */
  onSnapshot(kvs: readonly KeyValue[], revision: bigint): void;
  /** Changes since, in order, at most one message's worth; `revision` is that of the last one. */
  onChanges(events: readonly WatchEvent[], revision: bigint): void;
  /** For logs and status. */
  onState?(state: ListWatchStatus): void;
}

/**
 * Why the copy may be out of date. Besides the errors: `compacted` (the history wanted is gone), `canceled` and `ended`
 * (the server closed the watch), `behind` (the member knows less than we do), `silent` (a watch that was never
 * confirmed).
 */
export type StaleCode = EtcdErrorCode | 'compacted' | 'canceled' | 'ended' | 'behind' | 'silent';

/** How fresh the copy is. */
export type ListWatchStatus =
  | { readonly kind: 'synced'; readonly revision: bigint }
  | { readonly kind: 'stale'; readonly reason: string; readonly code: StaleCode }
  | { readonly kind: 'store-went-back'; readonly fromRevision: bigint; readonly toRevision: bigint }
  | { readonly kind: 'stopped' };

/** Timers, passed in so that tests own the time. */
export interface Clock {
  /** Milliseconds on any steady clock. */
  nowMs(): number;
  /** @returns cancels the timer; harmless once it has fired. */
  schedule(delayMs: number, callback: () => void): () => void;
}

/** The process's own timers. A pending one keeps the process alive; whoever schedules also cancels. */
export function systemClock(): Clock {
  return {
    nowMs: () => performance.now(),
    schedule(delayMs, callback) {
      const timer = setTimeout(callback, delayMs);
      return () => clearTimeout(timer);
    },
  };
}
