import { type Clock, type EtcdClient, EtcdError, type KeyValue, type ListWatchSink } from '../etcd-watch/etcd-watch.ts';
import { formatAddress, sameAddress } from '../ip/ip.ts';
import type { HeldLease, LeaseManager } from './lease-manager.ts';
import { decodeLeaseValue } from './lease-value.ts';
import {
  type KeyView,
  type RenewalAction,
  type RenewalEvent,
  type RenewalInput,
  type RenewalState,
  stepRenewal,
} from './renewal-machine.ts';

export interface RenewalOptions {
  readonly client: Pick<EtcdClient, 'leaseKeepAlive'>;
  readonly manager: Pick<LeaseManager, 'reacquire'>;
  readonly held: HeldLease;
  readonly clock: Clock;
  /** Clock that runs through suspend, in seconds (CLOCK_BOOTTIME). */
  readonly bootSeconds: () => number;
  /** In [0, 1). */
  readonly random: () => number;
  /** `--subnet-lease-renew-margin`, in seconds. */
  readonly renewMarginSeconds: number;
  readonly onEvent: (event: RenewalEvent) => void;
}

export interface Renewal {
  start(): void;
  /** Idempotent. No event follows; the lease stays in etcd until its TTL is over. */
  stop(): void;
  /**
   * To be fed from the list-and-watch of all subnets, which shows what happens to our own key. `start` comes first:
   * what is seen before it is lost.
   */
  readonly sink: ListWatchSink;
  /** For status; the remaining seconds are those that are certain, Infinity for a reservation. */
  status(): { readonly kind: RenewalState['kind']; readonly remainingSeconds: number };
}

/** Performs what the state machine (renewal-machine.ts) decides. */
export function createRenewal(options: RenewalOptions): Renewal {
  const runner = new Runner(options);
  const { key } = options.held;
  const see = (kv: KeyValue | undefined, revision: bigint) =>
    runner.feed({ kind: 'key', view: viewOf(kv, options.held), revision });
  return {
    start: () => runner.feed({ kind: 'start', held: options.held }),
    stop: () => runner.stop(),
    status: () => runner.status(),
    sink: {
      onSnapshot: (kvs, revision) =>
        see(
          kvs.find((kv) => kv.key === key),
          revision,
        ),
      onChanges: (events) => {
        for (const event of events) {
          if (event.kind === 'put' && event.kv.key === key) see(event.kv, event.kv.modRevision);
          else if (event.kind === 'delete' && event.key === key) see(undefined, event.modRevision);
        }
      },
    },
  };
}

function viewOf(kv: KeyValue | undefined, held: HeldLease): KeyView {
  if (kv === undefined) return { kind: 'absent' };
  const { modRevision, leaseId } = kv;
  const value = decodeLeaseValue(kv.value);
  if (!value.ok) return { kind: 'damaged', modRevision };
  const { publicIp } = value.attributes;
  if (sameAddress(publicIp, held.lease.attributes.publicIp)) return { kind: 'ours', modRevision, leaseId };
  return { kind: 'other', modRevision, by: `${formatAddress(publicIp)} holds ${kv.key}` };
}

class Runner {
  readonly #options: RenewalOptions;
  readonly #queue: RenewalInput[] = [];
  readonly #abort = new AbortController();
  #state: RenewalState = { kind: 'stopped' };
  #feeding = false;
  #cancelTimer: () => void = () => {};

  constructor(options: RenewalOptions) {
    this.#options = options;
  }

  /** One input at a time: what an event's consumer causes waits until the actions before it are done. */
  feed(input: RenewalInput): void {
    if (this.#abort.signal.aborted && input.kind !== 'stop') return;
    this.#queue.push(input);
    if (this.#feeding) return;
    this.#feeding = true;
    const { bootSeconds, random, renewMarginSeconds } = this.#options;
    try {
      for (let next = this.#queue.shift(); next !== undefined; next = this.#queue.shift()) {
        const environment = { nowSeconds: bootSeconds(), random: random(), renewMarginSeconds };
        const { state, actions } = stepRenewal(this.#state, next, environment);
        this.#state = state;
        for (const action of actions) this.#perform(action);
      }
    } finally {
      this.#feeding = false;
    }
  }

  stop(): void {
    this.#abort.abort(new Error('the renewal was stopped'));
    this.feed({ kind: 'stop' });
  }

  status(): { readonly kind: RenewalState['kind']; readonly remainingSeconds: number } {
    const state = this.#state;
    if (state.kind === 'stopped') return { kind: state.kind, remainingSeconds: 0 };
    const { leaseId, confirmedAtSeconds, ttlSeconds } = state.held;
    if (leaseId === 0n) return { kind: state.kind, remainingSeconds: Number.POSITIVE_INFINITY };
    const remainingSeconds = confirmedAtSeconds + ttlSeconds - this.#options.bootSeconds();
    return { kind: state.kind, remainingSeconds: Math.max(0, remainingSeconds) };
  }

  #perform(action: RenewalAction): void {
    switch (action.kind) {
      case 'set-timer':
        this.#cancelTimer();
        this.#cancelTimer = this.#options.clock.schedule(action.delayMs, () => this.feed({ kind: 'timer' }));
        break;
      case 'clear-timer':
        this.#cancelTimer();
        break;
      case 'keep':
        this.#keep(action.leaseId);
        break;
      case 'reacquire':
        this.#reacquire(action.held);
        break;
      case 'emit':
        this.#options.onEvent(action.event);
        break;
    }
  }

  #keep(leaseId: bigint): void {
    const sentAtSeconds = this.#options.bootSeconds();
    this.#options.client.leaseKeepAlive(leaseId).then(
      ({ ttlSeconds }) => this.feed({ kind: 'kept', leaseId, sentAtSeconds, ttlSeconds }),
      (thrown: unknown) => {
        if (!(thrown instanceof EtcdError)) throw thrown;
        this.feed({ kind: 'keep-failed', leaseId, code: thrown.code });
      },
    );
  }

  #reacquire(held: HeldLease): void {
    this.#options.manager.reacquire(held, this.#abort.signal).then(
      (result) => this.feed({ kind: 'reacquired', result }),
      (thrown: unknown) => {
        if (!this.#abort.signal.aborted) throw thrown;
      },
    );
  }
}
