/**
 * What is on the wire, whatever is left to the kernel: only valid packets no longer than the MTU. Segmenting happens
 * before the capture (wire mode of the benchmark), which is made between the hosts.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { setMode } from '../../bench/underlay.ts';
import { PROTOCOL } from '../../src/encap/ipv4-header.ts';
import { decodeUdp } from '../../src/encap/udp-datagram.ts';
import { createLab, type Lab } from '../lab/lab.ts';
import { judgeOverlayPacket, type OverlayPacket, tcpPayloadBytes } from './overlay-packets.ts';
import { type DaemonKind, formNetwork, startCapture, tool } from './support.ts';

const MTU_BYTES = 1500;
const STREAMS = 4;
const STREAM_BYTES = 3 * 1024 * 1024;
const DATAGRAMS = 1000;
const DATAGRAM_BYTES = 1200;
const PING_TTL = 9;
/** The sending host routes once, docker0 to flannel0, and our hop is the second. */
const HOPS_BEFORE_THE_WIRE = 2;

interface Variant {
  readonly name: string;
  readonly flags: readonly string[];
  readonly kinds?: readonly [DaemonKind, DaemonKind];
}

const VARIANTS: Variant[] = [
  { name: 'all offloads', flags: ['--offloads=all'] },
  { name: 'no offloads', flags: ['--offloads=none'] },
  { name: 'trains only', flags: ['--offloads=udp-segmentation'] },
  { name: 'super-packets without trains', flags: ['--offloads=tun-tcp'] },
  { name: 'two workers, four source ports', flags: ['--workers=2', '--source-ports=4'] },
  { name: 'to and from the model peer', flags: [], kinds: ['flannel0', 'model peer'] },
];

/** Four streams each way at once; their digests are equal at both ends. */
async function exchangeTcp(lab: Lab): Promise<void> {
  const program = [process.execPath, tool('tcp-streams.mjs')];
  const oneWay = async (from: number, to: number) => {
    const target = lab.container(to);
    const listener = lab.spawn(target, [...program, 'listen', '7777', String(STREAMS)]);
    await lab.waitWhileRunning(listener, () => listener.stdout().includes('listening'), 10_000, 'the listener');
    const connect = ['connect', target.address ?? '', '7777', String(STREAMS), String(STREAM_BYTES)];
    const { stdout } = await lab.exec(lab.container(from), [...program, ...connect], { deadlineMs: 60_000 });
    await listener.exited;
    expect(JSON.parse(stdout)).toHaveLength(STREAMS);
    expect(listener.stdout()).toBe(`listening\n${stdout}`);
  };
  await Promise.all([oneWay(0, 1), oneWay(1, 0)]);
}

async function exchangeUdp(lab: Lab): Promise<void> {
  const [near, far] = [lab.container(0), lab.container(1)];
  const stream = [process.execPath, tool('udp-stream.mjs')];
  const receiver = lab.spawn(far, [...stream, 'receive', '7000', String(DATAGRAMS)]);
  await lab.waitWhileRunning(receiver, () => receiver.stdout().includes('listening'), 10_000, 'the receiver');
  const send = ['send', far.address ?? '', '7000', String(DATAGRAMS), String(DATAGRAM_BYTES)];
  await lab.exec(near, [...stream, ...send]);
  await receiver.exited;
  expect(receiver.stdout()).toBe(`listening\n{"received":${DATAGRAMS},"outOfOrder":0}\n`);

  const echo = [process.execPath, tool('udp-echo.mjs')];
  const server = lab.spawn(far, [...echo, 'serve', '7001']);
  await lab.waitWhileRunning(server, () => server.stdout().includes('listening'), 10_000, 'the echo server');
  await lab.exec(near, [...echo, 'check', far.address ?? '', '7001', '0-8', '1430-1460', '9000']);
  await server.stop();
}

async function exchangeIcmp(lab: Lab): Promise<void> {
  for (const size of ['0', '1000', '5000']) {
    const ping = ['ping', '-q', '-c', '3', '-i', '0.2', '-t', String(PING_TTL), '-s', size];
    await lab.exec(lab.container(0), [...ping, lab.container(1).address ?? '']);
  }
}

describe.each(VARIANTS)('$name', ({ flags, kinds }) => {
  let lab: Lab;
  let packets: OverlayPacket[];
  beforeAll(async () => {
    lab = await createLab();
    await setMode(lab, 'wire');
    const pair = kinds ?? ['flannel0', 'flannel0'];
    await formNetwork(lab, pair, kinds === undefined ? flags : []);
    // The wire's end of host 2's link: what is seen here has left one host and not yet reached the other.
    const wire = { namespace: lab.topology.bridgeNamespace ?? '' };
    const capture = await startCapture(lab, wire, 'h2', 'udp dst port 8285');
    await exchangeTcp(lab);
    await exchangeUdp(lab);
    await exchangeIcmp(lab);
    packets = (await capture.stop()).map((bytes) => judgeOverlayPacket(bytes, MTU_BYTES));
  }, 120_000);
  afterAll(() => lab?.close());

  const from =
    (index: number) =>
    ({ outer }: OverlayPacket) =>
      outer.bytes[15] === index + 1;
  const of = (protocol: number) => packets.filter(({ inner }) => inner.header.protocol === protocol);

  test('every packet is sound', () => {
    const defects = new Map<string, number>();
    for (const defect of packets.flatMap((packet) => packet.defects)) {
      defects.set(defect, (defects.get(defect) ?? 0) + 1);
    }
    expect(Object.fromEntries(defects)).toEqual({});
  });

  test('the capture shows the traffic, in full-sized packets', () => {
    for (const host of [0, 1]) {
      const bytes = of(PROTOCOL.tcp)
        .filter(from(host))
        .reduce((sum, { inner }) => sum + tcpPayloadBytes(inner), 0);
      // A capture on a busy machine may miss some.
      expect(bytes).toBeGreaterThan((STREAMS * STREAM_BYTES) / 2);
      const longest = Math.max(
        ...of(PROTOCOL.tcp)
          .filter(from(host))
          .map(({ outer }) => outer.bytes.length),
      );
      expect(longest).toBe(MTU_BYTES);
    }
    expect(of(PROTOCOL.udp).length).toBeGreaterThan(DATAGRAMS);
    expect(of(PROTOCOL.icmp).length).toBeGreaterThan(9);
  });

  test('the TTL is one lower than the device was given', () => {
    const ttls = (list: readonly OverlayPacket[]) => [...new Set(list.map(({ inner }) => inner.header.ttl))];
    expect(ttls([...of(PROTOCOL.tcp), ...of(PROTOCOL.udp)])).toEqual([64 - HOPS_BEFORE_THE_WIRE]);
    expect(ttls(of(PROTOCOL.icmp).filter(from(0)))).toEqual([PING_TTL - HOPS_BEFORE_THE_WIRE]);
  });

  test('flows leave by as many source ports as asked for', () => {
    const portsOf = (host: number) =>
      new Set(packets.filter(from(host)).map(({ outer }) => decodeUdp(outer.payload)?.sourcePort));
    const isSpread = flags.includes('--source-ports=4');
    for (const host of [0, 1]) {
      expect(portsOf(host)).toContain(8285);
      expect(portsOf(host).size > 1).toBe(isSpread);
    }
  });
});
