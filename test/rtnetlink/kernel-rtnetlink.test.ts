/** The real kernel, with `ip -j` as the second opinion. */
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { formatAddress, formatPrefix, type IpAddress, parseAddress, parsePrefix } from '../../src/ip/ip.ts';
import type { Address, Link, Route, RouteNextHop } from '../../src/rtnetlink/rtnetlink.ts';
import { type Child, createNamespace, type Namespace } from './namespace.ts';

/**
 *   br0 ── v0 ═══ v1      d0 ═══ d0p      tq: tun, persistent, 2 and more queues      tp: tap, persistent
 */
const SETUP = `
  link set lo up
  link add br0 type bridge
  link add v0 type veth peer name v1
  link add d0 type veth peer name d0p
  link set v0 master br0 up
  link set v1 mtu 1400 txqueuelen 77
  link set d0p up
  link set d0 up alias under-lay
  tuntap add dev tq mode tun multi_queue vnet_hdr pi
  tuntap add dev tp mode tap
  addr add 10.1.0.1/24 dev d0
  addr add 10.1.0.2/24 dev d0
  addr add 10.2.0.1 peer 10.2.0.9/32 dev d0 label d0:x
  addr add 169.254.3.1/16 dev d0 scope link valid_lft 1000 preferred_lft 0
  addr add 10.3.0.1/24 dev d0 valid_lft 1000 preferred_lft 900
  addr add fd00:1::1/64 dev d0 nodad preferred_lft 0 valid_lft 500
  addr add fd00:1::2/64 dev d0 nodad
  route add 10.9.0.0/16 via 10.1.0.77 dev d0 metric 100 src 10.1.0.2 mtu lock 1300 advmss 1200 proto static
  route add default nexthop via 10.1.0.3 dev d0 weight 3 nexthop via 10.2.0.9 dev d0 weight 1
  route add blackhole 10.66.0.0/16
  route add unreachable 10.67.0.0/16
  route add 10.7.0.0/16 via inet6 fe80::1 dev d0
  route add 10.8.0.0/16 via 99.9.9.9 dev d0 onlink table 1000 tos 0x10
  route add fd00:5::/32 via fd00:1::3 dev d0
  route add fd00:6::/64 metric 7 nexthop via fd00:1::3 dev d0 weight 2 nexthop via fd00:1::4 dev d0
`;

let namespace: Namespace;
let child: Child;
const links = async () => (await child.call('links')) as Link[];
const addresses = async () => (await child.call('addresses')) as Address[];
const routes = async (...args: [4 | 6, number?]) => (await child.call('routes', ...args)) as Route[];
const linkNamed = async (name: string) => {
  const link = (await links()).find((each) => each.name === name);
  if (link === undefined) throw new Error(`no link ${name}`);
  return link;
};
const address = (text: string): IpAddress => {
  const parsed = parseAddress(text);
  if (parsed === undefined) throw new Error(text);
  return parsed;
};
const prefix = (text: string) => {
  const parsed = parsePrefix(text);
  if (parsed === undefined) throw new Error(text);
  return parsed;
};

beforeAll(() => {
  namespace = createNamespace();
  namespace.ip(SETUP);
  child = namespace.child(new URL('kernel-child.ts', import.meta.url));
});

afterAll(() => namespace?.close());

interface IpLink {
  ifindex: number;
  ifname: string;
  flags: string[];
  mtu: number;
  txqlen?: number;
  operstate: string;
  master?: string;
  ifalias?: string;
  inet6_addr_gen_mode?: string;
  linkinfo?: { info_kind?: string; info_data?: Record<string, unknown> };
}

function tunOf(data: Record<string, unknown>) {
  return {
    type: data.type,
    packetInfo: data.pi,
    vnetHeader: data.vnet_hdr,
    persistent: data.persist,
    multiQueue: data.multi_queue,
    ...('numqueues' in data && { queues: data.numqueues }),
  };
}

