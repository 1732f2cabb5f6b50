/**
 * Which peer holds which subnet: the routes of the overlay, longest match first. This is the control plane's table;
 * the packet path has a snapshot of its own, which a RouteSink keeps up to date.
 */
import { type Family, type IpAddress, maskOf, type Prefix, prefixOf, sameAddress, widthOf } from '../ip/ip.ts';
import type { NextHop, Route, RouteChange } from './route.ts';

/**
 * Routes of one family, grouped by prefix length, then keyed by network. A cluster has one or a few lengths, so a
 * lookup is one or a few map accesses, however many routes there are.
 */
type FamilyRoutes = Map<number, Map<bigint, Route>>;

export class RoutingTable implements Iterable<Route> {
  readonly #families: Readonly<Record<Family, FamilyRoutes>> = { 4: new Map(), 6: new Map() };
  /** Lengths in use, longest first. */
  readonly #lengths: Record<Family, number[]> = { 4: [], 6: [] };
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** The route with the longest prefix that holds `address`. */
  lookup(address: IpAddress): Route | undefined {
    const { family, value } = address;
    for (const length of this.#lengths[family]) {
      const route = this.#families[family].get(length)?.get(value & maskOf(family, length));
      if (route !== undefined) return route;
    }
    return undefined;
  }

  /** The route with exactly this destination. */
  get(destination: Prefix): Route | undefined {
    return this.#families[destination.family].get(destination.length)?.get(destination.base);
  }

  /**
   * Adds a route or replaces the one with the same destination.
   * @returns whether anything changed.
   * @throws RangeError for a prefix with host bits or an impossible length: a programming error.
   */
  set(route: Route): boolean {
    const { destination } = route;
    assertPrefix(destination);
    const previous = this.get(destination);
    if (sameRoute(previous, route)) return false;
    const { family, length } = destination;
    let networks = this.#families[family].get(length);
    if (networks === undefined) {
      networks = new Map();
      this.#families[family].set(length, networks);
      this.#lengths[family] = [...this.#lengths[family], length].sort((a, b) => b - a);
    }
    networks.set(destination.base, route);
    if (previous === undefined) this.#size++;
    return true;
  }

  /** @returns whether there was such a route. */
  delete(destination: Prefix): boolean {
    const { family, length, base } = destination;
    const networks = this.#families[family].get(length);
    if (networks === undefined || !networks.delete(base)) return false;
    if (networks.size === 0) {
      this.#families[family].delete(length);
      this.#lengths[family] = this.#lengths[family].filter((used) => used !== length);
    }
    this.#size--;
    return true;
  }

  /**
   * Applies the changes in order.
   * @returns what is different afterwards: at most one change per destination, and none for a change that was undone
   *   later in the list or that found its work already done.
   */
  apply(changes: Iterable<RouteChange>): RouteChange[] {
    const before = new Map<string, { readonly destination: Prefix; readonly route: Route | undefined }>();
    for (const change of changes) {
      const destination = destinationOf(change);
      const key = prefixKey(destination);
      if (!before.has(key)) before.set(key, { destination, route: this.get(destination) });
      if (change.kind === 'set') this.set(change.route);
      else this.delete(destination);
    }
    const real: RouteChange[] = [];
    for (const { destination, route } of before.values()) {
      const change = this.changeSince(destination, route);
      if (change !== undefined) real.push(change);
    }
    return real;
  }

  /** The change that turns `earlier`, the route that a reader knows for `destination`, into the present one. */
  changeSince(destination: Prefix, earlier: Route | undefined): RouteChange | undefined {
    const now = this.get(destination);
    if (sameRoute(earlier, now)) return undefined;
    return now === undefined ? { kind: 'delete', destination } : { kind: 'set', route: now };
  }

  /** All routes: IPv4 before IPv6, by network, the shorter prefix first. A copy; changes meanwhile do not disturb it. */
  [Symbol.iterator](): IterableIterator<Route> {
    const all = ([4, 6] as const).flatMap((family) =>
      [...this.#families[family].values()].flatMap((networks) => [...networks.values()]),
    );
    return all.sort((a, b) => comparePrefixes(a.destination, b.destination)).values();
  }
}

export function destinationOf(change: RouteChange): Prefix {
  return change.kind === 'set' ? change.route.destination : change.destination;
}

/** Equal for equal prefixes; cheaper than their text, which matters with 10,000 of them. */
export function prefixKey(prefix: Prefix): string {
  return `${prefix.family}/${prefix.length}/${prefix.base}`;
}

function assertPrefix(prefix: Prefix): void {
  const { family, base, length } = prefix;
  const width = widthOf(family);
  const fits = Number.isInteger(length) && length >= 0 && length <= width && base >= 0n && base >> BigInt(width) === 0n;
  if (!fits || prefixOf({ family, value: base }, length).base !== base) {
    throw new RangeError(`route to an impossible prefix: family ${family}, base ${base}, length ${length}`);
  }
}

function sameNextHop(a: NextHop, b: NextHop): boolean {
  return a.port === b.port && sameAddress(a.address, b.address);
}

/** For routes with the same destination. */
function sameRoute(a: Route | undefined, b: Route | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return sameNextHop(a.nextHop, b.nextHop);
}

function comparePrefixes(a: Prefix, b: Prefix): number {
  if (a.family !== b.family) return a.family - b.family;
  if (a.base !== b.base) return a.base < b.base ? -1 : 1;
  return a.length - b.length;
}
