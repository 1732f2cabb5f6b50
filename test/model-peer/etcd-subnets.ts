/**
 * What the model does in etcd, as v0.20.2 does it: read the configuration, take a lease, renew it, watch. Defects that
 * are kept on purpose are marked DEFECT.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { Etcd3, type IWatchResponse } from 'etcd3';
import {
  formatNetwork,
  type Network,
  networkOf,
  overlap,
  parseIpv4,
  parseNetwork,
  sameNetwork,
  sizeOf,
} from './ipv4.ts';

const LEASE_SECONDS = 86_400;
const MOST_CANDIDATES = 100;

/** Not a line of v0.20.2: tests wait for it, because what happens before may fall into the gap and be lost. */
export const WATCHING_FROM_NOW = 'Watching from now on';

export interface ModelConfig {
  readonly network: Network;
  readonly subnetLength: number;
  /** Bases of the first and the last subnet that may be handed out. */
  readonly subnetMin: number;
  readonly subnetMax: number;
  readonly backendType: string;
  readonly port: number;
}

export interface ModelLease {
  readonly subnet: Network;
  readonly publicIp: string;
}

export type ModelEvent =
  | { readonly kind: 'put'; readonly lease: ModelLease }
  | { readonly kind: 'delete'; readonly subnet: Network };

export class EtcdSubnets {
  readonly #client: Etcd3;
  readonly #prefix: string;
  readonly #log: (line: string) => void;

  constructor(endpoints: readonly string[], prefix: string, log: (line: string) => void) {
    this.#client = new Etcd3({ hosts: [...endpoints] });
    this.#prefix = prefix;
    this.#log = log;
  }

  /** Tries once a second for ever. */
  async config(): Promise<ModelConfig> {
    for (;;) {
      try {
        const text = await this.#client.get(`${this.#prefix}/config`).string();
        if (text === null) throw new Error('key not found');
        return parseConfig(text);
      } catch (error) {
        this.#log(`Couldn't fetch network config: ${error}`);
        await delay(1000);
      }
    }
  }

  /** @throws Error with the message that v0.20.2 dies of. */
  async acquire(config: ModelConfig, publicIp: string, previous: Network | undefined): Promise<ModelLease> {
    const { leases } = await this.list();
    const own = leases.find((lease) => lease.publicIp === publicIp);
    if (own !== undefined) {
      if (isUsable(config, own.subnet)) {
        await this.renew(own);
        return own;
      }
      await this.#client.delete().key(this.#key(own.subnet));
    }
    const free = (subnet: Network) => !leases.some((lease) => lease !== own && overlap(lease.subnet, subnet));
    const untaken = previous !== undefined && !leases.some((lease) => sameNetwork(lease.subnet, previous));
    const subnet = untaken && isUsable(config, previous) ? previous : chooseSubnet(config, free);
    await this.#create({ subnet, publicIp });
    return { subnet, publicIp };
  }

  /** DEFECT: a new etcd lease every time, and a put that asks nobody. */
  async renew(lease: ModelLease): Promise<void> {
    const { ID } = await this.#client.leaseClient.leaseGrant({ TTL: LEASE_SECONDS });
    await this.#client.kv.put({ key: buffer(this.#key(lease.subnet)), value: buffer(leaseValue(lease)), lease: ID });
  }