describe('reading', () => {
  it('links', async () => {
    // The carrier of a new veth settles on a work queue: two readings in a row may differ.
    await vi.waitFor(async () => {
      const expected = (namespace.ipJson('-d', 'link') as IpLink[]).map((each) => ({
        index: each.ifindex,
        name: each.ifname,
        mtuBytes: each.mtu,
        txQueueLength: each.txqlen ?? 0,
        up: each.flags.includes('UP'),
        lowerUp: each.flags.includes('LOWER_UP'),
        loopback: each.flags.includes('LOOPBACK'),
        operState: each.operstate.toLowerCase(),
        kind: each.linkinfo?.info_kind,
        tun: each.linkinfo?.info_kind === 'tun' ? tunOf(each.linkinfo.info_data ?? {}) : undefined,
        alias: each.ifalias,
        masterName: each.master,
        ipv6AddressGeneration: each.inet6_addr_gen_mode,
      }));
      const seen = await links();
      const actual = seen.map(({ master, acceptLocal: _a, ipv6Enabled: _b, ...rest }) => ({
        ...rest,
        masterName: seen.find((each) => each.index === master)?.name,
      }));
      expect(actual.length).toBeGreaterThanOrEqual(8);
      expect(actual).toEqual(expected);
    });
  });

  it('the IPv4 and IPv6 settings of a link', async () => {
    const conf = (family: string, name: string, key: string) =>
      namespace.run('cat', `/proc/sys/net/${family}/conf/${name}/${key}`).trim();
    namespace.run('sh', '-c', 'echo 1 > /proc/sys/net/ipv4/conf/v1/accept_local');
    namespace.run('sh', '-c', 'echo 1 > /proc/sys/net/ipv6/conf/v1/disable_ipv6');
    for (const link of await links()) {
      expect(link.acceptLocal, link.name).toBe(conf('ipv4', link.name, 'accept_local') === '1');
      expect(link.ipv6Enabled, link.name).toBe(conf('ipv6', link.name, 'disable_ipv6') === '0');
    }
    expect(await linkNamed('v1')).toMatchObject({ acceptLocal: true, ipv6Enabled: false });
  });

  it('addresses', async () => {
    interface IpAddr {
      ifindex: number;
      addr_info: Record<string, unknown>[];
    }
    const SCOPES: Record<string, number> = { global: 0, link: 253, host: 254 };
    const ofLink = ({ ifindex, addr_info }: IpAddr) => addr_info.map((each) => ({ ifindex, each }));
    const expected = (namespace.ipJson('addr') as IpAddr[]).flatMap(ofLink).map(({ ifindex, each }) => ({
      index: ifindex,
      address: each.local,
      prefixLength: each.prefixlen,
      peer: each.address,
      scope: SCOPES[String(each.scope)],
      label: each.label,
      permanent: each.dynamic !== true,
      deprecated: each.deprecated === true,
      temporary: each.temporary === true,
      secondary: each.secondary === true,
    }));
    const actual = (await addresses()).map(({ tentative: _tentative, ...each }) => ({
      ...each,
      address: formatAddress(each.address),
      peer: each.peer && formatAddress(each.peer),
    }));
    const order = (list: readonly { index: number; address: unknown }[]) =>
      [...list].sort((a, b) => `${a.index} ${a.address}`.localeCompare(`${b.index} ${b.address}`));
    expect(actual.length).toBeGreaterThanOrEqual(9);
    expect(order(actual)).toEqual(order(expected));
  });

  it.each([4, 6] as const)('IPv%s routes of every table', async (family) => {
    const names = new Map((await links()).map((link) => [link.index, link.name]));
    const expected = namespace.ipJson('-N', '-d', `-${family}`, 'route', 'show', 'table', 'all') as IpRoute[];
    const actual = (await routes(family)).map((each) => comparable(each, names));
    expect(actual.length).toBeGreaterThanOrEqual(10);
    expect(actual).toEqual(expected.map((each) => comparableIp(each, family)));
  });

  it('routes of one table', async () => {
    expect((await routes(4, 1000)).map((each) => formatPrefix(each.destination))).toEqual(['10.8.0.0/16']);
    expect((await routes(4, 77777)).length).toBe(0);
  });

  it('a table that takes many datagrams', async () => {
    const lines = Array.from(
      { length: 3000 },
      (_, i) => `route add 10.${200 + (i >> 8)}.${i & 255}.0/24 dev d0 table 5000`,
    );
    namespace.run('sh', '-c', `printf '%s' '${lines.join('\n')}' | ip -batch -`);
    const seen = (await routes(4, 5000)).map((each) => formatPrefix(each.destination));
    expect(new Set(seen)).toEqual(new Set(lines.map((line) => line.split(' ')[2])));
    expect(seen.length).toBe(3000);
    namespace.ip('route flush table 5000');
  });

  it('the way to an address', async () => {
    for (const target of ['10.9.3.4', '10.7.1.1', '10.1.0.200', 'fd00:5::7']) {
      const [expected] = namespace.ipJson('route', 'get', target) as IpRoute[];
      const route = (await child.call('routeTo', address(target))) as Route;
      const gateway = route.nextHops[0]?.gateway;
      expect({
        device: (await links()).find((link) => link.index === route.nextHops[0]?.index)?.name,
        gateway: gateway && formatAddress(gateway),
        source: route.preferredSource && formatAddress(route.preferredSource),
      }).toEqual({
        device: expected?.dev,
        gateway: expected?.gateway ?? expected?.via?.host,
        source: expected?.prefsrc,
      });
    }
    expect((await child.call('routeTo', address('10.1.0.1'))) as Route).toMatchObject({ type: 2 });
    expect(await child.call('routeTo', address('10.67.0.1'))).toBeUndefined();
    expect(await child.call('routeTo', address('2001:db8::1'))).toBeUndefined();
  });
});

