import { BlockList, isIP, isIPv4 } from 'node:net';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  addressFromBytes,
  addressToBytes,
  baseAddress,
  contains,
  type Family,
  formatAddress,
  formatPrefix,
  type IpAddress,
  isUnspecified,
  lastAddress,
  maskOf,
  overlaps,
  type Prefix,
  parseAddress,
  parsePrefix,
  prefixOf,
  sameAddress,
  samePrefix,
  sizeOf,
  widthOf,
} from '../../src/ip/ip.ts';

const ipv4Address = fc.bigInt(0n, (1n << 32n) - 1n).map((value): IpAddress => ({ family: 4, value }));

/** Many zero groups, so that every way of shortening occurs. */
const ipv6Value = fc
  .array(fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 0xffff })), { minLength: 8, maxLength: 8 })
  .map((groups) => groups.reduce((value, group) => (value << 16n) | BigInt(group), 0n));

const ipv6Address = ipv6Value
  .filter((value) => value >> 32n !== 0xffffn)
  .map((value): IpAddress => ({ family: 6, value }));

const address = fc.oneof(ipv4Address, ipv6Address);

const prefix = fc
  .tuple(address, fc.nat({ max: 128 }))
  .map(([addr, length]) => prefixOf(addr, length % (widthOf(addr.family) + 1)));

function ipv4(text: string): bigint {
  return text.split('.').reduce((value, octet) => value * 256n + BigInt(octet), 0n);
}

/** Text of IPv6 groups without any shortening. */
function longForm(value: bigint): string {
  return (value.toString(16).padStart(32, '0').match(/.{4}/g) ?? []).join(':');
}

const addressLikeText = fc.oneof(
  fc.string({ unit: fc.constantFrom(...'0123456789abcfF:.%/ '), maxLength: 45 }),
  fc.string({ unit: fc.constantFrom('0', '1', '25', '255', '256', '01', '.', ':', '::', 'ffff'), maxLength: 16 }),
);

describe('parseAddress', () => {
  it('accepts what node:net accepts, apart from zones', () => {
    fc.assert(
      fc.property(addressLikeText, (text) => {
        const expected = text.includes('%') ? 0 : isIP(text);
        const parsed = parseAddress(text);
        expect(parsed !== undefined).toBe(expected !== 0);
        if (expected === 4) expect(parsed).toEqual({ family: 4, value: ipv4(text) });
      }),
      { numRuns: 3000 },
    );
  });

  it.each([
    ['10.5.21.0', 4, 0x0a051500n],
    ['255.255.255.255', 4, 0xffffffffn],
    ['::', 6, 0n],
    ['::1', 6, 1n],
    ['fd00:5:15::', 6, 0xfd000005001500000000000000000000n],
    ['1:2:3:4:5:6:7::', 6, 0x00010002000300040005000600070000n],
    ['64:ff9b::10.5.0.1', 6, 0x0064ff9b00000000000000000a050001n],
    ['FD00::AbCd', 6, 0xfd00000000000000000000000000abcdn],
    ['::ffff:10.5.0.1', 4, 0x0a050001n],
    ['::ffff:a05:1', 4, 0x0a050001n],
  ])('reads %s', (text, family, value) => {
    expect(parseAddress(text)).toEqual({ family, value });
  });

  it.each(['', '10', '10.5.21', '10.5.21.0.1', '10.5.21.256', '010.5.21.0', '10.5.21.00', ' 10.5.21.0', '10.5.21.0\n'])(
    'refuses %j',
    (text) => expect(parseAddress(text)).toBeUndefined(),
  );

  it.each([
    ':',
    ':::',
    '1::2::3',
    'fe80::1%eth0',
    '12345::',
    '::10.5.0.01',
    '1:2:3:4:5:6:7:8::',
    '10.5.0.1::',
    '[::1]',
  ])('refuses %j', (text) => expect(parseAddress(text)).toBeUndefined());
});

describe('formatAddress', () => {
  it('is read back as the same address', () => {
    fc.assert(
      fc.property(address, (addr) => {
        expect(parseAddress(formatAddress(addr))).toEqual(addr);
      }),
    );
  });

  it('writes IPv6 as the URL standard does (RFC 5952)', () => {
    fc.assert(
      fc.property(ipv6Value, (value) => {
        const expected = new URL(`http://[${longForm(value)}]/`).hostname.slice(1, -1);
        expect(formatAddress({ family: 6, value })).toBe(expected);
      }),
      { numRuns: 2000 },
    );
  });

  it('writes IPv4 as dotted decimal', () => {
    fc.assert(
      fc.property(ipv4Address, ({ value }) => {
        const text = formatAddress({ family: 4, value });
        expect(isIPv4(text)).toBe(true);
        expect(ipv4(text)).toBe(value);
      }),
    );
  });
});

