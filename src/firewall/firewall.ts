import type { Prefix } from '../ip/ip.ts';

/** What the traffic rules are made of. */
export interface FirewallOptions {
  /** The overlay's network (IPv4). */
  readonly network: Prefix;
  /** This host's own subnet of it. */
  readonly subnet: Prefix;
  /** Accept forwarded traffic from and to the network (`--iptables-forward-rules`); off: table filter is not touched. */
  readonly forwardRules: boolean;
  /** Masquerade traffic that leaves or enters the network (`--ip-masq`); off: rules of an earlier run are removed. */
  readonly ipMasq: boolean;
  /** Let the kernel choose source ports at random (`--random-fully`), where iptables can. */
  readonly randomFully: boolean;
}

/** One way in which the live rules are not the wanted ones. */
export type RuleDifference =
  | 'chain missing'
  | 'chain differs'
  | 'chain left over'
  | 'jump missing'
  | 'jump more than once'
  /** A rule in front of it takes every packet; mended at start only. */
  | 'jump unreachable'
  | 'jump left over';

export interface TableDifference {
  readonly table: 'filter' | 'nat';
  readonly chain: string;
  readonly differences: readonly RuleDifference[];
}

/**
 * flannel's traffic rules on this host. They live in chains of their own (`FLANNEL-FWD`, `FLANNEL-POSTRTG`) that one
 * jump each leads to; everything else in the tables belongs to others and is never touched. Each table changes in one
 * atomic commit, and only if it differs: rules that are already right are never flushed.
 *
 * Calls must not overlap; `startResync` keeps to that.
 */
export interface Firewall {
  /**
   * Brings the rules into place; at start.
   * @throws OperatorError `host` (no iptables, or it refuses), `privileges`.
   */
  install(): Promise<void>;
  /** What differs now; changes nothing. Same errors as {@link install}. */
  check(): Promise<readonly TableDifference[]>;
  /** Mends what differs and returns it; empty (and nothing run but a check) when all is well. */
  resync(): Promise<readonly TableDifference[]>;
  /**
   * Puts our chains and jumps back as {@link install} found them: for a start that failed later on. A daemon that
   * stops cleanly leaves its rules, as flannel does, so that container traffic does not change meanwhile.
   */
  undo(): Promise<void>;
}
