/**
 * Carries changes of the table to the packet path in batches: what arrives in one tick goes out as one call, so that
 * the first listing of 10,000 leases is one snapshot, and a single change is one small one.
 *
 *    apply(changes) ──> table ──┐
 *    apply(changes) ──> table ──┤ destinations touched, with the route the sink knows
 *                               └── schedule ──> flush ──> sink.applyRoutes(net changes)
 */
import type { Prefix } from '../ip/ip.ts';
import type { Route, RouteChange, RouteSink } from './route.ts';
import { destinationOf, prefixKey, type RoutingTable } from './routing-table.ts';

/** Runs `task` later, soon, once; `setImmediate` in the daemon. */
export type Schedule = (task: () => void) => void;

/**
 * Destinations that may wait for a flush. Twice the largest cluster that is tested; beyond it the batch goes out at
 * once, so that memory and the time of one native call stay bounded.
 */
export const MAX_PENDING_DESTINATIONS = 20_000;

export interface RoutePublisherOptions {
  /** Filled by the publisher alone from now on; routes already there count as known to the sink. */
  readonly table: RoutingTable;
  readonly sink: RouteSink;
  readonly schedule: Schedule;
}

/** What the sink knows of a destination that changed since. */
interface Pending {
  readonly destination: Prefix;
  readonly published: Route | undefined;
}

export class RoutePublisher {
  readonly #options: RoutePublisherOptions;
  #pending = new Map<string, Pending>();
  #scheduled = false;
  #closed = false;

  constructor(options: RoutePublisherOptions) {
    this.#options = options;
  }

  /**
   * Applies the changes to the table now and to the sink by the next scheduled flush, or now where too many wait.
   * @returns what really changed in the table, for the log.
   * @throws Error after `close`; RangeError for an impossible prefix.
   */
  apply(changes: Iterable<RouteChange>): RouteChange[] {
    if (this.#closed) throw new Error('route publisher is closed');
    const { table } = this.#options;
    const list = [...changes];
    const before = new Map(list.map((change) => knownOf(change, table)));
    const real = table.apply(list);
    for (const change of real) {
      const key = prefixKey(destinationOf(change));
      const known = before.get(key);
      if (known !== undefined && !this.#pending.has(key)) this.#pending.set(key, known);
    }
    if (this.#pending.size >= MAX_PENDING_DESTINATIONS) this.flush();
    else this.#scheduleFlush();
    return real;
  }

  /**
   * Brings the sink up to date now; no call where nothing differs.
   * @throws what the sink throws; its changes stay pending and go out with the next flush.
   */
  flush(): void {
    const { table, sink } = this.#options;
    const changes: RouteChange[] = [];
    for (const { destination, published } of this.#pending.values()) {
      const change = table.changeSince(destination, published);
      if (change !== undefined) changes.push(change);
    }
    if (changes.length > 0) sink.applyRoutes(changes);
    this.#pending = new Map();
  }

  /** Forgets what is pending; the sink is not called again. Idempotent. */
  close(): void {
    this.#closed = true;
    this.#pending = new Map();
  }

  #scheduleFlush(): void {
    if (this.#scheduled || this.#pending.size === 0) return;
    this.#scheduled = true;
    this.#options.schedule(() => {
      this.#scheduled = false;
      this.flush();
    });
  }
}

function knownOf(change: RouteChange, table: RoutingTable): [key: string, known: Pending] {
  const destination = destinationOf(change);
  return [prefixKey(destination), { destination, published: table.get(destination) }];
}