interface IpRoute {
  type?: string;
  dst: string;
  dev?: string;
  tos?: string;
  gateway?: string;
  via?: { host: string };
  table: string;
  protocol: string;
  scope: string;
  metric?: number;
  prefsrc?: string;
  flags: string[];
  nexthops?: (Pick<IpRoute, 'gateway' | 'via' | 'dev' | 'flags'> & { weight: number })[];
  metrics?: { mtu?: number; advmss?: number }[];
}

function comparableIp(route: IpRoute, family: 4 | 6) {
  const hop = (each: Pick<IpRoute, 'gateway' | 'via' | 'dev' | 'flags'>, weight: number) => ({
    device: each.dev,
    gateway: each.gateway ?? each.via?.host,
    weight,
    onlink: each.flags.includes('onlink'),
  });
  const single = route.dev === undefined ? [] : [hop(route, 1)];
  return {
    destination: route.dst === 'default' ? `${family === 4 ? '0.0.0.0' : '::'}/0` : withLength(route.dst, family),
    table: Number(route.table),
    type: Number(route.type),
    scope: Number(route.scope),
    protocol: Number(route.protocol),
    typeOfService: Number(route.tos ?? 0),
    priority: route.metric ?? 0,
    source: route.prefsrc,
    nextHops: route.nexthops?.map((each) => hop(each, each.weight)) ?? single,
    mtu: route.metrics?.[0]?.mtu,
    advmss: route.metrics?.[0]?.advmss,
  };
}

function withLength(text: string, family: 4 | 6): string {
  return text.includes('/') ? text : `${text}/${family === 4 ? 32 : 128}`;
}

function comparable(route: Route, names: ReadonlyMap<number, string>) {
  const hop = (each: RouteNextHop) => ({
    device: names.get(each.index ?? 0),
    gateway: each.gateway && formatAddress(each.gateway),
    weight: each.weight,
    onlink: each.onlink,
  });
  return {
    destination: formatPrefix(route.destination),
    table: route.table,
    type: route.type,
    scope: route.scope,
    protocol: route.protocol,
    typeOfService: route.typeOfService,
    priority: route.priority,
    source: route.preferredSource && formatAddress(route.preferredSource),
    nextHops: route.nextHops.map(hop),
    mtu: route.metrics?.mtuBytes,
    advmss: route.metrics?.advertisedMssBytes,
  };
}

