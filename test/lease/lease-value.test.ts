import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type IpAddress, parseAddress } from '../../src/ip/ip.ts';
import type { LeaseAttributes } from '../../src/lease/lease.ts';
import { canReceive, decodeLeaseValue, encodeLeaseValue, MAX_LEASE_VALUE_BYTES } from '../../src/lease/lease-value.ts';

function decode(text: string) {
  return decodeLeaseValue(new TextEncoder().encode(text));
}

function ip(text: string): IpAddress {
  const address = parseAddress(text);
  if (address === undefined) throw new Error(`test address ${text}`);
  return address;
}

function udp(publicIp: string): LeaseAttributes {
  return { publicIp: ip(publicIp), backendType: '' };
}

describe('encodeLeaseValue', () => {
  it("writes the udp backend's value as flanneld does", () => {
    expect(encodeLeaseValue(udp('10.99.0.1'))).toBe('{"PublicIP":"10.99.0.1","PublicIPv6":null}');
  });

  it("writes all fields in the order of flanneld's struct", () => {
    const value = encodeLeaseValue({
      backendV6Data: '2',
      backendData: '{"VNI": 1,\n "VtepMAC": "a b\\" c"}',
      backendType: 'vxlan',
      publicIpv6: ip('FD00:0::1'),
      publicIp: ip('172.31.0.1'),
    });
    expect(value).toBe(
      '{"PublicIP":"172.31.0.1","PublicIPv6":"fd00::1","BackendType":"vxlan","BackendData":{"VNI":1,"VtepMAC":"a b\\" c"},"BackendV6Data":2}',
    );
  });

  it("escapes what Go's encoder escapes", () => {
    const value = encodeLeaseValue({
      ...udp('10.0.0.1'),
      backendType: '<a>&"\\\b\f\n\r\t\u0001\u007f\u2028\u2029\ud800é😀',
      backendData: '"<>&\u2028"',
    });
    expect(value).toBe(
      '{"PublicIP":"10.0.0.1","PublicIPv6":null,' +
        '"BackendType":"\\u003ca\\u003e\\u0026\\"\\\\\\u0008\\u000c\\n\\r\\t\\u0001\u007f\\u2028\\u2029\ufffdé😀",' +
        '"BackendData":"\\u003c\\u003e\\u0026\\u2028"}',
    );
  });
});