  /** DEFECT: a lost race is not tried again. */
  async #create(lease: ModelLease): Promise<void> {
    const key = buffer(this.#key(lease.subnet));
    const { ID } = await this.#client.leaseClient.leaseGrant({ TTL: LEASE_SECONDS });
    const { succeeded } = await this.#client.kv.txn({
      compare: [{ key, target: 'Version', result: 'Equal', version: '0' }],
      success: [{ request_put: { key, value: buffer(leaseValue(lease)), lease: ID } }],
    });
    if (succeeded) return;
    await this.#client.leaseClient.leaseRevoke({ ID });
    throw new Error('failed to acquire lease: subnet already exists');
  }

  /** The prefix has no slash at its end; one LeaseTimeToLive call per key; what cannot be read is skipped. */
  async list(): Promise<{ leases: ModelLease[]; revision: string }> {
    const key = buffer(`${this.#prefix}/subnets`);
    const { kvs, header } = await this.#client.kv.range({ key, range_end: afterPrefix(key) });
    const leases: ModelLease[] = [];
    for (const kv of kvs) {
      try {
        await this.#client.leaseClient.leaseTimeToLive({ ID: kv.lease, keys: false });
        leases.push(parseLease(kv.key.toString(), kv.value.toString()));
      } catch (error) {
        this.#log(`Ignoring bad subnet key ${kv.key}: ${error}`);
      }
    }
    return { leases, revision: header.revision };
  }

  /** All leases there are, then every change that v0.20.2 would notice. @throws when the watch breaks (it panics). */
  async watchLeases(onEvent: (event: ModelEvent) => void): Promise<never> {
    const { leases, revision } = await this.list();
    for (const lease of leases) onEvent({ kind: 'put', lease });
    return this.#watch(`${this.#prefix}/subnets`, revision, onEvent);
  }

  watchOwn(lease: ModelLease, onEvent: (event: ModelEvent) => void): Promise<never> {
    return this.#watch(this.#key(lease.subnet), '0', onEvent);
  }

  /**
   * DEFECT: of each response only the first event is used, and then a new watch begins at "now": what else was in the
   * response, and what happens in between, is never seen.
   */
  async #watch(prefix: string, firstRevision: string, onEvent: (event: ModelEvent) => void): Promise<never> {
    let startRevision = firstRevision;
    for (;;) {
      const response = await this.#firstResponse(prefix, startRevision);
      startRevision = response.compact_revision;
      const event = response.events[0];
      if (event === undefined) throw new Error('index out of range [0] with length 0');
      try {
        const key = event.kv.key.toString();
        if (event.type === 'Delete') onEvent({ kind: 'delete', subnet: parseKey(key) });
        else {
          await this.#client.leaseClient.leaseTimeToLive({ ID: event.kv.lease, keys: false });
          onEvent({ kind: 'put', lease: parseLease(key, event.kv.value.toString()) });
        }
      } catch (error) {
        this.#log(`Watch of subnets failed: ${error}`);
      }
    }
  }

  async #firstResponse(prefix: string, startRevision: string): Promise<IWatchResponse> {
    const stream = await this.#client.watchClient.watch();
    try {
      return await new Promise((resolve, reject) => {
        stream.on('data', (response) => {
          if (!response.created) resolve(response);
          else if (startRevision === '0') this.#log(`${WATCHING_FROM_NOW}: ${prefix}`);
        });
        stream.on('error', reject);
        stream.on('end', () => reject(new Error('watch closed')));
        const key = buffer(prefix);
        const request = { key, range_end: afterPrefix(key), start_revision: startRevision, prev_kv: true };
        stream.write({ create_request: request });
      });
    } finally {
      stream.cancel();
    }
  }

  #key(subnet: Network): string {
    return `${this.#prefix}/subnets/${formatNetwork(subnet, '-')}`;
  }
}

function buffer(text: string): Buffer {
  return Buffer.from(text);
}

function afterPrefix(key: Buffer): Buffer {
  const end = Buffer.from(key);
  end.writeUInt8((end.at(-1) ?? 0) + 1, end.length - 1);
  return end;
}

export function leaseValue(lease: ModelLease): string {
  return `{"PublicIP":"${lease.publicIp}","PublicIPv6":null}`;
}

function parseLease(key: string, value: string): ModelLease {
  const { PublicIP: publicIp } = JSON.parse(value);
  if (typeof publicIp !== 'string') throw new Error(`no PublicIP in ${value}`);
  return { subnet: parseKey(key), publicIp };
}

/** DEFECT: not anchored at the left, and two of the dots match anything. */
function parseKey(key: string): Network {
  const match = /([0-9]+\.[0-9]+.[0-9]+.[0-9]+)-([0-9]+)(?:&[0-9a-f:]+-[0-9]+)?$/.exec(key);
  if (match?.[1] === undefined) throw new Error('bad subnet key');
  return { base: parseIpv4(match[1]), length: Number(match[2]) };
}

function parseConfig(text: string): ModelConfig {
  const json = JSON.parse(text);
  const network = parseNetwork(json.Network);
  const subnetLength: number = json.SubnetLen ?? (network.length <= 22 ? 24 : network.length + 2);
  const size = sizeOf(subnetLength);
  return {
    network,
    subnetLength,
    subnetMin: json.SubnetMin === undefined ? network.base + size : parseIpv4(json.SubnetMin),
    subnetMax: json.SubnetMax === undefined ? network.base + sizeOf(network.length) - size : parseIpv4(json.SubnetMax),
    backendType: json.Backend === undefined ? 'udp' : String(json.Backend?.Type ?? '').toLowerCase(),
    port: json.Backend?.Port ?? 8285,
  };
}

function isUsable(config: ModelConfig, subnet: Network): boolean {
  return subnet.length === config.subnetLength && subnet.base >= config.subnetMin && subnet.base <= config.subnetMax;
}

function chooseSubnet(config: ModelConfig, isFree: (subnet: Network) => boolean): Network {
  const candidates: Network[] = [];
  const size = sizeOf(config.subnetLength);
  for (let base = config.subnetMin; base <= config.subnetMax && candidates.length < MOST_CANDIDATES; base += size) {
    const subnet = networkOf(base, config.subnetLength);
    if (isFree(subnet)) candidates.push(subnet);
  }
  const chosen = candidates[Math.floor(Math.random() * candidates.length)];
  if (chosen === undefined) throw new Error('failed to acquire lease: out of subnets');
  return chosen;
}
