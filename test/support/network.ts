import type { IpAddress, Prefix } from '../../src/ip/ip.ts';
import { parseAddress, parsePrefix } from '../../src/ip/ip.ts';
import type { LeaseAttributes } from '../../src/lease/lease.ts';
import type { NetworkConfig } from '../../src/network-config/network-config.ts';

/** @throws where the text is no address: a mistake in the test. */
export function address(text: string): IpAddress {
  const parsed = parseAddress(text);
  if (parsed === undefined) throw new Error(`no address: ${text}`);
  return parsed;
}

export function prefix(text: string): Prefix {
  const parsed = parsePrefix(text);
  if (parsed === undefined) throw new Error(`no prefix: ${text}`);
  return parsed;
}

/** A udp network whose subnets lie from `min` to `max`. */
export function networkConfig(network: string, subnetLength: number, min: string, max: string): NetworkConfig {
  return {
    enableIpv4: true,
    enableIpv6: false,
    network: prefix(network),
    subnetLength,
    subnetMin: address(min),
    subnetMax: address(max),
    backend: { type: 'udp', raw: {} },
  };
}

/** What the udp backend writes for a host. */
export function udpAttributes(publicIp: string): LeaseAttributes {
  return { publicIp: address(publicIp), backendType: '' };
}
