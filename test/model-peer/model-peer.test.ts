/** Shows that the model has the behaviour of the real one, defects included: what the real one does not, we need not fear. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { formNetwork, hex, inject, sourceOf, startCapture, tool } from '../hosts/support.ts';
import { createLab, ETCD_PREFIX, type Lab, type LabHost, type LabProcess, REPOSITORY, waitFor } from '../lab/lab.ts';

const FOLDER = join(REPOSITORY, 'test', 'model-peer');
const MTU_BYTES = 1472;
const PORT = 8285;
const PROTOCOL = { icmp: 1, udp: 17 } as const;

interface PacketFields {
  readonly destination: string;
  readonly source?: string;
  readonly ttl?: number;
  readonly protocol?: number;
  readonly fragmentOffset?: number;
  readonly optionWords?: number;
  readonly payload?: string;
}

/** An IPv4 packet with a right checksum. */
function packet(fields: PacketFields): Uint8Array {
  const header = 20 + 4 * (fields.optionWords ?? 0);
  const bytes = Buffer.concat([Buffer.alloc(header), Buffer.from(fields.payload ?? '')]);
  bytes[0] = 0x40 | (header / 4);
  bytes.writeUInt16BE(bytes.length, 2);
  bytes.writeUInt16BE((fields.fragmentOffset ?? 0) / 8, 6);
  bytes[8] = fields.ttl ?? 64;
  bytes[9] = fields.protocol ?? PROTOCOL.udp;
  bytes.set((fields.source ?? '10.5.21.2').split('.').map(Number), 12);
  bytes.set(fields.destination.split('.').map(Number), 16);
  let sum = 0;
  for (let i = 0; i < header; i += 2) sum += bytes.readUInt16BE(i);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  bytes.writeUInt16BE(~sum & 0xffff, 10);
  return bytes;
}

describe('packet path', () => {
  let lab: Lab;
  let host: LabHost;
  let proxy: LabProcess;

  beforeAll(async () => {
    expect(spawnSync('make', ['-s', '-C', FOLDER], { stdio: 'inherit' }).status).toBe(0);
    lab = await createLab({ etcd: false, containersPerHost: 0 });
    host = lab.host(0);
    // What arrives at the other end is looked at, never answered.
    await lab.exec(lab.host(1), ['iptables', '-w', '-A', 'INPUT', '-j', 'DROP']);
    await lab.exec(lab.host(1), ['iptables', '-w', '-A', 'OUTPUT', '-p', 'icmp', '-j', 'DROP']);
  });
  afterAll(() => lab?.close());

  beforeEach(async () => {
    await proxy?.stop();
    const settings = [
      '--mtu',
      String(MTU_BYTES),
      '--listen',
      `${host.address}:${PORT}`,
      '--device-address',
      '10.5.21.0',
    ];
    proxy = lab.spawn(host, [join(FOLDER, 'build', 'proxy'), ...settings], { writable: true });
    await lab.waitWhileRunning(proxy, () => proxy.stdout() === 'device flannel0\n', 10_000, 'the proxy');
    await lab.ip(host, [`link set flannel0 mtu ${MTU_BYTES} up`]);
    proxy.write('set 10.5.45.0/24 172.31.0.2 8285\n');
  });

  /** What leaves on the wire when these are sent into the device; a last packet, `marker`, shows that all were read. */
  async function sendAndCapture(packets: readonly Uint8Array[]): Promise<Uint8Array[]> {
    const marker = packet({ destination: '10.5.45.9', payload: 'marker' });
    const capture = await startCapture(lab, host, 'eth0', `udp and src port ${PORT}`);
    const sent = async () => {
      await inject(lab, host, 'flannel0', [...packets, marker]);
      return waitFor(() => capture.packets().length > 0, 5_000, 'a datagram');
    };
    await sent();
    const isMarker = (datagram: Uint8Array) => Buffer.from(datagram).includes('marker');
    await waitFor(() => capture.packets().some(isMarker), 5_000, 'the marker');
    return (await capture.stop()).filter((datagram) => !isMarker(datagram)).map((datagram) => datagram.subarray(28));
  }

  async function answersTo(packets: readonly Uint8Array[]): Promise<Uint8Array[]> {
    const capture = await startCapture(lab, host, 'flannel0', 'icmp and src host 10.5.21.0');
    const marker = packet({ destination: '10.5.250.1', payload: 'the last', protocol: 99 });
    await inject(lab, host, 'flannel0', [...packets, marker]);
    const isLast = (answer: Uint8Array) => answer[28 + 9] === 99;
    await waitFor(() => capture.packets().some(isLast), 5_000, 'the last answer');
    return (await capture.stop()).filter((answer) => !isLast(answer));
  }

  test('TTL 1 dies silently, TTL 0 wraps to 255 and travels on', async () => {
    const fields = { destination: '10.5.45.2', payload: 'x' };
    const sent = await sendAndCapture([packet({ ...fields, ttl: 1 }), packet({ ...fields, ttl: 0 })]);
    expect(sent.map((inner) => inner[8])).toEqual([255]);
  });

  test('the first route that matches wins, not the longest', async () => {
    proxy.write('set 10.5.0.0/16 172.31.0.2 1111\nset 10.5.45.128/25 172.31.0.2 2222\n');
    const ports = async (destination: string) => {
      const capture = await startCapture(lab, host, 'eth0', `udp and src port ${PORT}`);
      await inject(lab, host, 'flannel0', [packet({ destination })]);
      await waitFor(() => capture.packets().length > 0, 5_000, 'a datagram');
      return (await capture.stop()).map((datagram) => Buffer.from(datagram).readUInt16BE(22));
    };
    await waitFor(async () => (await ports('10.5.1.1'))[0] === 1111, 10_000, 'the wide route');
    // That hit has moved the wide route to the front, and the others are out of reach.
    expect(await ports('10.5.45.200')).toEqual([1111]);
    expect(await ports('10.5.45.2')).toEqual([1111]);
    proxy.write('del 10.5.0.0/16\n');
    await waitFor(async () => (await ports('10.5.45.200'))[0] === 2222, 10_000, 'the narrow route');
  });

  test('answers quote header + 8 bytes, stale ones where the packet is shorter', async () => {
    const stale = packet({ destination: '10.5.45.2', payload: 'SECRET12' });
    const [answer] = await answersTo([stale, packet({ destination: '10.5.250.9' })]);
    expect(
      Buffer.from(answer ?? [])
        .subarray(48)
        .toString(),
    ).toBe('SECRET12');
  });

  test('no answers about ICMP, later fragments, headers of 60 bytes', async () => {
    const destination = '10.5.250.9';
    const quiet = [
      packet({ destination, protocol: PROTOCOL.icmp, payload: '12345678' }),
      packet({ destination, fragmentOffset: 1480, payload: '12345678' }),
      packet({ destination, optionWords: 10, payload: '12345678' }),
    ];
    expect(await answersTo(quiet)).toEqual([]);
    expect(await answersTo([packet({ destination, optionWords: 9, payload: '12345678' })])).toHaveLength(1);
  });

  test('whatever arrives goes in: any sender, any addresses; more than the MTU is cut', async () => {
    const spoofed = packet({ source: '8.8.8.8', destination: '9.9.9.9', payload: 'x' });
    const long = packet({ source: '10.5.45.2', destination: '10.5.21.2', payload: 'y'.repeat(1600) });
    const capture = await startCapture(lab, host, 'flannel0', 'src host 8.8.8.8 or src host 10.5.45.2');
    const send = [process.execPath, tool('udp-send.mjs'), '172.31.0.2', '4444', host.address, String(PORT)];
    await lab.exec(lab.host(1), send, { input: `${hex(spoofed)}\n${hex(long)}\n` });
    await waitFor(() => capture.packets().length === 2, 10_000, 'both packets on the device');
    const [first = new Uint8Array(), second = new Uint8Array()] = await capture.stop();
    expect([sourceOf(first), first[8]]).toEqual(['8.8.8.8', 63]);
    expect(second).toHaveLength(MTU_BYTES);
  });
});

