import { describe, expect, it } from 'vitest';
import { routesOf } from '../../src/backend/lease-routes.ts';
import { formatAddress, formatPrefix } from '../../src/ip/ip.ts';
import type { LeaseChange } from '../../src/lease/lease-table.ts';
import type { Logger } from '../../src/log/log.ts';
import { parseNetworkConfig } from '../../src/network-config/network-config.ts';
import type { RouteChange } from '../../src/routing-table/route.ts';
import { address, prefix } from '../support/network.ts';

function setup() {
  const lines: string[] = [];
  const record = (_fields: object, message: string) => lines.push(message);
  const logger: Logger = { debug: record, info: record, warn: record, error: record };
  const parsed = parseNetworkConfig('{"Network":"10.5.0.0/16"}');
  if (!parsed.ok) throw new Error('config');
  const ownSubnet = prefix('10.5.21.0/24');
  const options = { config: parsed.config, ownSubnet, ownPublicIp: address('172.31.0.1'), port: 8285, logger };
  return { lines, routes: (changes: LeaseChange[]) => routesOf(changes, options).map(text) };
}

function change(kind: LeaseChange['kind'], subnet: string, publicIp: string): LeaseChange {
  const attributes = { publicIp: address(publicIp), backendType: '' };
  return { kind, lease: { subnet: { ipv4: prefix(subnet) }, attributes } };
}

function text(route: RouteChange): string {
  if (route.kind === 'delete') return `delete ${formatPrefix(route.destination)}`;
  const { destination, nextHop } = route.route;
  return `${formatPrefix(destination)} via ${formatAddress(nextHop.address)}:${nextHop.port}`;
}

describe('routesOf', () => {
  it('leads to each peer at its PublicIP and the network-wide port', () => {
    const { routes } = setup();
    expect(
      routes([change('set', '10.5.45.0/24', '172.31.0.2'), change('removed', '10.5.46.0/24', '172.31.0.3')]),
    ).toEqual(['10.5.45.0/24 via 172.31.0.2:8285', 'delete 10.5.46.0/24']);
  });

  it('has no route for the own subnet, whoever is said to hold it', () => {
    const { routes } = setup();
    expect(routes([change('set', '10.5.21.0/24', '172.31.0.1'), change('set', '10.5.21.0/24', '172.31.0.9')])).toEqual(
      [],
    );
    expect(routes([change('removed', '10.5.21.0/24', '172.31.0.1')])).toEqual([]);
  });

  it.each([
    ['a lease outside the network', '10.6.1.0/24', '172.31.0.2'],
    ['a lease that catches everything', '0.0.0.0/0', '172.31.0.2'],
    ['a lease of the whole network', '10.5.0.0/16', '172.31.0.2'],
    ['a lease without PublicIP', '10.5.45.0/24', '0.0.0.0'],
    ['a group address', '10.5.45.0/24', '224.0.0.1'],
    ['our own PublicIP', '10.5.45.0/24', '172.31.0.1'],
  ])('withdraws and reports %s', (_what, subnet, publicIp) => {
    const { routes, lines } = setup();
    expect(routes([change('set', subnet, publicIp)])).toEqual([`delete ${subnet}`]);
    expect(lines).toEqual([expect.stringContaining(`no route to ${subnet}: `)]);
  });

  it('logs a large batch as one line', () => {
    const { routes, lines } = setup();
    const many = Array.from({ length: 200 }, (_, i) => change('set', `10.5.${i + 22}.0/24`, '172.31.0.2'));
    expect(routes(many)).toHaveLength(200);
    expect(lines).toEqual(['peers changed']);
  });

  it('does not flood the log when thousands of leases lie outside the network', () => {
    const { routes, lines } = setup();
    const many = Array.from({ length: 5000 }, (_, i) =>
      change('set', `172.${16 + (i >> 8)}.${i % 256}.0/24`, '172.31.0.2'),
    );
    expect(routes(many)).toHaveLength(5000);
    expect(lines).toHaveLength(17);
    expect(lines.at(-1)).toContain('4984 more');
  });
});
