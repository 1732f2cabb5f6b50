import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parsePrefix, prefixOf } from '../../src/ip/ip.ts';
import type { Subnet } from '../../src/lease/lease.ts';
import { formatSubnetKey, isCanonicalKey, parseSubnetKey } from '../../src/lease/subnet-key.ts';

const ipv4 = fc
  .tuple(fc.bigInt(0n, (1n << 32n) - 1n), fc.nat({ max: 31 }))
  .map(([value, length]) => prefixOf({ family: 4, value }, length));
const ipv6 = fc
  .tuple(fc.bigInt(1n << 48n, (1n << 128n) - 1n), fc.nat({ max: 127 }))
  .map(([value, length]) => prefixOf({ family: 6, value }, length));
const subnet = fc.record({ ipv4, ipv6 }, { requiredKeys: ['ipv4'] });

function subnetOf(v4: string, v6?: string): Subnet | undefined {
  const v4Prefix = parsePrefix(v4);
  const v6Prefix = v6 === undefined ? undefined : parsePrefix(v6);
  if (v4Prefix === undefined) return undefined;
  return v6Prefix === undefined ? { ipv4: v4Prefix } : { ipv4: v4Prefix, ipv6: v6Prefix };
}

describe('parseSubnetKey', () => {
  it.each([
    ['10.12.13.0-24', '10.12.13.0/24'],
    ['0.0.0.0-0', '0.0.0.0/0'],
    ['10.12.13.2-31', '10.12.13.2/31'],
    ['10.12.13.0-024', '10.12.13.0/24'],
    // Anything may stand in front.
    ['x10.12.13.0-24', '10.12.13.0/24'],
    ['a/b/10.12.13.0-24', '10.12.13.0/24'],
    ['1.10.12.13.0-24', '10.12.13.0/24'],
    ['10.1.1.0-24&10.12.13.0-24', '10.12.13.0/24'],
  ])('reads %s', (key, expected) => {
    expect(parseSubnetKey(key)).toEqual(subnetOf(expected));
  });

  it.each([
    ['10.12.13.0-24&fd00:12:13::-56', 'fd00:12:13::/56'],
    ['10.12.13.0-24&::-0', '::/0'],
    ['10.12.13.0-24&2001:db8:0:0:1:0:0:0-127', '2001:db8:0:0:1::/127'],
  ])('reads %s', (key, expected) => {
    expect(parseSubnetKey(key)).toEqual(subnetOf('10.12.13.0/24', expected));
  });

  it.each([
    '',
    '10',
    '10.12.13.0',
    '10.12.13-24',
    '10.12.13.300-24',
    '10.12.13.0-24hi',
    '10.12.13.0-24/',
    '10.12.13.0-',
  ])('refuses %j', (key) => expect(parseSubnetKey(key)).toBeUndefined());

  it.each(['10.12.13.0-32', '10.12.13.0-33', '10.12.13.0--1', '10.12.13.0-2.4', '10.12.13.0/24', '10.12.13.0-24\n'])(
    'refuses %j',
    (key) => expect(parseSubnetKey(key)).toBeUndefined(),
  );

  // Two separators match any character in flanneld's expression, but such text never parses as an address.
  it.each(['10.12x13x0-24', '10.12.1345-24', '010.12.13.0-24', '910.12.13.0-24', '10.12.13.7-24', '٣.12.13.0-24'])(
    'refuses %j',
    (key) => expect(parseSubnetKey(key)).toBeUndefined(),
  );

  it.each([
    '&2001::-56',
    '10.12.13.0-24&2001-56',
    '10.12.13.0-24&2001::',
    '10.12.13.0-24&fd00::-128',
    '10.12.13.0-24&',
  ])('refuses %j', (key) => expect(parseSubnetKey(key)).toBeUndefined());

  it.each([
    '10.12.13.0-24&FD00::-56',
    '10.12.13.0-24&fd00::1-56',
    '10.12.13.0-24&::ffff:a05:0-112',
    '10.12.13.0-24&fd00::-56x',
  ])('refuses %j', (key) => expect(parseSubnetKey(key)).toBeUndefined());

  it('refuses long keys, whatever they hold', () => {
    expect(parseSubnetKey('1'.repeat(500_000))).toBeUndefined();
    expect(parseSubnetKey(`${'x'.repeat(600)}10.12.13.0-24`)).toBeUndefined();
  });

  it('never throws, and gives prefixes without host bits', () => {
    const keyLike = fc.string({
      unit: fc.constantFrom(...'0123456789.-&:abf', '10.5.0.0', '-24', 'fd00::'),
      maxLength: 24,
    });
    fc.assert(
      fc.property(keyLike, (key) => {
        const parsed = parseSubnetKey(key);
        if (parsed === undefined) return;
        expect(parsed.ipv4).toEqual(prefixOf({ family: 4, value: parsed.ipv4.base }, parsed.ipv4.length));
        expect(parseSubnetKey(formatSubnetKey(parsed))).toEqual(parsed);
      }),
      { numRuns: 3000 },
    );
  });
});

describe('formatSubnetKey', () => {
  it('is read back as the same subnet, whatever stands in front', () => {
    fc.assert(
      fc.property(subnet, fc.stringMatching(/^([a-z/]{0,9})$/), (value, front) => {
        const key = formatSubnetKey(value);
        expect(parseSubnetKey(front + key)).toEqual(value);
        expect(isCanonicalKey(key)).toBe(true);
        expect(isCanonicalKey(front + key)).toBe(front === '');
      }),
    );
  });

  it('tells a key from its aliases', () => {
    expect(isCanonicalKey('10.12.13.0-24')).toBe(true);
    expect(isCanonicalKey('10.12.13.0-024')).toBe(false);
    expect(isCanonicalKey('10.12.13.0-24&fd00:0:1::-64')).toBe(true);
    expect(isCanonicalKey('10.12.13.0-24&fd00:0000:1::-64')).toBe(false);
    expect(isCanonicalKey('no key')).toBe(false);
  });
});

describe.each(['udp', 'host-gw', 'vxlan'])('the keys of a real flanneld (%s)', (backend) => {
  const lines = readFileSync(new URL(`../golden/${backend}/etcd.txt`, import.meta.url), 'utf8').split('\n');
  const keys = lines.flatMap((line) => line.split('/subnets/')[1] ?? []);

  it('are read and written unchanged', () => {
    expect(keys).toHaveLength(2);
    for (const key of keys) {
      const parsed = parseSubnetKey(key);
      expect(parsed && formatSubnetKey(parsed)).toBe(key);
    }
  });
});
