/**
 * Replays the captures of a real flanneld: both hosts are given its subnets through subnet.env, and everything it left
 * behind then has to be there, byte for byte. The model peer goes through the same tests, which is what makes it an
 * oracle.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createLab, type Lab, type LabHost, type LabProcess, waitFor } from '../lab/lab.ts';
import { ipPacketOf } from '../support/pcap.ts';
import {
  type DaemonKind,
  destinationOf,
  golden,
  goldenFrames,
  hex,
  inject,
  sourceOf,
  startCapture,
  startDaemon,
  tool,
  udpPayload,
} from './support.ts';

const PORT = 8285;
const H1_SUBNET = '10.5.21.';
const H2_SUBNET = '10.5.45.';
const H1_DEVICE_ADDRESS = '10.5.21.0';

function goldenPackets(name: string): Uint8Array[] {
  return goldenFrames(name).flatMap((frame) => ipPacketOf(frame) ?? []);
}

/** Payloads of the golden datagrams that left the host with this address. */
function goldenDatagrams(underlayAddress: string): Uint8Array[] {
  return goldenPackets('underlay-h1.pcap')
    .filter((packet) => sourceOf(packet) === underlayAddress)
    .map(udpPayload);
}

function withoutCounters(rules: string): string {
  return rules.replaceAll(/^#.*\n/gm, '').replaceAll(/\[[0-9]+:[0-9]+\]/g, '[0:0]');
}

function sortedHex(packets: readonly Uint8Array[]): string[] {
  return packets.map(hex).sort();
}

describe.each<DaemonKind>(['flannel0', 'model peer'])('%s leaves what a real flanneld left', (kind) => {
  let lab: Lab;
  let h1: LabHost;
  let h2: LabHost;

  beforeAll(async () => {
    lab = await createLab();
    [h1, h2] = [lab.host(0), lab.host(1)];
    const daemons: LabProcess[] = [];
    for (const host of [h1, h2]) {
      mkdirSync(dirname(host.subnetFile), { recursive: true });
      writeFileSync(host.subnetFile, golden(`subnet-${host.name}.env`));
      const daemon = startDaemon(lab, kind, host, ['--ip-masq']);
      daemons.push(daemon);
      // One after the other, so that the revisions in etcd come in the golden order.
      const key = `/coreos.com/network/subnets/${host === h1 ? '10.5.21.0' : '10.5.45.0'}-24`;
      await lab.waitWhileRunning(daemon, () => lab.etcdctl('get', key), 20_000, `lease of ${host.name}`);
    }
    for (const [i, host] of [h1, h2].entries()) {
      const daemon = daemons[i] as LabProcess;
      const isUp = async () => (await lab.exec(host, ['iptables-save'])).stdout.includes('FLANNEL-FWD');
      await lab.waitWhileRunning(daemon, isUp, 20_000, `firewall of ${host.name}`);
      await lab.joinContainers(host, daemon);
    }
    const ping = ['ping', '-c1', '-W1', '-q', lab.container(1).address ?? ''];
    await waitFor(() => lab.exec(lab.container(0), ping), 20_000, 'ping');
  }, 90_000);
  afterAll(() => lab?.close());

  test('keys and values in etcd', async () => {
    expect(await lab.etcdctl('get', '--prefix', '/coreos.com/network')).toBe(golden('etcd.txt'));
  });

  test('subnet.env', () => {
    for (const host of [h1, h2]) {
      expect(readFileSync(host.subnetFile, 'utf8')).toBe(golden(`subnet-${host.name}.env`));
    }
  });

  test('device: flags, MTU, queue length, address', async () => {
    for (const host of [h1, h2]) {
      const { stdout } = await lab.exec(host, ['ip', '-d', 'addr', 'show', 'flannel0']);
      const parts = (text: string) => ({
        flags: /<(.*)>/.exec(text)?.[1]?.split(',').sort(),
        mtu: /mtu ([0-9]+)/.exec(text)?.[1],
        queueLength: /qlen ([0-9]+)/.exec(text)?.[1],
        link: /link\/(\S+)/.exec(text)?.[1],
        type: /tun type tun pi off/.test(text),
        addresses: [...text.matchAll(/^ *inet (.*?) *$/gm)].map((match) => match[1]),
      });
      expect(parts(stdout)).toEqual(parts(golden(`ip-${host.name}.txt`)));
    }
  });

  test('routes', async () => {
    for (const host of [h1, h2]) {
      const lines = (text: string) =>
        text
          .split('\n')
          .map((line) => line.trimEnd())
          .filter((line) => line !== '');
      const { stdout } = await lab.exec(host, ['ip', 'route']);
      // Behind the device's three lines and their continuations stand the routes.
      expect(lines(stdout)).toEqual(
        lines(golden(`ip-${host.name}.txt`)).filter((line) => /^(default|[0-9.]+\/)/.test(line)),
      );
    }
  });

  test.each(['nat', 'filter'])('iptables, table %s', async (table) => {
    for (const host of [h1, h2]) {
      const { stdout } = await lab.exec(host, ['iptables-save', '-t', table]);
      expect(withoutCounters(stdout)).toBe(withoutCounters(golden(`iptables-${table}-${host.name}.txt`)));
    }
  });

  test('socket', async () => {
    const { stdout } = await lab.exec(h1, ['ss', '-Huna', 'sport', '=', `:${PORT}`]);
    const columns = (text: string) => [
      ...new Set(
        text
          .trim()
          .split('\n')
          .map((line) => line.trim().replaceAll(/ +/g, ' ')),
      ),
    ];
    expect(columns(stdout)).toEqual(columns(golden('sockets-h1.txt')));
  });

  test('the same datagrams for the same inner packets, and none for those that ended on h1', async () => {
    // The packets are old: h2 shall not answer them.
    await lab.exec(h2, ['iptables', '-w', '-I', 'INPUT', '-p', 'udp', '--dport', String(PORT), '-j', 'DROP']);
    const outgoing = goldenPackets('flannel0-h1.pcap').filter((packet) => isInner(packet, H1_SUBNET, H2_SUBNET));
    const expected = goldenDatagrams(h1.address);
    // Replaying a ping that died on h1 (TTL 1 on the device) must not make a datagram.
    expect(outgoing.length).toBeGreaterThan(expected.length);
    const capture = await startCapture(lab, h1, 'eth0', `udp and src host ${h1.address} and port ${PORT}`);
    await inject(lab, h1, 'flannel0', outgoing);
    const isComplete = () => capture.packets().flatMap(datagramsOf).length >= expected.length;
    await waitFor(isComplete, 10_000, 'datagrams on the wire');
    const sent = await capture.stop();
    expect(sortedHex(sent.flatMap(datagramsOf))).toEqual(sortedHex(expected));
    for (const packet of sent) {
      expect(destinationOf(packet)).toBe(h2.address);
      // Source and destination port.
      expect(hex(packet.subarray(20, 24))).toBe('205d205d');
    }
  });

  test('the same inner packets for the same datagrams', async () => {
    await lab.exec(h1, ['iptables', '-w', '-I', 'FORWARD', '-i', 'flannel0', '-j', 'DROP']);
    const datagrams = goldenDatagrams('172.31.0.2');
    const fromH2 = (packet: Uint8Array) => isInner(packet, H2_SUBNET, H1_SUBNET);
    const expected = goldenPackets('flannel0-h1.pcap').filter(fromH2);
    expect(expected).toHaveLength(datagrams.length);
    const capture = await startCapture(lab, h1, 'flannel0', 'src net 10.5.45.0/24');
    // From any port of the peer: a real flanneld does not look at it.
    const input = datagrams.map((bytes) => `${hex(bytes)}\n`).join('');
    await lab.exec(h2, [process.execPath, tool('udp-send.mjs'), h2.address, '8286', h1.address, String(PORT)], {
      input,
    });
    await waitFor(() => capture.packets().length >= expected.length, 10_000, 'packets on flannel0');
    expect(sortedHex(await capture.stop())).toEqual(sortedHex(expected));
  });

  test('the same answer for a destination that nobody leases', async () => {
    const packets = goldenPackets('flannel0-h1.pcap');
    const offender = packets.filter((packet) => destinationOf(packet) === '10.5.250.9');
    const answer = packets.filter((packet) => sourceOf(packet) === H1_DEVICE_ADDRESS);
    expect([offender.length, answer.length]).toEqual([1, 1]);
    const capture = await startCapture(lab, h1, 'flannel0', `icmp and src host ${H1_DEVICE_ADDRESS}`);
    await inject(lab, h1, 'flannel0', offender);
    await waitFor(() => capture.packets().length > 0, 10_000, 'the ICMP answer');
    expect(sortedHex(await capture.stop())).toEqual(sortedHex(answer));
  });
});

/** On the sender's own device a train of datagrams is captured before the kernel has cut it (UDP_SEGMENT). */
function datagramsOf(packet: Uint8Array): Uint8Array[] {
  const train = udpPayload(packet);
  const datagrams: Uint8Array[] = [];
  for (let offset = 0; offset < train.length; ) {
    const totalLength = Buffer.from(train).readUInt16BE(offset + 2);
    if (totalLength === 0) throw new Error('a datagram without a length');
    datagrams.push(train.subarray(offset, offset + totalLength));
    offset += totalLength;
  }
  return datagrams;
}

function isInner(packet: Uint8Array, from: string, to: string): boolean {
  return sourceOf(packet).startsWith(from) && destinationOf(packet).startsWith(to);
}
