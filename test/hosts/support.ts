/** What the whole-host tests share: daemons by kind, captures, injection, packets as hexadecimal text. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ETCD_PREFIX, type Lab, type LabHost, type LabProcess, REPOSITORY, waitFor } from '../lab/lab.ts';
import { execute } from '../lab/process.ts';
import { WATCHING_FROM_NOW } from '../model-peer/etcd-subnets.ts';
import { type CapturedFrame, ipPacketOf, readCapture } from '../support/pcap.ts';

/** Who plays flanneld on a host: ours, or the model of the real one. */
export type DaemonKind = 'flannel0' | 'model peer';

export function startDaemon(lab: Lab, kind: DaemonKind, host: LabHost, flags: readonly string[] = []): LabProcess {
  return kind === 'flannel0' ? lab.startFlanneld(host, flags) : lab.startModelPeer(host, flags);
}

/**
 * Starts a daemon on every host, joins the containers and waits until each reaches each other. Ours all start at the
 * same time; model peers come first, one after the other, because a real flanneld can lose what happens while it
 * starts.
 */
export async function formNetwork(lab: Lab, kinds: readonly DaemonKind[], flags: readonly string[] = []) {
  const kindOf = (host: LabHost) => kinds[lab.hosts.indexOf(host)] ?? 'flannel0';
  const started = new Map<LabHost, LabProcess>();
  for (const host of lab.hosts.filter((each) => kindOf(each) === 'model peer')) {
    const peer = lab.startModelPeer(host, flags);
    const key = `${WATCHING_FROM_NOW}: ${ETCD_PREFIX}/subnets\n`;
    await lab.waitWhileRunning(peer, () => peer.stderr().includes(key), 20_000, 'the watch of the model peer');
    started.set(host, peer);
  }
  for (const host of lab.hosts.filter((each) => kindOf(each) === 'flannel0')) {
    started.set(host, lab.startFlanneld(host, flags));
  }
  const daemons = lab.hosts.flatMap((host) => started.get(host) ?? []);
  const envs = await Promise.all(daemons.map((daemon, i) => lab.joinContainers(lab.host(i), daemon)));
  for (const from of lab.hosts) {
    for (const to of lab.hosts) if (from !== to) await waitForPing(lab, from, to);
  }
  return { daemons, envs };
}

/**
 * The one line with which a daemon that gave up says why: the last it wrote. Before there is a logger it is plain
 * text, afterwards a JSON line of level error.
 */
export function lastWord(daemon: LabProcess): string {
  const line = daemon.stderr().trimEnd().split('\n').at(-1) ?? '';
  if (!line.startsWith('{')) return line.replace(/^flanneld: /, '');
  const { level, msg } = JSON.parse(line) as { level: string; msg: string };
  if (level !== 'error') throw new Error(`the last line is no error: ${line}`);
  return msg;
}

export async function waitForPing(lab: Lab, from: LabHost, to: LabHost): Promise<void> {
  const [source, target] = [from.containers[0], to.containers[0]];
  if (source === undefined || target?.address === undefined) throw new Error('ping needs two joined containers');
  const argv = ['ping', '-c', '1', '-W', '1', '-q', target.address];
  await waitFor(() => lab.exec(source, argv), 20_000, `ping ${source.name} to ${target.name} (${target.address})`);
}

/** Path of a script that plain node runs inside a container. */
export function tool(name: string): string {
  return join(REPOSITORY, 'test', 'hosts', 'tools', name);
}

export function golden(name: string): string {
  return readFileSync(join(REPOSITORY, 'test', 'golden', 'udp', name), 'utf8');
}

export function goldenFrames(name: string): CapturedFrame[] {
  return readCapture(readFileSync(join(REPOSITORY, 'test', 'golden', 'udp', name)));
}

export interface Capture {
  /** IPv4 packets seen so far, in order. */
  packets(): Uint8Array[];
  stop(): Promise<Uint8Array[]>;
}

/** Captures whole packets with tcpdump, which listens when this resolves. */
export async function startCapture(
  lab: Lab,
  place: { readonly namespace: string },
  device: string,
  filter: string,
): Promise<Capture> {
  const file = join(lab.host(0).folder, `capture-${captureCount++}.pcap`);
  const argv = [
    'tcpdump',
    '-i',
    device,
    '-U',
    '-s',
    '0',
    '--immediate-mode',
    '-B',
    '8192',
    '-Z',
    'root',
    '-w',
    file,
    filter,
  ];
  const tcpdump = lab.spawn(place, argv);
  await lab.waitWhileRunning(tcpdump, () => tcpdump.stderr().includes('listening on'), 10_000, 'tcpdump');
  const packets = () => readCapture(readFileSync(file)).flatMap((frame) => ipPacketOf(frame) ?? []);
  return {
    // A record may be half written while we read.
    packets: () => {
      try {
        return packets();
      } catch {
        return [];
      }
    },
    stop: async () => {
      await tcpdump.stop('SIGINT');
      return packets();
    },
  };
}
let captureCount = 0;

/** Sends packets out of a device as they are: on a TUN device they come out at the daemon. */
export async function inject(
  lab: Lab,
  place: { readonly namespace: string },
  device: string,
  packets: readonly Uint8Array[],
): Promise<void> {
  const folder = join(REPOSITORY, 'test', 'lab', 'tools');
  await execute(['make', '-s', '-C', folder], undefined);
  await lab.exec(place, [join(folder, 'build', 'inject'), device], {
    input: packets.map((p) => `${hex(p)}\n`).join(''),
  });
}

export function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}

/** Payload of a UDP datagram in an unfragmented IPv4 packet. */
export function udpPayload(packet: Uint8Array): Uint8Array {
  const view = new DataView(packet.buffer, packet.byteOffset, packet.byteLength);
  const header = (view.getUint8(0) & 0x0f) * 4;
  return packet.subarray(header + 8, header + view.getUint16(header + 4));
}

/** Dotted source address of an IPv4 packet. */
export function sourceOf(packet: Uint8Array): string {
  return packet.subarray(12, 16).join('.');
}

export function destinationOf(packet: Uint8Array): string {
  return packet.subarray(16, 20).join('.');
}
