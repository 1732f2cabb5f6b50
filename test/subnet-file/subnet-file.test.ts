import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Prefix, parsePrefix, prefixOf } from '../../src/ip/ip.ts';
import { formatSubnetFile, parseSubnetFile, type SubnetFile } from '../../src/subnet-file/subnet-file.ts';

function cidr(text: string): Prefix {
  const prefix = parsePrefix(text);
  if (prefix === undefined) throw new Error(`test prefix ${text}`);
  return prefix;
}

const host1: SubnetFile = { network: cidr('10.5.0.0/16'), subnet: cidr('10.5.21.0/24'), mtuBytes: 1472, ipMasq: true };

describe.each([
  ['udp', 1472],
  ['host-gw', 1500],
  ['vxlan', 1450],
])('the files of a real flanneld (%s)', (backend, mtuBytes) => {
  it.each([
    ['subnet-h1.env', '10.5.21.0/24'],
    ['subnet-h2.env', '10.5.45.0/24'],
  ])('%s is written and read alike', (name, subnet) => {
    const text = readFileSync(new URL(`../golden/${backend}/${name}`, import.meta.url), 'utf8');
    const file = { ...host1, subnet: cidr(subnet), mtuBytes };
    expect(formatSubnetFile(file)).toBe(text);
    expect(parseSubnetFile(text)).toEqual(file);
  });
});

describe('formatSubnetFile', () => {
  it('puts the IPv6 pair after the IPv4 one', () => {
    const file = { ...host1, ipv6Network: cidr('fd00:5::/48'), ipv6Subnet: cidr('fd00:5:0:15::/64'), ipMasq: false };
    expect(formatSubnetFile(file)).toBe(
      'FLANNEL_NETWORK=10.5.0.0/16\nFLANNEL_SUBNET=10.5.21.1/24\n' +
        'FLANNEL_IPV6_NETWORK=fd00:5::/48\nFLANNEL_IPV6_SUBNET=fd00:5:0:15::1/64\n' +
        'FLANNEL_MTU=1472\nFLANNEL_IPMASQ=false\n',
    );
  });

  it('is read back as it was', () => {
    const ipv4 = fc
      .tuple(fc.bigInt(0n, 0xffffffffn), fc.nat({ max: 30 }))
      .map(([value, length]) => prefixOf({ family: 4, value }, length));
    const ipv6 = fc
      .tuple(fc.bigInt(1n << 50n, (1n << 128n) - 1n), fc.nat({ max: 126 }))
      .map(([value, length]) => prefixOf({ family: 6, value }, length));
    const shared = { network: ipv4, subnet: ipv4, mtuBytes: fc.integer({ min: 68, max: 65535 }), ipMasq: fc.boolean() };
    const files = fc.oneof(fc.record(shared), fc.record({ ...shared, ipv6Network: ipv6, ipv6Subnet: ipv6 }));
    fc.assert(
      fc.property(files, (file) => {
        expect(parseSubnetFile(formatSubnetFile(file))).toEqual(file);
      }),
    );
  });
});

describe('parseSubnetFile', () => {
  const subnet = cidr('10.5.21.0/24');

  it.each([
    'FLANNEL_SUBNET=10.5.21.1/24',
    'export FLANNEL_SUBNET=10.5.21.1/24\r\n',
    '# first\r\n\r\n  FLANNEL_SUBNET = "10.5.21.1/24"   # the bridge\r\n',
    "FLANNEL_SUBNET='10.5.21.1/24'",
    'FLANNEL_SUBNET: 10.5.21.1/24',
    'FLANNEL_SUBNET=10.5.21.1/24 # comment',
    '\ufeffFLANNEL_SUBNET=10.5.21.1/24',
    'not an assignment\nFLANNEL_SUBNET=10.5.21.1/24\nX="open',
    'FLANNEL_SUBNET=10.6.0.1/24\nFLANNEL_SUBNET=10.5.21.1/24',
    'FLANNEL_SUBNET="10.5.21.1\\/24"',
    'FLANNEL_MTU=1e3\nFLANNEL_IPMASQ=yes\nFLANNEL_NETWORK=10.5\nFLANNEL_SUBNET=10.5.21.77/24',
  ])('reads the subnet of %j', (text) => {
    expect(parseSubnetFile(text)).toEqual({ subnet });
  });

  it.each([
    '',
    'FLANNEL_SUBNET=',
    'FLANNEL_SUBNET=10.5.21.1/24,10.5.22.1/24',
    '#FLANNEL_SUBNET=10.5.21.1/24',
    'FLANNEL_SUBNET=#10.5.21.1/24',
    'XFLANNEL_SUBNET=10.5.21.1/24',
    'flannel_subnet=10.5.21.1/24',
    'FLANNEL_SUBNET="10.5.21.1/24',
    'FLANNEL_SUBNET=\'10.5.21.1/24"',
    'FLANNEL_SUBNET="10.5.21.1/24" x',
    'FLANNEL_SUBNET=fd00::1/64',
    'FLANNEL_IPV6_SUBNET=10.5.21.1/24',
    'FLANNEL_SUBNET=$SUBNET',
  ])('finds nothing in %j', (text) => {
    expect(parseSubnetFile(text)).toEqual({});
  });

  it('never throws', () => {
    const unit = fc.constantFrom(
      'FLANNEL_SUBNET',
      'export ',
      '=',
      ':',
      '"',
      "'",
      '\\',
      '#',
      ' ',
      '\r',
      '\n',
      '10.5.21.1/24',
      'é',
    );
    fc.assert(
      fc.property(fc.string({ unit, maxLength: 20 }), (text) => void parseSubnetFile(text)),
      { numRuns: 2000 },
    );
    fc.assert(fc.property(fc.string({ unit: 'binary' }), (text) => void parseSubnetFile(text)));
  });
});