describe('changing', () => {
  it('a link', async () => {
    const { index } = await linkNamed('tp');
    await child.call('setLink', {
      index,
      mtuBytes: 1472,
      txQueueLength: 123,
      alias: 'ours',
      acceptLocal: true,
      up: true,
    });
    expect(namespace.ipJson('link', 'show', 'tp')).toMatchObject([{ mtu: 1472, txqlen: 123, ifalias: 'ours' }]);
    expect(await linkNamed('tp')).toMatchObject({ acceptLocal: true, up: true });
    expect(namespace.run('cat', '/proc/sys/net/ipv4/conf/tp/accept_local').trim()).toBe('1');
    await child.call('setLink', { index, up: false, acceptLocal: false });
    expect(await linkNamed('tp')).toMatchObject({ acceptLocal: false, up: false, mtuBytes: 1472, alias: 'ours' });
    await child.call('setLink', { index, ipv6AddressGeneration: 'none' });
    expect(namespace.ipJson('-d', 'link', 'show', 'tp')).toMatchObject([{ inet6_addr_gen_mode: 'none' }]);
    await expect(child.call('setLink', { index: 99999, up: true })).rejects.toMatchObject({ code: 'ENODEV' });
    await expect(child.call('setLink', { index, mtuBytes: 1 })).rejects.toMatchObject({ code: 'EINVAL' });
    await child.call('deleteLink', index);
    await expect(child.call('deleteLink', index)).rejects.toMatchObject({ code: 'ENODEV' });
  });

  it.each([
    ['10.44.0.1', 32],
    ['fd00:44::1', 64],
  ])('address %s/%d', async (text, prefixLength) => {
    const { index } = await linkNamed('d0');
    const spec = { index, address: address(text), prefixLength };
    const has = () => namespace.run('ip', 'addr', 'show', 'd0').includes(`${text}/${prefixLength} `);
    await child.call('addAddress', spec);
    expect(has()).toBe(true);
    await expect(child.call('addAddress', spec)).rejects.toMatchObject({ code: 'EEXIST' });
    await child.call('deleteAddress', spec);
    expect(has()).toBe(false);
    await expect(child.call('deleteAddress', spec)).rejects.toMatchObject({ code: 'EADDRNOTAVAIL' });
  });

  it('a route', async () => {
    const { index } = await linkNamed('d0');
    const hop = { index, weight: 1, onlink: false, dead: false };
    const route = { destination: prefix('10.5.0.0/16'), nextHops: [hop] };
    const show = () => namespace.run('ip', 'route', 'show', '10.5.0.0/16').trim();
    await child.call('addRoute', route);
    expect(show()).toBe('10.5.0.0/16 dev d0');
    await expect(child.call('addRoute', route)).rejects.toMatchObject({ code: 'EEXIST' });
    await child.call('replaceRoute', { ...route, nextHops: [{ ...hop, gateway: address('10.1.0.9') }], protocol: 4 });
    expect(show()).toBe('10.5.0.0/16 via 10.1.0.9 dev d0 proto static');
    await child.call('deleteRoute', { destination: route.destination, protocol: 4 });
    expect(show()).toBe('');
    await expect(child.call('deleteRoute', route)).rejects.toMatchObject({ code: 'ESRCH' });
    await expect(child.call('addRoute', { ...route, nextHops: [{ ...hop, index: 99999 }] })).rejects.toMatchObject({
      code: 'ENODEV',
    });
  });

  it('a route with everything', async () => {
    const { index } = await linkNamed('d0');
    const wanted: Route = {
      destination: prefix('10.6.0.0/16'),
      table: 4242,
      type: 1,
      scope: 0,
      protocol: 99,
      typeOfService: 8,
      priority: 55,
      preferredSource: address('10.1.0.2'),
      nextHops: [
        { index, gateway: address('10.1.0.7'), weight: 5, onlink: false, dead: false },
        { index, gateway: address('192.0.2.1'), weight: 256, onlink: true, dead: false },
        { index, gateway: address('fe80::7'), weight: 1, onlink: false, dead: false },
      ],
      metrics: { mtuBytes: 1280, mtuLocked: true, advertisedMssBytes: 1000 },
    };
    await child.call('addRoute', wanted);
    expect(await routes(4, 4242)).toEqual([wanted]);
    await child.call('deleteRoute', wanted);
    expect(await routes(4, 4242)).toEqual([]);
  });
});
