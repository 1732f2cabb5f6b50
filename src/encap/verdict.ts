/**
 * What the packet path decides about one packet. The order of both lists is that of the native core
 * (`verdictNames()`, `dropReasonNames()`); counters, metrics, trace and docs all take their names from here.
 */

export const VERDICTS = ['forward', 'answer', 'drop'] as const;

/** `forward`: on to the other side; `answer`: an ICMP error goes back to the TUN instead; `drop`: nothing leaves. */
export type Verdict = (typeof VERDICTS)[number];

interface DropReasonEntry {
  readonly name: string;
  /** What was wrong with the packet, as a sentence without its full stop. */
  readonly meaning: string;
  /** What a person who sees this counter rise can do. */
  readonly advice: string;
}

export const DROP_REASONS = [
  { name: 'none', meaning: 'not dropped', advice: 'nothing to do' },
  {
    name: 'truncated',
    meaning: 'fewer bytes than an IPv4 header',
    advice: 'from the UDP side: find out who else sends to the port; from the TUN: report it, the kernel sends none',
  },
  {
    name: 'badVersion',
    meaning: 'neither an IPv4 nor an IPv6 packet',
    advice: 'find out who else sends to the port; it is no flanneld',
  },
  {
    name: 'badHeaderLength',
    meaning: 'the header length is below 20 bytes or beyond the bytes that came',
    advice: 'find out who sends damaged datagrams to the port',
  },
  {
    name: 'badTotalLength',
    meaning: 'the total length is below the header length or beyond the bytes that came',
    advice: 'a peer that truncates large packets does this: give all hosts the same MTU',
  },
  {
    name: 'badHeaderChecksum',
    meaning: 'the IPv4 header checksum is wrong',
    advice: 'the packet was damaged on the way or forged; look at the path and the network card of the sender',
  },
  {
    name: 'ttlZero',
    meaning: 'the packet came with TTL 0, which nobody may send',
    advice: 'find the sender; it is broken or hostile',
  },
  {
    name: 'ttlExpired',
    meaning: 'this hop used up the last of the TTL',
    advice: 'normal under traceroute; otherwise look for a routing loop, or give the sender a larger TTL',
  },
  {
    name: 'noRoute',
    meaning: 'no lease covers the destination, and no ICMP answer is owed for this packet',
    advice: 'see whether the host that should hold the subnet runs and has a lease',
  },
  {
    name: 'martianSource',
    meaning: 'a peer sent a packet whose inner source is an address of this host',
    advice: 'look for two hosts with the same subnet, or for a forger',
  },
  {
    name: 'ipv6Unsupported',
    meaning: 'an IPv6 packet; the overlay carries IPv4',
    advice: 'normal in small numbers: the kernel sends router solicitations and MLD on every device',
  },
  {
    name: 'sendBufferFull',
    meaning: 'the UDP socket had no room for the datagram',
    advice: 'the underlay is slower than the containers send; raise net.core.wmem_max or slow the senders down',
  },
  {
    name: 'sendMessageSize',
    meaning: 'the datagram is larger than the path to the peer allows',
    advice: 'the MTU of the path is below that of the external interface; give the containers a smaller MTU',
  },
  {
    name: 'sendFailed',
    meaning: 'the kernel refused to send the datagram',
    advice: 'check the route to the peer and the OUTPUT rules of the firewall',
  },
  {
    name: 'tunWriteFailed',
    meaning: 'the kernel refused the packet on the TUN device',
    advice: 'see whether the device is up',
  },
  {
    name: 'tunQueueFull',
    meaning: 'the TUN device had no room for the packet',
    advice: 'the host cannot keep up with what it receives; look at its CPU load',
  },
  {
    name: 'oversize',
    meaning: 'the datagram is larger than any IP packet or than the buffer',
    advice: 'find out who else sends to the port; it is no flanneld',
  },
  {
    name: 'badOffload',
    meaning: 'a packet of the kernel whose virtio_net_hdr does not describe it',
    advice: 'report it with the kernel version; --offloads=none avoids it',
  },
] as const satisfies readonly DropReasonEntry[];

/** Name of a reason; `none` only where nothing was dropped. */
export type DropReasonName = (typeof DROP_REASONS)[number]['name'];
export type DropReason = Exclude<DropReasonName, 'none'>;

export interface Dropped {
  readonly verdict: 'drop';
  readonly reason: DropReason;
}

export function drop(reason: DropReason): Dropped {
  return { verdict: 'drop', reason };
}

/** Meaning and advice of a reason, for people. */
export function describeDropReason(name: DropReasonName): DropReasonEntry {
  const entry = DROP_REASONS.find((candidate) => candidate.name === name);
  if (entry === undefined) throw new RangeError(`no drop reason ${name}`);
  return entry;
}