describe('parsePrefix', () => {
  it.each([
    ['10.5.3.7/16', '10.5.0.0/16'],
    ['10.5.3.7/016', '10.5.0.0/16'],
    ['10.5.3.7/32', '10.5.3.7/32'],
    ['10.5.3.7/0', '0.0.0.0/0'],
    ['fd00:5:15::7/48', 'fd00:5:15::/48'],
    ['::1/128', '::1/128'],
  ])('reads %s as %s', (text, expected) => {
    const parsed = parsePrefix(text);
    expect(parsed && formatPrefix(parsed)).toBe(expected);
  });

  it.each(['', '10.5.0.0', '10.5.0.0/', '/16', '10.5.0.0/33', '10.5.0.0/-1', '10.5.0.0/+8', '10.5.0.0/16 ', '10.5/16'])(
    'refuses %j',
    (text) => expect(parsePrefix(text)).toBeUndefined(),
  );

  it.each(['::/129', '10.5.0.0/1e1', '10.5.0.0/16/16', '10.5.0.0/255.255.0.0', '::ffff:10.5.0.0/16', 'fe80::%lo/64'])(
    'refuses %j',
    (text) => expect(parsePrefix(text)).toBeUndefined(),
  );

  it('reads back what formatPrefix writes', () => {
    fc.assert(
      fc.property(
        prefix.filter((p) => p.family === 4 || p.base >> 32n !== 0xffffn),
        (p) => {
          expect(parsePrefix(formatPrefix(p))).toEqual(p);
        },
      ),
    );
  });
});

describe('prefix arithmetic', () => {
  const typeOf = (family: Family) => (family === 4 ? 'ipv4' : 'ipv6');

  it('contains the addresses that BlockList finds in the subnet', () => {
    const near = fc.tuple(prefix, fc.bigInt(-2n, 2n), fc.boolean()).map(([p, delta, fromEnd]): [Prefix, IpAddress] => {
      const from = fromEnd ? lastAddress(p).value : p.base;
      return [p, { family: p.family, value: BigInt.asUintN(widthOf(p.family), from + delta) }];
    });
    fc.assert(
      fc.property(fc.oneof(near, fc.tuple(prefix, address)), ([p, addr]) => {
        const list = new BlockList();
        list.addSubnet(formatAddress(baseAddress(p)), p.length, typeOf(p.family));
        const expected = p.family === addr.family && list.check(formatAddress(addr), typeOf(addr.family));
        expect(contains(p, addr)).toBe(expected);
      }),
      { numRuns: 1000 },
    );
  });

  it('spans sizeOf addresses, the base and the last one included', () => {
    fc.assert(
      fc.property(prefix, (p) => {
        const last = lastAddress(p);
        expect(last.value - p.base + 1n).toBe(sizeOf(p));
        expect(contains(p, last)).toBe(true);
        expect(prefixOf(last, p.length)).toEqual(p);
        expect(BigInt.asUintN(widthOf(p.family), ~maskOf(p.family, p.length)) + 1n).toBe(sizeOf(p));
      }),
    );
  });

  it('overlaps exactly when the ranges share an address', () => {
    const sized = fc
      .tuple(fc.constantFrom<Family>(4, 6), fc.bigInt(0n, 255n), fc.nat({ max: 8 }))
      .map(([family, value, bits]) => prefixOf({ family, value }, widthOf(family) - bits));
    fc.assert(
      fc.property(sized, sized, (a, b) => {
        const shared = a.base <= lastAddress(b).value && b.base <= lastAddress(a).value;
        expect(overlaps(a, b)).toBe(a.family === b.family && shared);
        expect(overlaps(b, a)).toBe(overlaps(a, b));
      }),
    );
  });

  it('tells equal from unequal', () => {
    fc.assert(
      fc.property(prefix, prefix, (a, b) => {
        expect(samePrefix(a, { ...a })).toBe(true);
        expect(samePrefix(a, b)).toBe(formatPrefix(a) === formatPrefix(b) && a.family === b.family);
        expect(sameAddress(baseAddress(a), baseAddress(b))).toBe(a.family === b.family && a.base === b.base);
      }),
    );
    expect(sameAddress({ family: 4, value: 1n }, { family: 6, value: 1n })).toBe(false);
    expect(samePrefix(prefixOf({ family: 4, value: 0n }, 8), prefixOf({ family: 4, value: 0n }, 9))).toBe(false);
  });

  it('knows the unspecified address', () => {
    expect(isUnspecified({ family: 4, value: 0n })).toBe(true);
    expect(isUnspecified({ family: 6, value: 1n })).toBe(false);
  });
});

describe('bytes', () => {
  it('are in network order and read back', () => {
    expect([...addressToBytes({ family: 4, value: 0x0a051500n })]).toEqual([10, 5, 21, 0]);
    fc.assert(
      fc.property(address, (addr) => {
        const bytes = addressToBytes(addr);
        expect(bytes.length).toBe(widthOf(addr.family) / 8);
        expect(addressFromBytes(bytes)).toEqual(addr);
      }),
    );
  });

  it('of any other number are a programming error', () => {
    expect(() => addressFromBytes(new Uint8Array(5))).toThrow(RangeError);
  });
});
