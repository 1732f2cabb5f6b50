import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { OperatorError } from '../../src/errors/errors.ts';
import {
  type ExternalInterfaceOptions,
  selectExternalInterface,
} from '../../src/external-interface/external-interface.ts';
import type { NetworkView } from '../../src/external-interface/network-view.ts';
import { formatAddress } from '../../src/ip/ip.ts';
import { sketch } from './view.ts';

const HOST = sketch(
  [
    { name: 'lo', mtuBytes: 65536, addresses: ['127.0.0.1/8', '::1/128'] },
    { name: 'eth0', addresses: ['172.31.0.1/24', '172.31.0.9/24 secondary', 'fd00::1/64'] },
    { name: 'eth1', mtuBytes: 9000, addresses: ['192.168.7.1/24'] },
    { name: 'docker0', kind: 'bridge', addresses: ['172.17.0.1/16'] },
    { name: 'eth2' },
    { name: 'zero', mtuBytes: 0, addresses: ['192.168.8.1/24'] },
  ],
  [
    { to: '0.0.0.0/0', hops: ['eth0 via 172.31.0.250'] },
    { to: '198.51.100.0/24', hops: ['eth1 via 192.168.7.250'], source: '192.168.7.1' },
    { to: '172.31.0.1/32', hops: ['lo'], type: 2 },
  ],
);

function choose(options: Partial<ExternalInterfaceOptions>, view: NetworkView = HOST) {
  const chosen = selectExternalInterface(view, { iface: [], ifaceRegex: [], ...options });
  return { ...chosen, address: formatAddress(chosen.address), publicIp: formatAddress(chosen.publicIp) };
}

function failure(options: Partial<ExternalInterfaceOptions>, view: NetworkView = HOST): OperatorError {
  try {
    choose(options, view);
  } catch (error) {
    if (error instanceof OperatorError) return error;
    throw error;
  }
  throw new Error('an interface was found');
}

describe('without flags', () => {
  it('takes the interface of the default route', () => {
    expect(choose({})).toEqual({
      name: 'eth0',
      index: 2,
      mtuBytes: 1500,
      address: '172.31.0.1',
      publicIp: '172.31.0.1',
      selectedBy: 'default route',
      rejected: [],
    });
  });

  it('takes the default route of the lowest metric, whatever the order', () => {
    const links = [
      { name: 'a', addresses: ['10.0.0.1/24'] },
      { name: 'b', addresses: ['10.1.0.1/24'] },
    ];
    const routes = [
      { to: '0.0.0.0/0', hops: ['a via 10.0.0.9'], priority: 600 },
      { to: '0.0.0.0/0', hops: ['b via 10.1.0.9'], priority: 100 },
    ];
    expect(choose({}, sketch(links, routes)).name).toBe('b');
  });

  it('passes over default routes that refuse', () => {
    const routes = [
      { to: '0.0.0.0/0', hops: [], type: 7 },
      { to: '0.0.0.0/0', hops: ['a via 10.0.0.9'], priority: 5 },
    ];
    expect(choose({}, sketch([{ name: 'a', addresses: ['10.0.0.1/24'] }], routes)).name).toBe('a');
  });

  it('reads a multipath default route over one interface, and refuses one over several', () => {
    const links = [
      { name: 'a', addresses: ['10.0.0.1/24'] },
      { name: 'b', addresses: ['10.1.0.1/24'] },
    ];
    const over = (...hops: string[]) => sketch(links, [{ to: '0.0.0.0/0', hops }]);
    expect(choose({}, over('a via 10.0.0.8', 'a via 10.0.0.9')).name).toBe('a');
    const error = failure({}, over('a via 10.0.0.8', 'b via 10.1.0.9'));
    expect(error.exit).toBe('host');
    expect(error.message).toContain('several interfaces (a, b)');
    expect(error.message).toContain('--iface');
  });

  it('says so where there is no default route', () => {
    const error = failure({}, sketch([{ name: 'a', addresses: ['10.0.0.1/24'] }, { name: 'b' }]));
    expect(error.exit).toBe('host');
    expect(error.message).toBe(
      'no external interface found: default route: the host has no IPv4 default route; name the interface with ' +
        '--iface. The host has a (10.0.0.1), b (no IPv4 address)',
    );
  });
});

