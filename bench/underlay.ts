/** The wire between the two hosts of a lab: its mode, and the counters that prove what crossed it. */
import type { Lab, Place } from '../test/lab/lab.ts';
import { UNDERLAY_MTU } from './candidates/candidate.ts';
import type { Mode } from './measurement.ts';

const UNDERLAY_DEVICE = 'eth0';
const ETHERNET_HEADER_BYTES = 14;

/**
 * With these off on both ends, the sending kernel segments before the veth. GRO has to be asked for: a veth runs it
 * only while its peer does not send super-packets.
 */
const WIRE_FEATURES = [
  ...['tso', 'off', 'gso', 'off', 'tx-udp-segmentation', 'off'],
  ...['tx-udp_tnl-segmentation', 'off', 'tx-udp_tnl-csum-segmentation', 'off', 'gro', 'on'],
];

export async function setMode(lab: Lab, mode: Mode): Promise<void> {
  // A veth is in offload mode by nature.
  if (mode === 'offload') return;
  for (const host of lab.hosts) await lab.exec(host, ['ethtool', '-K', UNDERLAY_DEVICE, ...WIRE_FEATURES]);
}

export interface Traffic {
  readonly bytes: number;
  readonly packets: number;
}

export interface LinkTraffic {
  readonly rx: Traffic;
  readonly tx: Traffic;
}

/** Counters of an interface since it was made. */
export async function linkTraffic(lab: Lab, place: Place, device: string): Promise<LinkTraffic> {
  const { stdout } = await lab.exec(place, ['ip', '-j', '-s', 'link', 'show', 'dev', device]);
  const [link] = JSON.parse(stdout) as { stats64: LinkTraffic }[];
  if (link === undefined) throw new Error(`no counters of ${device}`);
  return link.stats64;
}

export interface Crossing {
  /** What `device` of the receiving host got. */
  readonly arrived: Traffic;
  /** What the sending host put on the wire. */
  readonly wire: Traffic;
}

const difference = (after: Traffic, before: Traffic): Traffic => ({
  bytes: after.bytes - before.bytes,
  packets: after.packets - before.packets,
});

/** Runs `work`; tells what went from host `from` to the other meanwhile, over `device` and on the wire below it. */
export async function watchCrossing<T>(
  lab: Lab,
  device: string,
  from: number,
  work: () => Promise<T>,
): Promise<{ result: T; crossing: Crossing }> {
  const [sender, receiver] = [lab.host(from), lab.host(1 - from)];
  const read = () => Promise.all([linkTraffic(lab, receiver, device), linkTraffic(lab, sender, UNDERLAY_DEVICE)]);
  const [arrivedBefore, wireBefore] = await read();
  const result = await work();
  const [arrivedAfter, wireAfter] = await read();
  const arrived = difference(arrivedAfter.rx, arrivedBefore.rx);
  return { result, crossing: { arrived, wire: difference(wireAfter.tx, wireBefore.tx) } };
}

/**
 * Throws unless the label is true: `payloadBytes` came through the candidate's device, and in wire mode the packets on
 * the wire were single ones.
 */
export function proveCrossing({ arrived, wire }: Crossing, payloadBytes: number, device: string, mode: Mode): void {
  if (arrived.bytes < payloadBytes) {
    throw new Error(`${payloadBytes} bytes were delivered, but only ${arrived.bytes} came through ${device}`);
  }
  if (wire.bytes < payloadBytes) {
    throw new Error(`${payloadBytes} bytes were delivered, but only ${wire.bytes} crossed the wire`);
  }
  const most = UNDERLAY_MTU + ETHERNET_HEADER_BYTES;
  if (mode === 'wire' && wire.bytes > wire.packets * most) {
    throw new Error(`wire mode, yet ${wire.packets} packets of more than ${most} bytes on average crossed the wire`);
  }
}
