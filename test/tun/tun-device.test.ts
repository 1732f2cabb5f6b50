/** The device on the real kernel, in a namespace, with `ip` as the second opinion. */
import { readFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { TUN_ALIAS } from '../../src/tun/tun.ts';
import { type Child, createNamespace, type Namespace } from '../rtnetlink/namespace.ts';
import { DESIRED } from './device.ts';

let namespace: Namespace;
let child: Child;
const CHILD = new URL('tun-child.ts', import.meta.url);

beforeEach(() => {
  namespace = createNamespace();
  namespace.ip(`
    link set lo up
    link add eth0 type veth peer name peer0
    link set peer0 up
    addr add 172.31.0.1/24 dev eth0
    link set eth0 up`);
  child = namespace.child(CHILD);
});

afterEach(() => namespace.close());

const routesOf = (device: string) => namespace.run('ip', 'route', 'show', 'dev', device).trim();
const sysctl = (path: string) => namespace.run('cat', `/proc/sys/net/${path}`).trim();
const devices = () => (namespace.ipJson('link') as { ifname: string }[]).map((each) => each.ifname);

interface LinkDetails {
  linkinfo: { info_data: Record<string, unknown> };
  flags: string[];
  num_tx_queues: number;
}
const details = () => (namespace.ipJson('-d', 'link', 'show', 'flannel0') as LinkDetails[])[0];

/** `ip -d addr show` without what differs from host to host: index, IPv6 (off here), our alias. */
function normalise(text: string): string {
  const lines = text.split('\n').map((line) => line.trimEnd());
  const start = lines.findIndex((line) => line.includes('flannel0:'));
  const body = lines
    .slice(start)
    .filter((line, i, all) => !/inet6|alias/.test(line) && !/inet6/.test(all[i - 1] ?? ''));
  const end = body.findIndex((line) => line.includes('valid_lft'));
  return body
    .slice(0, end + 1)
    .join('\n')
    .replace(/^\d+: /, '');
}

describe('the device', () => {
  it('looks as the real flanneld makes it', async () => {
    const golden = readFileSync(new URL('../golden/udp/ip-h1.txt', import.meta.url), 'utf8');
    await child.call('open', DESIRED);
    expect(normalise(namespace.run('ip', '-d', 'addr', 'show', 'flannel0'))).toBe(normalise(golden));
    const routeLine = golden.split('\n').find((line) => line.startsWith('10.5.0.0/16'));
    expect(namespace.run('ip', 'route').split('\n')).toContain(routeLine);
    expect(await child.call('log')).toEqual([]);
  });

  it('is marked, silent and takes packets from its own address', async () => {
    await child.call('open', DESIRED);
    expect(namespace.ipJson('link', 'show', 'flannel0')).toMatchObject([{ ifalias: TUN_ALIAS, txqlen: 500 }]);
    expect(sysctl('ipv4/conf/flannel0/accept_local')).toBe('1');
    expect(sysctl('ipv6/conf/flannel0/disable_ipv6')).toBe('1');
    expect(sysctl('ipv4/conf/eth0/accept_local')).toBe('0');
    expect(sysctl('ipv6/conf/eth0/disable_ipv6')).toBe('0');
  });

  it.each([
    ['with IPv6 off', false],
    ['where /proc/sys cannot be written', true],
  ])('gets no packet from the kernel by itself: %s', async (_how, sysctlFails) => {
    await child.call('open', DESIRED, sysctlFails);
    // Another device, as the kernel treats it by default, came up later and has its packets: then ours had the time.
    const control = await child.call('openBare', 'control0');
    namespace.ip('link set control0 up');
    await vi.waitFor(async () => expect(await child.call('drain', control)).toBeGreaterThan(0), { timeout: 15_000 });
    expect(await child.call('drain')).toBe(0);
    expect(namespace.run('ip', '-6', 'addr', 'show', 'flannel0')).toBe('');
    expect(namespace.run('ip', '-6', 'addr', 'show', 'control0')).toContain('fe80:');
  });

  it('has a queue for each worker', async () => {
    expect(await child.call('open', { ...DESIRED, queues: 3 })).toMatchObject({ fds: 3 });
    expect(details()?.linkinfo.info_data).toMatchObject({ multi_queue: true, numqueues: 3, persist: false });
  });

  it('goes with its descriptors, address and route', async () => {
    await child.call('open', { ...DESIRED, queues: 2 });
    await child.call('close');
    expect(devices()).toEqual(['lo', 'peer0', 'eth0']);
    expect(namespace.run('ip', 'route')).not.toContain('10.5.');
    await child.call('close');
    expect(await child.call('open', DESIRED)).toMatchObject({ fds: 1 });
  });

  it('goes when the process is killed', async () => {
    await child.call('open', DESIRED);
    await child.kill();
    await vi.waitFor(() => expect(devices()).not.toContain('flannel0'));
  });
});

describe('repair', () => {
  it('finds nothing to do, then mends whatever was broken', async () => {
    await child.call('open', DESIRED);
    expect(await child.call('repair')).toBe(0);
    namespace.ip('link set flannel0 down');
    expect(routesOf('flannel0')).toBe('');
    expect(await child.call('repair')).toBe(2);
    namespace.ip(`
      link set flannel0 mtu 1300 txqueuelen 7
      addr add 10.5.99.1/24 dev flannel0
      addr del 10.5.21.0/32 dev flannel0
      route replace 10.5.0.0/16 dev flannel0 scope link`);
    await child.call('repair');
    expect(routesOf('flannel0')).toBe('10.5.0.0/16');
    expect(namespace.ipJson('addr', 'show', 'flannel0')).toMatchObject([
      { mtu: 1472, txqlen: 500, addr_info: [{ local: '10.5.21.0', prefixlen: 32 }] },
    ]);
    expect(await child.call('repair')).toBe(0);
  });

  it('says so where the device was deleted, and leaves its successor alone', async () => {
    await child.call('open', DESIRED);
    namespace.ip('link del flannel0');
    await expect(child.call('repair')).rejects.toMatchObject({ exit: 'host', message: /has gone/ });
    namespace.ip('link add flannel0 type bridge');
    await expect(child.call('repair')).rejects.toMatchObject({ exit: 'host' });
    await child.call('close');
    expect(devices()).toContain('flannel0');
    expect(namespace.ipJson('addr', 'show', 'flannel0')).toMatchObject([{ addr_info: [] }]);
  });
});

describe('a name that is taken', () => {
  it.each([
    ['link add flannel0 type bridge', /kind bridge/],
    ['link add flannel0 type veth peer name x', /kind veth/],
    ['tuntap add dev flannel0 mode tap', /tap device/],
    ['tuntap add dev flannel0 mode tun', /persistent tun device that is not ours/],
    ['tuntap add dev flannel0 mode tun multi_queue', /persistent tun device that is not ours/],
  ])('is refused: %s', async (command, message) => {
    namespace.ip(command);
    const before = namespace.run('ip', '-d', 'link', 'show', 'flannel0');
    await expect(child.call('open', DESIRED)).rejects.toMatchObject({ exit: 'busy', message });
    await expect(child.call('open', { ...DESIRED, queues: 2 })).rejects.toMatchObject({ exit: 'busy', message });
    expect(namespace.run('ip', '-d', 'link', 'show', 'flannel0')).toBe(before);
  });

  it.each([1, 2])('is refused while another process holds it (%d queues)', async (queues) => {
    const other = namespace.child(CHILD);
    await other.call('open', { ...DESIRED, queues });
    const failure = { exit: 'busy', message: /another process holds/ };
    await expect(child.call('open', { ...DESIRED, queues })).rejects.toMatchObject(failure);
    expect(routesOf('flannel0')).toBe('10.5.0.0/16');
    await other.kill();
    await vi.waitFor(() => expect(devices()).not.toContain('flannel0'));
    await child.call('open', { ...DESIRED, queues });
  });

  it.each([
    ['taken over', 'tun', 1],
    ['taken over, multi-queue', 'tun multi_queue', 2],
    ['replaced where the queue mode differs', 'tun multi_queue', 1],
    ['replaced where the queue mode differs', 'tun', 2],
  ])('is ours: %s', async (_how, mode, queues) => {
    namespace.ip(`tuntap add dev flannel0 mode ${mode}`);
    namespace.run('ip', 'link', 'set', 'flannel0', 'alias', TUN_ALIAS);
    namespace.ip(`
      addr add 10.5.77.0/32 dev flannel0
      link set flannel0 up
      route add 10.5.0.0/16 dev flannel0`);
    await child.call('open', { ...DESIRED, queues });
    expect(routesOf('flannel0')).toBe('10.5.0.0/16');
    expect(namespace.ipJson('addr', 'show', 'flannel0')).toMatchObject([
      { mtu: 1472, addr_info: [{ local: '10.5.21.0', prefixlen: 32 }] },
    ]);
    expect(details()?.linkinfo.info_data.multi_queue).toBe(queues > 1);
    expect(details()?.flags).toContain('LOWER_UP');
    expect(await child.call('log')).toHaveLength(1);
    await child.call('close');
    expect(devices()).not.toContain('flannel0');
  });
});

describe('a start that fails', () => {
  it.each([
    'route add 10.5.0.0/16 dev eth0',
    'route add 10.5.0.0/16 via 172.31.0.9 dev eth0 metric 100',
    'route add blackhole 10.5.0.0/16',
  ])('leaves nothing: %s', async (command) => {
    namespace.ip(command);
    await expect(child.call('open', DESIRED)).rejects.toMatchObject({ exit: 'host', message: /10\.5\.0\.0\/16/ });
    expect(devices()).not.toContain('flannel0');
  });

  it('leaves nothing where the kernel refuses the MTU', async () => {
    const failure = { exit: 'host', message: /mtuBytes 60 on device flannel0/ };
    await expect(child.call('open', { ...DESIRED, mtuBytes: 60 })).rejects.toMatchObject(failure);
    expect(devices()).not.toContain('flannel0');
  });

  it('needs no writable /proc/sys', async () => {
    await child.call('open', DESIRED, true);
    expect(await child.call('log')).toEqual([]);
    expect(namespace.ipJson('-d', 'link', 'show', 'flannel0')).toMatchObject([{ inet6_addr_gen_mode: 'none' }]);
    expect(sysctl('ipv4/conf/flannel0/accept_local')).toBe('1');
    expect(routesOf('flannel0')).toBe('10.5.0.0/16');
    expect(await child.call('repair')).toBe(0);
  });
});
