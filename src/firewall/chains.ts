import { formatPrefix, type Prefix } from '../ip/ip.ts';

/**
 * The wanted rules, in the words of iptables-save(8). Names, comments and order are those of flannel v0.20.2, so that
 * changing between flannel and this program leaves no duplicates.
 *
 * ```
 * filter  FORWARD ------> FLANNEL-FWD      accept from and to the network
 * nat     POSTROUTING --> FLANNEL-POSTRTG  masquerade what leaves or enters it
 * ```
 */
export interface ChainPlace {
  readonly table: 'filter' | 'nat';
  readonly chain: string;
  /** Built-in chain that the jump stands in. */
  readonly parent: 'FORWARD' | 'POSTROUTING';
  /** The jump's text after `-A PARENT `. */
  readonly jump: string;
}

export const FORWARD_CHAIN: ChainPlace = {
  table: 'filter',
  chain: 'FLANNEL-FWD',
  parent: 'FORWARD',
  jump: '-m comment --comment "flanneld forward" -j FLANNEL-FWD',
};

export const MASQUERADE_CHAIN: ChainPlace = {
  table: 'nat',
  chain: 'FLANNEL-POSTRTG',
  parent: 'POSTROUTING',
  jump: '-m comment --comment "flanneld masq" -j FLANNEL-POSTRTG',
};

/** Rules of {@link FORWARD_CHAIN}: each text is what follows `-A CHAIN `. */
export function forwardRules(network: Prefix): string[] {
  const net = formatPrefix(network);
  const comment = '-m comment --comment "flanneld forward"';
  return [`-s ${net} ${comment} -j ACCEPT`, `-d ${net} ${comment} -j ACCEPT`];
}

/** Rules of {@link MASQUERADE_CHAIN}; `subnet` is this host's own. */
export function masqueradeRules(network: Prefix, subnet: Prefix, randomFully: boolean): string[] {
  const net = formatPrefix(network);
  const comment = '-m comment --comment "flanneld masq"';
  const masquerade = randomFully ? 'MASQUERADE --random-fully' : 'MASQUERADE';
  return [
    // Marked by kube-proxy for its own masquerading, which follows.
    `-m mark --mark 0x4000/0x4000 ${comment} -j RETURN`,
    `-s ${net} -d ${net} ${comment} -j RETURN`,
    `-s ${net} ! -d 224.0.0.0/4 ${comment} -j ${masquerade}`,
    // Traffic forwarded to our own containers keeps its source; what goes on to other hosts could not be answered.
    `! -s ${net} -d ${formatPrefix(subnet)} ${comment} -j RETURN`,
    `! -s ${net} -d ${net} ${comment} -j ${masquerade}`,
  ];
}
