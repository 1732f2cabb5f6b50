import type { OffloadSet } from '../backend/offloads.ts';
import type { ExternalInterfaceOptions } from '../external-interface/external-interface.ts';
import type { IpAddress } from '../ip/ip.ts';
import type { Logger } from '../log/log.ts';

/** What an operator decides for one daemon: every value checked, defaults filled in, empty text never "not given". */
export interface DaemonOptions {
  readonly etcd: EtcdOptions;
  readonly externalInterface: ExternalInterfaceOptions;
  /** Where the leased subnet is published (`subnet.env`), and the previous one is read from. */
  readonly subnetFile: string;
  /** How long before its expiry the lease is renewed: 1 to 1439 minutes. */
  readonly renewMarginMs: number;
  readonly firewall: FirewallSettings;
  /** Keep a blackhole route for the own subnet. */
  readonly ipBlackholeRoute: boolean;
  readonly packetPath: PacketPathOptions;
  /** Where `/healthz` is served; absent: nowhere. */
  readonly health?: HealthOptions;
}

export interface EtcdOptions {
  /** At least one, in normal form: `http[s]://HOST:PORT`. */
  readonly endpoints: readonly string[];
  /** Key prefix without a slash at its end: `/coreos.com/network`. */
  readonly prefix: string;
  readonly credentials?: { readonly username: string; readonly password: string };
  /** Paths of PEM files, each readable at start; certificate and key come together or not at all. */
  readonly tls: { readonly caFile?: string; readonly certFile?: string; readonly keyFile?: string };
}

export interface FirewallSettings {
  readonly ipMasq: boolean;
  /** Let masquerading choose source ports at random, where iptables can. */
  readonly randomFully: boolean;
  readonly forwardRules: boolean;
  readonly resyncMs: number;
}

export interface PacketPathOptions {
  /** Threads, each with a TUN queue and a socket of its own: 1 to 64. */
  readonly workers: number;
  /** Sockets that each worker sends from, so that its flows leave by as many source ports: 1 to 64. */
  readonly sourcePorts: number;
  /** How long a worker looks for more packets before it sleeps; 0: not at all. */
  readonly pollMicroseconds: number;
  /** Wanted; what the kernel does not have is left out. */
  readonly offloads: OffloadSet;
}

export interface HealthOptions {
  readonly address: IpAddress;
  /** 1 to 65535. */
  readonly port: number;
}

export interface DaemonDeps {
  readonly logger: Logger;
}

/**
 * Runs until a signal.
 * @returns the exit status.
 * @throws OperatorError where it cannot start or go on; whatever it did to the system is undone by then.
 */
export type RunDaemon = (options: DaemonOptions, deps: DaemonDeps) => Promise<number>;
