/**
 * Replays what a real flanneld v0.20.2 did (test/golden/udp): two hosts, h1 (10.5.21.0/24 at 172.31.0.1) and h2
 * (10.5.45.0/24 at 172.31.0.2), captured on both TUN devices and on the underlay at once.
 */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { decodeIpv4, type Ipv4Packet, PROTOCOL } from '../../src/encap/ipv4-header.ts';
import { tunToUdp } from '../../src/encap/tun-to-udp.ts';
import { decodeUdp } from '../../src/encap/udp-datagram.ts';
import { udpToTun } from '../../src/encap/udp-to-tun.ts';
import { ipv4 } from '../support/packets.ts';
import { ipPacketOf, readCapture } from '../support/pcap.ts';

interface Host {
  readonly device: number;
  readonly underlay: number;
}
const H1: Host = { device: ipv4('10.5.21.0'), underlay: ipv4('172.31.0.1') };
const H2: Host = { device: ipv4('10.5.45.0'), underlay: ipv4('172.31.0.2') };

const subnetOf = (address: number) => address - (address % 256);
const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');

function packetOf(bytes: Uint8Array): Ipv4Packet {
  const decoded = decodeIpv4(bytes);
  if (!decoded.ok) throw new Error(decoded.defect);
  return decoded.packet;
}

/** The IP packets of a capture, in order. */
function packetsOf(name: string): Ipv4Packet[] {
  const file = new Uint8Array(readFileSync(new URL(`../golden/udp/${name}.pcap`, import.meta.url)));
  return readCapture(file).map((frame) => packetOf(ipPacketOf(frame) ?? new Uint8Array(0)));
}

interface Sent {
  readonly outer: Ipv4Packet;
  readonly payload: Uint8Array;
}

const wire: Sent[] = packetsOf('underlay-h1').map((outer) => {
  const datagram = decodeUdp(outer.payload);
  if (datagram === undefined || outer.header.protocol !== PROTOCOL.udp) throw new Error('no UDP in the capture');
  expect([datagram.sourcePort, datagram.destinationPort]).toEqual([8285, 8285]);
  return { outer, payload: datagram.payload };
});
const sentBy = (host: Host) => wire.filter(({ outer }) => outer.header.source === host.underlay);

/** What crossed a device: read from it by flanneld, or written to it. */
function deviceTraffic(name: string, own: Host) {
  const all = packetsOf(name);
  const isAnswer = ({ header }: Ipv4Packet) => header.source === own.device;
  return {
    read: all.filter((packet) => subnetOf(packet.header.source) === own.device && !isAnswer(packet)),
    received: all.filter(({ header }) => subnetOf(header.source) !== own.device),
    answers: all.filter(isAnswer),
  };
}

describe.each([
  { name: 'flannel0-h1', own: H1, peer: H2 },
  { name: 'flannel0-h2', own: H2, peer: H1 },
])('$name', ({ name, own, peer }) => {
  const traffic = deviceTraffic(name, own);
  const lookup = (destination: number) => (subnetOf(destination) === peer.device ? peer : undefined);
  const decided = traffic.read.map((packet) => tunToUdp(packet.bytes, lookup, own.device));

  it('sends the same datagrams, byte for byte', () => {
    const ours = decided.flatMap((result) => (result.verdict === 'forward' ? [hex(result.datagram)] : []));
    // Sorted: each capture has the order of its own device, and two packets swapped places in between.
    const theirs = sentBy(own).map(({ payload }) => hex(payload));
    expect(theirs.length).toBeGreaterThan(25);
    expect(ours.toSorted()).toEqual(theirs.toSorted());
  });

  it('sends them to the peer', () => {
    for (const { outer } of sentBy(own)) expect(outer.header.destination).toBe(peer.underlay);
    for (const result of decided) if (result.verdict === 'forward') expect(result.nextHop).toBe(peer);
  });

  it('writes the same packets to the device', () => {
    const local = new Set([own.device, own.device + 1, own.underlay, ipv4('127.0.0.1')]);
    const results = sentBy(peer).map(({ payload }) => udpToTun(payload, local));
    const ours = results.flatMap((result) => (result.verdict === 'forward' ? [hex(result.packet)] : []));
    expect(ours.length).toBeGreaterThan(25);
    expect(ours.toSorted()).toEqual(traffic.received.map(({ bytes }) => hex(bytes)).toSorted());
    // Only the ping that left h1 with its last TTL must not come out.
    const dropped = results.filter((result) => result.verdict === 'drop');
    expect(dropped).toEqual(own === H2 ? [{ verdict: 'drop', reason: 'ttlExpired' }] : []);
  });

  it('answers as the real one did', () => {
    const ours = decided.flatMap((result) => (result.verdict === 'answer' ? [hex(result.packet)] : []));
    expect(ours).toEqual(traffic.answers.map(({ bytes }) => hex(bytes)));
    expect(ours).toHaveLength(own === H1 ? 1 : 0);
  });

  it('drops the ping whose TTL ends here, and nothing else', () => {
    const dropped = decided.filter((result) => result.verdict === 'drop');
    expect(dropped).toEqual(own === H1 ? [{ verdict: 'drop', reason: 'ttlExpired' }] : []);
  });
});