describe('decodeLeaseValue', () => {
  it.each([
    ['{"PublicIP":"10.99.0.1","PublicIPv6":null}', udp('10.99.0.1')],
    ['{"publicip":"10.99.0.1"}', udp('10.99.0.1')],
    // The Kelvin sign and the long s fold to k and s in Go.
    ['{"PublicIP":"10.99.0.1","BAC\u212aENDTYPE":"host-gw"}', { ...udp('10.99.0.1'), backendType: 'host-gw' }],
    ['{"PublicIP":"10.99.0.1","publicip":"10.99.0.2","PUBLICIP":"10.99.0.3"}', udp('10.99.0.3')],
    // JSON.parse would give this object its fields in another order.
    ['{"PublicIP":"10.99.0.1","publicip":"10.99.0.2","PublicIP":"10.99.0.3"}', udp('10.99.0.3')],
    ['{"PublicIP":"10.99.0.1","Unknown":{"a":[1,2]},"__proto__":{"x":1}}', udp('10.99.0.1')],
    ['{"PublicIP":"10.99.0.1","BackendType":null}', udp('10.99.0.1')],
    ['{"PublicIP":"10.99.0.1","BackendType":"udp","BackendType":null}', { ...udp('10.99.0.1'), backendType: 'udp' }],
    ['{"PublicIP":"::ffff:10.99.0.1"}', udp('10.99.0.1')],
    ['{"PublicIP":"10.99.0.1","PublicIPv6":"fd00::1"}', { ...udp('10.99.0.1'), publicIpv6: ip('fd00::1') }],
    ['{"PublicIP":"10.99.0.1","PublicIPv6":"fd00::1","PublicIPv6":null}', udp('10.99.0.1')],
    ['{"PublicIP":"10.99.0.1","PublicIPv6":"10.0.0.1"}', udp('10.99.0.1')],
    ['{"PublicIP":"10.99.0.1","BackendData":null}', { ...udp('10.99.0.1'), backendData: 'null' }],
    ['{"PublicIP":"10.99.0.1","BackendData":"text"}', { ...udp('10.99.0.1'), backendData: '"text"' }],
    [' {"PublicIP" :\n"10.99.0.1","BackendData":{"VNI": 1.0}}\n', { ...udp('10.99.0.1'), backendData: '{"VNI": 1.0}' }],
    ['{"BackendType":"vxlan"}', { ...udp('0.0.0.0'), backendType: 'vxlan' }],
    ['{}', udp('0.0.0.0')],
    ['null', udp('0.0.0.0')],
  ])('reads %s', (text, attributes) => {
    expect(decode(text)).toEqual({ ok: true, attributes });
  });

  it.each([
    ['{"PublicIP":null}', 'PublicIP is null, not an IPv4 address'],
    ['{"PublicIP":""}', 'PublicIP is "", not an IPv4 address'],
    ['{"PublicIP":12}', 'PublicIP is 12, not an IPv4 address'],
    ['{"PublicIP":"fd00::1"}', 'PublicIP is "fd00::1", not an IPv4 address'],
    ['{"PublicIP":"\\u001b[31m\u202e"}', 'PublicIP is "\\u001b[31m\\u202e", not an IPv4 address'],
    // A repeated field is an error even where a later one is right.
    ['{"PublicIP":"x","PublicIP":"10.99.0.1"}', 'PublicIP is "x", not an IPv4 address'],
    ['{"PublicIP":"10.99.0.1","PublicIPv6":true}', 'PublicIPv6 is true, not an IPv6 address'],
    ['{"PublicIP":"10.99.0.1","BackendType":7}', 'BackendType is a number, not a string'],
    ['[]', 'value is an array, not an object'],
    ['"x"', 'value is a string, not an object'],
    ['', 'value is not JSON: no text at all'],
    ['{"PublicIP":"10.99.0.1",}', 'value is not JSON: expected a field name in double quotes (line 1, column 25)'],
    ['\ufeff{}', 'value is not JSON: the text starts with a byte order mark; save it as plain UTF-8'],
  ])('refuses %s', (text, problem) => {
    expect(decode(text)).toEqual({ ok: false, problem });
  });

  it('refuses large values and deep ones', () => {
    const large = decodeLeaseValue(new Uint8Array(MAX_LEASE_VALUE_BYTES + 1).fill(0x20));
    expect(large).toEqual({ ok: false, problem: 'value of 65537 bytes, more than the 65536 allowed' });
    const deep = decode(`{"BackendData":${'['.repeat(20_000)}${']'.repeat(20_000)}}`);
    expect(deep).toMatchObject({ ok: false, problem: expect.stringContaining('64 levels deep (line 1, column 79)') });
    expect(decode('['.repeat(60_000))).toMatchObject({ ok: false });
  });

  it('never throws, whatever the bytes', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => void decodeLeaseValue(bytes)));
    const fragments = [
      '{',
      '}',
      '[',
      ']',
      '"',
      ':',
      ',',
      '"PublicIP"',
      '"10.0.0.1"',
      'null',
      '1e9',
      '\\',
      '//',
      '\n',
      'é',
    ];
    const almostJson = fc.string({ unit: fc.constantFrom(...fragments), maxLength: 30 });
    fc.assert(
      fc.property(almostJson, (text) => {
        const result = decode(text);
        if (result.ok) expect(() => JSON.parse(text)).not.toThrow();
        else expect(result.problem).not.toMatch(/[\n\r]/);
      }),
      { numRuns: 2000 },
    );
  });

  it('reads back what encodeLeaseValue writes', () => {
    const json = fc.jsonValue({ maxDepth: 3 }).map((value) => JSON.stringify(value));
    const attributes = fc.record(
      {
        publicIp: fc.bigInt(0n, 0xffffffffn).map((value): IpAddress => ({ family: 4, value })),
        backendType: fc.string({ unit: 'grapheme' }),
        publicIpv6: fc.bigInt(1n << 48n, (1n << 128n) - 1n).map((value): IpAddress => ({ family: 6, value })),
        backendData: json,
        backendV6Data: json,
      },
      { requiredKeys: ['publicIp', 'backendType'] },
    );
    fc.assert(
      fc.property(attributes, (value) => {
        const text = encodeLeaseValue(value);
        const result = decode(text);
        if (!result.ok) throw new Error(result.problem);
        const { backendData, backendV6Data, ...plain } = result.attributes;
        const { backendData: data, backendV6Data: v6Data, ...expected } = value;
        expect(plain).toEqual(expected);
        // The data keep their meaning; their text has Go's escapes after the first pass, and stays from then on.
        expect(backendData && JSON.parse(backendData)).toEqual(data && JSON.parse(data));
        expect(backendV6Data && JSON.parse(backendV6Data)).toEqual(v6Data && JSON.parse(v6Data));
        expect(encodeLeaseValue(result.attributes)).toBe(text);
      }),
    );
  });
});

describe('canReceive', () => {
  it.each([
    ['172.31.0.1', true],
    ['127.0.0.2', true],
    ['0.0.0.0', false],
    ['224.0.0.1', false],
    ['239.255.255.255', false],
    ['240.0.0.1', true],
    ['255.255.255.255', false],
  ])('%s: %s', (publicIp, expected) => {
    expect(canReceive(udp(publicIp))).toBe(expected);
  });
});

describe.each(['udp', 'host-gw', 'vxlan'])('the values of a real flanneld (%s)', (backend) => {
  const lines = readFileSync(new URL(`../golden/${backend}/etcd.txt`, import.meta.url), 'utf8').split('\n');
  const values = lines.filter((line) => line.startsWith('{"PublicIP"'));

  it('are read and written unchanged', () => {
    expect(values).toHaveLength(2);
    values.forEach((value, index) => {
      const result = decode(value);
      if (!result.ok) throw new Error(result.problem);
      expect(result.attributes.publicIp).toEqual(ip(`172.31.0.${index + 1}`));
      expect(encodeLeaseValue(result.attributes)).toBe(value);
    });
  });
});

it('the values in the JSON listing of etcd are the same bytes', () => {
  const listing = JSON.parse(readFileSync(new URL('../golden/udp/etcd.json', import.meta.url), 'utf8'));
  const values: Buffer[] = listing.kvs.slice(1).map((kv: { value: string }) => Buffer.from(kv.value, 'base64'));
  expect(values).toHaveLength(2);
  values.forEach((value, index) => {
    expect(decodeLeaseValue(value)).toEqual({ ok: true, attributes: udp(`172.31.0.${index + 1}`) });
    expect(encodeLeaseValue(udp(`172.31.0.${index + 1}`))).toBe(value.toString());
  });
});