describe('control plane', () => {
  let lab: Lab;
  let peers: LabProcess[];
  beforeAll(async () => {
    lab = await createLab();
    peers = (await formNetwork(lab, ['model peer', 'model peer'], ['--ip-masq'])).daemons;
  }, 60_000);
  afterAll(() => lab?.close());

  test('carries a TCP connection', { timeout: 30_000 }, async () => {
    const server = lab.spawn(lab.container(1), ['iperf3', '-s', '-1', '--forceflush']);
    await waitFor(() => server.stdout().includes('listening'), 5000, 'iperf3 server');
    const { stdout } = await lab.exec(lab.container(0), [
      'iperf3',
      '-c',
      lab.container(1).address ?? '',
      '-t',
      '1',
      '-J',
    ]);
    expect(JSON.parse(stdout).end.sum_received.bytes).toBeGreaterThan(1_000_000);
  });

  test('of three leases put in one transaction it sees the first', { timeout: 30_000 }, async () => {
    // etcdctl reads values in double quotes, with escapes.
    const value = JSON.stringify('{"PublicIP":"172.31.0.9","PublicIPv6":null}');
    const put = (n: number) => `put ${ETCD_PREFIX}/subnets/10.5.20${n}.0-24 ${value}`;
    const place = { namespace: lab.topology.etcdNamespace };
    const transaction = ['etcdctl', '--endpoints', lab.etcdEndpoint, 'txn'];
    const input = `\n${[1, 2, 3].map(put).join('\n')}\n\n\n`;
    await lab.exec(place, transaction, { input, env: { ETCDCTL_API: '3' } });
    const [peer] = peers;
    const seen = () => peer?.stderr().match(/Subnet added: 10\.5\.20[0-9]\.0/g) ?? [];
    await waitFor(() => seen().length > 0, 5_000, 'the first of three');
    // A later event that is seen says that the other two never will be.
    await lab.etcdctl('put', `${ETCD_PREFIX}/subnets/10.5.204.0-24`, '{"PublicIP":"172.31.0.9","PublicIPv6":null}');
    await waitFor(() => seen().some((line) => line.includes('204')), 5_000, 'the later one');
    expect(seen().map((line) => line.slice(-7))).toEqual(['5.201.0', '5.204.0']);
  });

  test('a reservation is not kept: its key gets a lease', { timeout: 30_000 }, async () => {
    const late = await createLab({ hostCount: 1 });
    try {
      const key = `${ETCD_PREFIX}/subnets/10.5.66.0-24`;
      await late.etcdctl('put', key, '{"PublicIP":"172.31.0.1","PublicIPv6":null}');
      await late.joinContainers(late.host(0), late.startModelPeer(late.host(0)));
      const { kvs } = JSON.parse(await late.etcdctl('get', key, '--write-out=json'));
      expect(kvs[0].lease).toBeGreaterThan(0);
    } finally {
      await late.close();
    }
  });

  test('SIGTERM is a panic: exit status 2; so is losing the lease', { timeout: 30_000 }, async () => {
    expect(await peers[0]?.stop('SIGTERM')).toEqual({ status: 2, signal: undefined });
    const own = /Lease acquired: ([0-9.]+)/.exec(peers[1]?.stderr() ?? '')?.[1];
    await lab.etcdctl('del', `${ETCD_PREFIX}/subnets/${own}-24`);
    expect(await peers[1]?.exited).toEqual({ status: 2, signal: undefined });
  });
});
