import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  formatPrefix,
  type IpAddress,
  overlaps,
  type Prefix,
  parseAddress,
  parsePrefix,
  prefixOf,
} from '../../src/ip/ip.ts';
import {
  allocateSubnet,
  findOwn,
  isCompatible,
  isInsideNetwork,
  judgePrevious,
  MAX_CANDIDATES,
} from '../../src/lease/allocator.ts';
import type { Lease } from '../../src/lease/lease.ts';
import { type NetworkConfig, parseNetworkConfig } from '../../src/network-config/network-config.ts';

function config(fields: object): NetworkConfig {
  const result = parseNetworkConfig(JSON.stringify(fields));
  if (!result.ok) throw new Error(result.problems.map(({ message }) => message).join('; '));
  return result.config;
}

function cidr(text: string): Prefix {
  const prefix = parsePrefix(text);
  if (prefix === undefined) throw new Error(`test prefix ${text}`);
  return prefix;
}

function ip(text: string): IpAddress {
  const address = parseAddress(text);
  if (address === undefined) throw new Error(`test address ${text}`);
  return address;
}

function lease(subnet: string, publicIp: string): Lease {
  return { subnet: { ipv4: cidr(subnet) }, attributes: { publicIp: ip(publicIp), backendType: '' } };
}

const plain = config({ Network: '10.5.0.0/16' });

/** What the real one does, step by step: every subnet in turn against every lease. */
function candidatesSlowly(cfg: NetworkConfig, taken: readonly Prefix[]): string[] {
  const found: string[] = [];
  const size = 1n << BigInt(32 - cfg.subnetLength);
  for (let base = cfg.subnetMin.value; base <= cfg.subnetMax.value && found.length < 100; base += size) {
    const subnet: Prefix = { family: 4, base, length: cfg.subnetLength };
    if (!taken.some((prefix) => overlaps(prefix, subnet))) found.push(formatPrefix(subnet));
  }
  return found;
}

/** Draws every candidate in turn by giving `random` each of their shares. */
function candidatesDrawn(cfg: NetworkConfig, taken: readonly Prefix[], count: number): string[] {
  return Array.from({ length: count }, (_, index) => {
    const subnet = allocateSubnet(cfg, taken, () => (index + 0.5) / count);
    return subnet === undefined ? 'none' : formatPrefix(subnet.ipv4);
  });
}

/** Small networks with subnets of every size; leases of the same and other sizes, inside, around and outside. */
const situation = fc
  .record({
    networkLength: fc.integer({ min: 18, max: 26 }),
    extra: fc.integer({ min: 2, max: 8 }),
    bounds: fc.tuple(fc.double({ min: 0, max: 1, noNaN: true }), fc.double({ min: 0, max: 1, noNaN: true })),
    atEnd: fc.boolean(),
  })
  .map(({ networkLength, extra, bounds, atEnd }) => {
    const subnetLength = Math.min(30, networkLength + extra);
    const network = cidr(`${atEnd ? '255.255.255.255' : '10.5.0.0'}/${networkLength}`);
    const count = 2 ** (subnetLength - networkLength);
    const at = (share: number): IpAddress => {
      const index = BigInt(Math.min(count - 1, Math.floor(share * count)));
      return { family: 4, value: network.base + (index << BigInt(32 - subnetLength)) };
    };
    const [low, high] = [Math.min(...bounds), Math.max(...bounds)];
    return { ...plain, network, subnetLength, subnetMin: at(low), subnetMax: at(high) };
  })
  .chain((cfg) => {
    const nearby = fc
      .tuple(fc.bigInt(-64n, (1n << BigInt(32 - cfg.network.length)) + 64n), fc.integer({ min: -3, max: 3 }))
      .map(([offset, delta]) => {
        const value = BigInt.asUintN(32, cfg.network.base + offset);
        return prefixOf({ family: 4, value }, Math.min(32, cfg.subnetLength + delta));
      });
    const ipv6 = fc.constant<Prefix>({ family: 6, base: cfg.subnetMin.value, length: 120 });
    const taken = fc.array(fc.oneof({ weight: 20, arbitrary: nearby }, { weight: 1, arbitrary: ipv6 }), {
      maxLength: 150,
    });
    return fc.tuple(fc.constant<NetworkConfig>(cfg), taken);
  });

describe('allocateSubnet', () => {
  it('draws evenly from the same subnets as a walk of every subnet against every lease', () => {
    fc.assert(
      fc.property(situation, ([cfg, taken]) => {
        const expected = candidatesSlowly(cfg, taken);
        expect(candidatesDrawn(cfg, taken, Math.max(1, expected.length))).toEqual(
          expected.length > 0 ? expected : ['none'],
        );
      }),
      { numRuns: 300 },
    );
  });

  it('offers the first 100 of an empty network, the first subnet left out', () => {
    const drawn = candidatesDrawn(plain, [], MAX_CANDIDATES);
    expect(drawn).toHaveLength(100);
    expect(drawn[0]).toBe('10.5.1.0/24');
    expect(drawn[99]).toBe('10.5.100.0/24');
    expect(new Set(drawn).size).toBe(100);
  });

  it('finds the only subnet left, and none when all are taken', () => {
    const all = Array.from({ length: 255 }, (_, i) => cidr(`10.5.${i + 1}.0/24`));
    const taken = all.filter((prefix) => formatPrefix(prefix) !== '10.5.77.0/24');
    expect(allocateSubnet(plain, taken.reverse(), () => 0.999)?.ipv4).toEqual(cidr('10.5.77.0/24'));
    expect(allocateSubnet(plain, all, () => 0)).toBeUndefined();
    expect(allocateSubnet(plain, [cidr('10.0.0.0/8')], () => 0)).toBeUndefined();
    expect(allocateSubnet(plain, [cidr('0.0.0.0/0')], () => 0)).toBeUndefined();
  });

  it('does not change the list it is given', () => {
    const taken = [cidr('10.5.9.0/24'), cidr('10.5.1.0/24')];
    allocateSubnet(plain, taken, () => 0);
    expect(taken.map(formatPrefix)).toEqual(['10.5.9.0/24', '10.5.1.0/24']);
  });

  it('looks at each of 10,000 leases a bounded number of times', () => {
    const large = config({ Network: '10.0.0.0/8', SubnetLen: 24 });
    let reads = 0;
    const taken = Array.from({ length: 10_000 }, (_, i) => {
      const prefix = prefixOf({ family: 4, value: large.subnetMin.value + (BigInt((i * 7919) % 10_000) << 8n) }, 24);
      return new Proxy(prefix, {
        get(target, key) {
          reads++;
          return Reflect.get(target, key);
        },
      });
    });
    expect(allocateSubnet(large, taken, () => 0)?.ipv4).toEqual(cidr('10.39.17.0/24'));
    // A sort reads 2 bases for each of n log2 n comparisons (133,000); n * 10,000 subnets would be 100 million.
    expect(reads).toBeLessThan(600_000);
  });
});