describe('--iface', () => {
  it('finds a name', () => {
    expect(choose({ iface: ['eth1'] })).toMatchObject({ name: 'eth1', mtuBytes: 9000, address: '192.168.7.1' });
  });

  it('finds the owner of an address and binds to that address', () => {
    expect(choose({ iface: ['172.31.0.9'] })).toMatchObject({ name: 'eth0', address: '172.31.0.9' });
    expect(choose({ iface: ['127.0.0.1'] })).toMatchObject({ name: 'lo', address: '127.0.0.1' });
  });

  it('tries one after the other and tells what it passed over', () => {
    expect(choose({ iface: ['eth9', '10.9.9.9', 'eth2', 'zero', 'eth1', 'eth0'] })).toMatchObject({
      name: 'eth1',
      selectedBy: '--iface eth1',
      rejected: [
        '--iface eth9: the host has no interface of this name',
        '--iface 10.9.9.9: no interface of this host has the address',
        '--iface eth2: interface eth2 has no usable IPv4 address',
        '--iface zero: interface zero has an MTU of 0',
      ],
    });
  });

  it('does not fall back on the default route', () => {
    const error = failure({ iface: ['eth9'] });
    expect(error.exit).toBe('host');
    expect(error.message).toMatch(/--iface eth9: the host has no interface of this name.*eth0 \(172\.31\.0\.1, /);
  });

  it('refuses the loopback by name: its address faces nobody', () => {
    expect(failure({ iface: ['lo'] }).message).toContain('interface lo has no usable IPv4 address');
  });

  it('refuses an IPv6 address', () => {
    expect(failure({ iface: ['fd00::1'] })).toMatchObject({ exit: 'usage' });
  });

  it('counts an empty text as not given', () => {
    expect(choose({ iface: [''], ifaceRegex: [''], ifaceCanReach: '', publicIp: '' }).selectedBy).toBe('default route');
  });
});

describe('--iface-regex', () => {
  it('matches addresses of all interfaces before names, without anchors, and pins the address', () => {
    expect(choose({ ifaceRegex: ['31\\.0\\.9'] })).toMatchObject({ name: 'eth0', address: '172.31.0.9' });
    const view = sketch([
      { name: 'net10', addresses: ['192.0.2.1/24'] },
      { name: 'other', addresses: ['10.0.0.1/8'] },
    ]);
    expect(choose({ ifaceRegex: ['10'] }, view)).toMatchObject({ name: 'other', address: '10.0.0.1' });
    expect(choose({ ifaceRegex: ['net'] }, view)).toMatchObject({ name: 'net10', address: '192.0.2.1' });
  });

  it('passes over interfaces that match but cannot be used', () => {
    expect(choose({ ifaceRegex: ['^eth[21]$'] })).toMatchObject({ name: 'eth1' });
    expect(choose({ ifaceRegex: ['192\\.168\\.8|eth1'] })).toMatchObject({ name: 'eth1' });
    expect(failure({ ifaceRegex: ['^eth2$'] }).message).toContain('interface eth2 has no usable IPv4 address');
  });

  it('comes after --iface, each pattern in its order', () => {
    expect(choose({ iface: ['eth9'], ifaceRegex: ['nothing', '^eth1', '^eth0'] })).toMatchObject({
      name: 'eth1',
      rejected: [
        '--iface eth9: the host has no interface of this name',
        '--iface-regex nothing: it matches no IPv4 address and no name of an interface',
      ],
    });
    expect(choose({ iface: ['eth0'], ifaceRegex: ['eth1'] }).name).toBe('eth0');
  });

  it.each([
    ['(?i)ETH1', 'eth1'],
    ['(?P<n>docker)\\d', 'docker0'],
    ['\\Aeth1\\z', 'eth1'],
    ['^172\\.17\\.', 'docker0'],
    ['eth[\\-1]', 'eth1'],
  ])('reads RE2 spelling %s', (pattern, name) => {
    expect(choose({ ifaceRegex: [pattern] }).name).toBe(name);
  });

  it.each(['eth[', '(', 'a**', '[[:digit:]]', '\\Qeth0\\E', 'x{2,1}', '(?<=a'])(
    'refuses %s and names it',
    (pattern) => {
      const error = failure({ iface: ['eth0'], ifaceRegex: [pattern] });
      expect(error.exit).toBe('usage');
      expect(error.message).toContain(`--iface-regex ${JSON.stringify(pattern)}`);
      expect(error.message).not.toContain('\n');
    },
  );

  it('whatever the pattern, there is a choice or an operator error', () => {
    const text = fc.stringMatching(/^[a-z0-9.\\()[\]{}*+?|^$:,<>P-]{0,12}$/);
    fc.assert(
      fc.property(text, (pattern) => {
        try {
          choose({ ifaceRegex: [pattern] });
        } catch (error) {
          expect(error).toBeInstanceOf(OperatorError);
        }
      }),
      { numRuns: 500 },
    );
  });
});

describe('--iface-can-reach', () => {
  it('asks the kernel and binds to the source it would use', () => {
    expect(choose({ ifaceCanReach: '198.51.100.7' })).toMatchObject({ name: 'eth1', address: '192.168.7.1' });
    expect(choose({ ifaceCanReach: '8.8.8.8' })).toMatchObject({ name: 'eth0', address: '172.31.0.1' });
  });

  it("takes the owner of the host's own address, not the loopback", () => {
    expect(choose({ ifaceCanReach: '172.31.0.1' })).toMatchObject({ name: 'eth0', mtuBytes: 1500 });
  });

  it('comes last', () => {
    expect(choose({ ifaceRegex: ['nothing'], ifaceCanReach: '198.51.100.7' }).name).toBe('eth1');
    expect(choose({ iface: ['eth0'], ifaceCanReach: '198.51.100.7' }).name).toBe('eth0');
  });

  it('says where it cannot be reached, and what it cannot read', () => {
    const view = sketch([{ name: 'a', addresses: ['10.0.0.1/24'] }]);
    expect(failure({ ifaceCanReach: '8.8.8.8' }, view).message).toContain('the host has no route to it');
    expect(failure({ ifaceCanReach: 'example.com' })).toMatchObject({ exit: 'usage' });
  });
});

describe('--public-ip', () => {
  it('is published beside any selector, and need not be local then', () => {
    expect(choose({ iface: ['eth1'], publicIp: '203.0.113.5' })).toMatchObject({
      name: 'eth1',
      address: '192.168.7.1',
      publicIp: '203.0.113.5',
    });
  });

  it('selects the interface where nothing else does', () => {
    expect(choose({ publicIp: '192.168.7.1' })).toMatchObject({
      name: 'eth1',
      address: '192.168.7.1',
      publicIp: '192.168.7.1',
      selectedBy: '--public-ip 192.168.7.1',
    });
  });

  it('must then be local; the error says what is missing', () => {
    const error = failure({ publicIp: '203.0.113.5' });
    expect(error.exit).toBe('host');
    expect(error.message).toMatch(/--public-ip 203\.0\.113\.5: no interface.*as well with --iface/);
  });

  it.each(['nonsense', '::1', '0.0.0.0', '224.0.0.1', '255.255.255.255', '1.2.3'])('refuses %s', (publicIp) => {
    expect(failure({ publicIp, iface: ['eth0'] })).toMatchObject({ exit: 'usage' });
  });
});

describe('the address of an interface', () => {
  it.each([
    ['global before link-local', ['169.254.1.1/16', '10.0.0.1/24'], '10.0.0.1'],
    ['link-local if there is nothing else', ['169.254.1.1/16'], '169.254.1.1'],
    ['permanent before dynamic', ['10.0.0.1/24 dynamic', '10.1.0.1/24'], '10.1.0.1'],
    ['a dynamic global one before a permanent link-local one', ['169.254.1.1/16', '10.0.0.1/24 dynamic'], '10.0.0.1'],
    ['primary before secondary', ['10.0.0.2/24 secondary', '10.1.0.1/24'], '10.1.0.1'],
    ['never a deprecated one', ['10.0.0.1/24 deprecated', '169.254.1.1/16'], '169.254.1.1'],
    ["else in the kernel's order", ['10.0.0.2/24', '10.0.0.1/25'], '10.0.0.2'],
  ])('%s', (_rule, addresses, expected) => {
    expect(choose({ iface: ['a'] }, sketch([{ name: 'a', addresses }])).address).toBe(expected);
  });

  it('there is none where all are deprecated, loopback or IPv6', () => {
    const view = sketch([{ name: 'a', addresses: ['10.0.0.1/24 deprecated', '127.0.0.2/8', 'fd00::1/64'] }]);
    expect(failure({ iface: ['a'] }, view).exit).toBe('host');
  });
});

it('keeps the error one line on a host with hundreds of interfaces', () => {
  const links = Array.from({ length: 300 }, (_, i) => ({ name: `veth${i}` }));
  const error = failure({}, sketch([...links, { name: 'eth0', addresses: ['10.0.0.1/24'] }]));
  expect(error.message).toContain('The host has eth0 (10.0.0.1), veth0');
  expect(error.message).toContain('and 289 more');
  expect(error.message.length).toBeLessThan(600);
});
