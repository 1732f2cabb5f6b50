/** The same rules over what a real kernel says. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ExternalInterface, ExternalInterfaceOptions } from '../../src/external-interface/external-interface.ts';
import { formatAddress } from '../../src/ip/ip.ts';
import { type Child, createNamespace, type Namespace } from '../rtnetlink/namespace.ts';
import { net } from './view.ts';

let namespace: Namespace;
let child: Child;

beforeAll(() => {
  namespace = createNamespace();
  namespace.ip(`
    link set lo up
    link add eth0 type veth peer name far0
    link add eth1 mtu 9000 type veth peer name far1
    link add docker0 type bridge
    link set far0 up
    link set far1 up
    addr add 169.254.7.7/16 dev eth0
    addr add 172.31.0.1/24 dev eth0
    addr add 192.168.7.1/24 dev eth1 valid_lft 1000 preferred_lft 0
    addr add 192.168.7.2/24 dev eth1 valid_lft 1000 preferred_lft 900
    addr add 10.5.21.1/24 dev docker0
    link set eth0 up
    link set eth1 up
    link set docker0 up
    route add default via 172.31.0.250
    route add 198.51.100.0/24 via 192.168.7.250 src 192.168.7.2
    tuntap add dev flannel0 mode tun
    addr add 10.5.21.0/32 dev flannel0
    link set flannel0 up
    route add 10.5.0.0/16 dev flannel0`);
  child = namespace.child(new URL('host-child.ts', import.meta.url));
});

afterAll(() => namespace?.close());

async function choose(options: Partial<ExternalInterfaceOptions>) {
  const chosen = (await child.call('select', { iface: [], ifaceRegex: [], ...options })) as ExternalInterface;
  return { name: chosen.name, mtuBytes: chosen.mtuBytes, address: formatAddress(chosen.address) };
}

const ETH0 = { name: 'eth0', mtuBytes: 1500, address: '172.31.0.1' };
const ETH1 = { name: 'eth1', mtuBytes: 9000, address: '192.168.7.2' };

describe('a real host', () => {
  it.each<[Partial<ExternalInterfaceOptions>, typeof ETH0]>([
    [{}, ETH0],
    [{ iface: ['eth1'] }, ETH1],
    [{ iface: ['169.254.7.7'] }, { ...ETH0, address: '169.254.7.7' }],
    [{ ifaceRegex: ['^192\\.168'] }, ETH1],
    [{ ifaceRegex: ['th1$'] }, ETH1],
    [{ ifaceCanReach: '198.51.100.9' }, ETH1],
    [{ ifaceCanReach: '172.31.0.77' }, ETH0],
    [{ ifaceCanReach: '172.31.0.1' }, ETH0],
    [{ publicIp: '192.168.7.2' }, ETH1],
  ])('%j', async (options, expected) => {
    expect(await choose(options)).toEqual(expected);
  });

  it('overlaps with what is its own, not with containers and our device', async () => {
    const context = { ownDevices: ['flannel0'], externalInterface: 'eth0' };
    expect(await child.call('overlap', net('10.5.0.0/16'), context)).toBeUndefined();
    expect(await child.call('overlap', net('172.31.0.0/16'), context)).toMatchObject({ device: 'eth0' });
    expect(await child.call('overlap', net('198.51.0.0/16'), context)).toMatchObject({ kind: 'route', device: 'eth1' });
    expect(await child.call('overlap', net('10.5.21.0/24'), context)).toMatchObject({ device: 'docker0' });
    namespace.ip('route add 10.5.45.0/24 via 172.31.0.2');
    expect(await child.call('overlap', net('10.5.0.0/16'), context)).toMatchObject({ kind: 'route', device: 'eth0' });
  });

  it('has no way out once the default route has gone', async () => {
    namespace.ip('route del default');
    await expect(child.call('select', { iface: [], ifaceRegex: [] })).rejects.toMatchObject({ exit: 'host' });
    await expect(child.call('select', { iface: [], ifaceRegex: [], ifaceCanReach: '8.8.8.8' })).rejects.toMatchObject({
      exit: 'host',
      message: expect.stringContaining('the host has no route to it'),
    });
  });
});