describe('findOwn', () => {
  const leases = [
    lease('10.5.9.0/25', '172.31.0.1'),
    lease('10.5.3.0/24', '172.31.0.2'),
    lease('10.5.4.0/24', '0.0.0.0'),
  ];

  it('finds the lease of the public IP', () => {
    expect(findOwn(leases, ip('172.31.0.2'), plain)).toEqual({ kind: 'reusable', lease: leases[1] });
    expect(findOwn(leases, ip('172.31.0.3'), plain)).toEqual({ kind: 'none' });
  });

  it('reports one that no longer fits, unless another one does', () => {
    expect(findOwn(leases, ip('172.31.0.1'), plain)).toEqual({ kind: 'incompatible', lease: leases[0] });
    const second = lease('10.5.7.0/24', '172.31.0.1');
    expect(findOwn([...leases, second], ip('172.31.0.1'), plain)).toEqual({ kind: 'reusable', lease: second });
  });

  it('takes 0.0.0.0 for nobody', () => {
    expect(findOwn(leases, ip('0.0.0.0'), plain)).toEqual({ kind: 'none' });
  });
});

describe('isCompatible', () => {
  const bounded = config({ Network: '10.5.0.0/16', SubnetMin: '10.5.10.0', SubnetMax: '10.5.20.0' });

  it.each([
    ['10.5.10.0/24', true],
    ['10.5.20.0/24', true],
    ['10.5.15.0/24', true],
    ['10.5.9.0/24', false],
    ['10.5.21.0/24', false],
    ['10.5.15.0/25', false],
    ['10.5.14.0/23', false],
    ['10.6.15.0/24', false],
  ])('%s: %s', (subnet, expected) => {
    expect(isCompatible({ ipv4: cidr(subnet) }, bounded)).toBe(expected);
  });

  it('wants no IPv6 half where IPv6 is off, and a fitting one where it is on', () => {
    const ipv4 = cidr('10.5.15.0/24');
    const dual: NetworkConfig = {
      ...bounded,
      enableIpv6: true,
      ipv6SubnetLength: 64,
      ipv6SubnetMin: ip('fd00:5:0:1::'),
      ipv6SubnetMax: ip('fd00:5:0:ff::'),
    };
    expect(isCompatible({ ipv4, ipv6: cidr('fd00:5:0:1::/64') }, bounded)).toBe(false);
    expect(isCompatible({ ipv4 }, dual)).toBe(false);
    expect(isCompatible({ ipv4, ipv6: cidr('fd00:5:0:1::/64') }, dual)).toBe(true);
    expect(isCompatible({ ipv4, ipv6: cidr('fd00:5:0:1::/65') }, dual)).toBe(false);
    expect(isCompatible({ ipv4, ipv6: cidr('fd00:5::/64') }, dual)).toBe(false);
    expect(isCompatible({ ipv4, ipv6: cidr('fd00:5:0:100::/64') }, dual)).toBe(false);
  });
});

describe('isInsideNetwork', () => {
  it.each([
    ['10.5.0.0/16', false],
    ['10.5.255.0/24', true],
    ['10.4.0.0/15', false],
    ['10.6.0.0/24', false],
    ['0.0.0.0/0', false],
  ])('%s: %s', (subnet, expected) => {
    expect(isInsideNetwork({ ipv4: cidr(subnet) }, plain)).toBe(expected);
  });
});

it('isInsideNetwork refuses a subnet that starts with the network but is larger', () => {
  const even = config({ Network: '10.4.0.0/16' });
  expect(isInsideNetwork({ ipv4: cidr('10.4.0.0/15') }, even)).toBe(false);
  expect(isInsideNetwork({ ipv4: cidr('10.4.0.0/24') }, even)).toBe(true);
});

describe('judgePrevious', () => {
  const previous = { ipv4: cidr('10.5.21.0/24') };

  it.each([
    ['usable', []],
    ['usable', ['10.5.22.0/24', '10.5.20.0/24']],
    ['taken', ['10.5.21.0/24']],
    ['taken', ['10.5.21.128/25']],
    ['taken', ['10.5.0.0/16']],
  ])('%s beside %j', (expected, taken) => {
    expect(judgePrevious(previous, plain, taken.map(cidr))).toBe(expected);
  });

  it('is incompatible with another network', () => {
    expect(judgePrevious(previous, config({ Network: '10.6.0.0/16' }), [])).toBe('incompatible');
  });
});
