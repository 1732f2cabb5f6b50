/**
 * The keys under `<prefix>/subnets/` and how they are written. Every write is guarded: a key is created only where
 * there is none, replaced or deleted only in the revision that was read.
 *
 * A write whose answer got lost is settled before anything else is done: the etcd lease of the attempt has an id drawn
 * at random, so a key that carries it is ours; where there is none, revoking that lease makes sure that the write
 * cannot arrive late (etcd refuses a put under a lease that does not exist).
 */
import { type EtcdClient, EtcdError, type KeyValue, type TxnResult } from '../etcd-watch/etcd-watch.ts';
import type { Prefix } from '../ip/ip.ts';
import type { Lease, Subnet } from './lease.ts';
import { readLease } from './lease-table.ts';
import { formatSubnetKey, parseSubnetKey } from './subnet-key.ts';

export type LeaseStoreClient = Pick<
  EtcdClient,
  'range' | 'get' | 'txn' | 'leaseGrant' | 'leaseRevoke' | 'leaseKeys' | 'leaseKeepAlive'
>;

/** A lease as it stands in etcd. */
export interface StoredLease extends Lease {
  readonly key: string;
  readonly modRevision: bigint;
  /** 0: a reservation. */
  readonly leaseId: bigint;
  readonly value: Uint8Array;
}

export interface SubnetListing {
  readonly leases: readonly StoredLease[];
  /** Every subnet that some key names, readable or not: none of them is free. */
  readonly taken: readonly Prefix[];
  readonly kvs: readonly KeyValue[];
}

/** A write that was carried out, or not because somebody was there first. */
export type WriteResult =
  | { readonly kind: 'written'; readonly leaseId: bigint; readonly modRevision: bigint; readonly ttlSeconds: number }
  | { readonly kind: 'conflict' };

/** How a call is repeated until it is carried out; see `persist` in retry.ts. */
export type Persist = <T>(call: () => Promise<T>) => Promise<T>;

export interface LeaseStoreOptions {
  readonly client: LeaseStoreClient;
  readonly subnetsPrefix: string;
  readonly ttlSeconds: number;
  /** Draws the id of an etcd lease: 63 random bits, not 0. */
  readonly drawLeaseId: () => bigint;
}

export class LeaseStore {
  readonly #options: LeaseStoreOptions;

  constructor(options: LeaseStoreOptions) {
    this.#options = options;
  }

  keyOf(subnet: Subnet): string {
    return this.#options.subnetsPrefix + formatSubnetKey(subnet);
  }

  /** One range read, linearizable; the etcd leases behind the keys are not asked for. */
  async list(): Promise<SubnetListing> {
    const { client, subnetsPrefix } = this.#options;
    const { kvs } = await client.range(subnetsPrefix, { linearizable: true });
    const leases = kvs.flatMap((kv): StoredLease[] => {
      const read = readLease(subnetsPrefix, kv);
      if (!read.ok) return [];
      return [{ ...read.lease, key: kv.key, modRevision: kv.modRevision, leaseId: kv.leaseId, value: kv.value }];
    });
    const taken = kvs.flatMap((kv) => {
      const subnet = parseSubnetKey(kv.key.slice(subnetsPrefix.length));
      if (subnet === undefined) return [];
      return subnet.ipv6 === undefined ? [subnet.ipv4] : [subnet.ipv4, subnet.ipv6];
    });
    return { leases, taken, kvs };
  }

  /**
   * Writes the key under a fresh etcd lease. Where etcd fails, nothing is left behind and the write may be repeated.
   * @param guard revision of the key that is to be replaced; 0 to create it.
   * @throws EtcdError of the transaction, once it is certain that it was not and will not be carried out.
   */
  async writeLeased(persist: Persist, key: string, value: Uint8Array, guard: bigint): Promise<WriteResult> {
    const { client, drawLeaseId, ttlSeconds } = this.#options;
    const leaseId = drawLeaseId();
    const granted = await persist(() => client.leaseGrant(leaseId, ttlSeconds));
    const compare =
      guard === 0n
        ? ({ key, target: 'version', equals: 0n } as const)
        : ({ key, target: 'modRevision', equals: guard } as const);
    const written = { kind: 'written', leaseId, ttlSeconds: granted.ttlSeconds } as const;
    let result: TxnResult | undefined;
    let failure: EtcdError | undefined;
    try {
      const put = { kind: 'put', key, value, leaseId } as const;
      result = await client.txn([compare], [put], [{ kind: 'get', key }]);
    } catch (thrown) {
      if (!(thrown instanceof EtcdError) || thrown.code === 'closed') throw thrown;
      failure = thrown;
    }
    if (result?.succeeded === true) return { ...written, modRevision: result.revision };
    const stored = result === undefined ? (await persist(() => client.get(key))).kv : result.gets[0];
    if (stored?.leaseId === leaseId) return { ...written, modRevision: stored.modRevision };
    await persist(() => client.leaseRevoke(leaseId));
    if (failure !== undefined) throw failure;
    return { kind: 'conflict' };
  }

  /** Replaces the value of a key without a lease and leaves it without. @returns the new revision, if not too late. */
  async writeReservation(key: string, value: Uint8Array, guard: bigint): Promise<bigint | undefined> {
    const result = await this.#options.client.txn(
      [{ key, target: 'modRevision', equals: guard }],
      [{ kind: 'put', key, value, leaseId: 0n }],
      [],
    );
    return result.succeeded ? result.revision : undefined;
  }

  /** Deletes the key unless it changed since it was read. */
  async delete(lease: StoredLease): Promise<void> {
    await this.#options.client.txn(
      [{ key: lease.key, target: 'modRevision', equals: lease.modRevision }],
      [{ kind: 'delete', key: lease.key }],
      [],
    );
  }

  /**
   * Gives back an etcd lease from which our key was moved away, so that none lingers for its day as flanneld's do.
   * Whatever goes wrong is of no consequence: it expires by itself.
   */
  async dropEmptyLease(leaseId: bigint): Promise<void> {
    if (leaseId === 0n) return;
    try {
      const keys = await this.#options.client.leaseKeys(leaseId);
      if (keys.length === 0) await this.#options.client.leaseRevoke(leaseId);
    } catch (thrown) {
      if (!(thrown instanceof EtcdError)) throw thrown;
    }
  }
}
