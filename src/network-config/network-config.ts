/** The network configuration: the JSON text at `<prefix>/config`, which all hosts of a network share. */
import type { IpAddress, Prefix } from '../ip/ip.ts';

/** A configuration that passed every check; defaults are filled in. */
export interface NetworkConfig {
  readonly enableIpv4: boolean;
  readonly enableIpv6: boolean;
  readonly network: Prefix;
  /** Prefix length of every host's subnet. */
  readonly subnetLength: number;
  /** Base of the first subnet that may be leased. */
  readonly subnetMin: IpAddress;
  /** Base of the last subnet that may be leased. */
  readonly subnetMax: IpAddress;
  readonly ipv6Network?: Prefix;
  readonly ipv6SubnetLength?: number;
  readonly ipv6SubnetMin?: IpAddress;
  readonly ipv6SubnetMax?: IpAddress;
  readonly backend: BackendConfig;
}

export interface BackendConfig {
  /** Lower-cased. */
  readonly type: string;
  /** The fields of `Backend` in the order of the document; a repeated name stands where it last stood. */
  readonly raw: Readonly<Record<string, unknown>>;
}

/** One thing that is wrong with a configuration. */
export interface ConfigProblem {
  /** The field, such as `SubnetLen` or `Backend.Port`; '' for the document as a whole. */
  readonly path: string;
  /** What is wrong, where, and what to do; one line. */
  readonly message: string;
}

export type ConfigResult =
  | { readonly ok: true; readonly config: NetworkConfig }
  | { readonly ok: false; readonly problems: readonly ConfigProblem[] };
