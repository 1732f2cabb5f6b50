/**
 * The native packet path, held by the control plane: routes go in, counters and rare events come out.
 */
import { addressToBytes, type IpAddress } from '../ip/ip.ts';
import type { ForwarderEvent, ForwarderHandle, NativeAddon, NativeRouteChange, TunOffloads } from '../native/addon.ts';
import type { RouteChange, RouteSink } from '../routing-table/route.ts';

export const DIRECTIONS = ['tunToUdp', 'udpToTun'] as const;
export type Direction = (typeof DIRECTIONS)[number];

/** Counters of one direction, summed over the workers, by name (`counterNames` of the addon). */
export type DirectionCounters = Readonly<Record<string, bigint>>;

export interface ForwarderParts {
  /** One descriptor per worker each; closed by their owner after `stop`. */
  readonly tunFds: readonly number[];
  readonly udpFds: readonly (readonly number[])[];
  readonly tunOffloads: TunOffloads;
  readonly udpSegmentation: boolean;
  readonly udpCoalescing: boolean;
  readonly pollMicroseconds: number;
  /** Source of the ICMP answers. */
  readonly deviceAddress: IpAddress;
  readonly onEvent: (event: ForwarderEvent) => void;
}

export class Forwarder implements RouteSink {
  readonly #native: NativeAddon;
  readonly #handle: ForwarderHandle;
  readonly #counters: BigUint64Array;
  readonly #names: readonly string[];

  /** Nothing runs before `start`; routes may be applied before and after. */
  constructor(native: NativeAddon, parts: ForwarderParts) {
    this.#native = native;
    this.#handle = native.createForwarder({ ...parts, deviceAddress: addressToBytes(parts.deviceAddress) });
    this.#counters = native.forwarderCounters(this.#handle);
    this.#names = native.counterNames();
  }

  /** @throws NativeError where the threads cannot be made. */
  start(): void {
    this.#native.startForwarder(this.#handle);
  }

  /** Idempotent; joins the workers, after which the descriptors may be closed. */
  stop(): void {
    this.#native.stopForwarder(this.#handle);
  }

  applyRoutes(changes: readonly RouteChange[]): void {
    this.#native.applyRoutes(this.#handle, changes.map(nativeChange));
  }

  /** This host's own addresses: inner sources that are refused from the wire. */
  setLocalAddresses(addresses: readonly IpAddress[]): void {
    const ipv4 = addresses.filter((address) => address.family === 4);
    this.#native.setLocalAddresses(this.#handle, ipv4.map(addressToBytes));
  }

  counters(direction: Direction): DirectionCounters {
    const sums: Record<string, bigint> = {};
    const stride = this.#names.length * DIRECTIONS.length;
    this.#names.forEach((name, column) => {
      let sum = 0n;
      for (let row = DIRECTIONS.indexOf(direction) * this.#names.length; row < this.#counters.length; row += stride) {
        sum += this.#counters[row + column] ?? 0n;
      }
      sums[name] = sum;
    });
    return sums;
  }
}

function nativeChange(change: RouteChange): NativeRouteChange {
  const destination = change.kind === 'set' ? change.route.destination : change.destination;
  const key = {
    destination: addressToBytes({ family: destination.family, value: destination.base }),
    length: destination.length,
  };
  if (change.kind === 'delete') return key;
  const { address, port } = change.route.nextHop;
  return { ...key, nextHop: addressToBytes(address), port };
}
