/**
 * A lease: one host's claim on one subnet, as it stands in etcd. The key names the subnet (subnet-key.ts), the value
 * holds the attributes (lease-value.ts), the etcd lease on the key is its time to live.
 */
import type { IpAddress, Prefix } from '../ip/ip.ts';

/** What a host leases; `ipv6` only in dual-stack networks. There is no key without the IPv4 half. */
export interface Subnet {
  readonly ipv4: Prefix;
  readonly ipv6?: Prefix;
}

/** JSON text exactly as it stood in the value: backends read what they know, nobody else interprets it. */
export type RawJson = string;

/** What the holder says of itself. */
export interface LeaseAttributes {
  /** Where peers send to (family 4); 0.0.0.0 where the value names none. */
  readonly publicIp: IpAddress;
  readonly publicIpv6?: IpAddress;
  /** '' where absent, as the udp backend writes it. */
  readonly backendType: string;
  readonly backendData?: RawJson;
  readonly backendV6Data?: RawJson;
}

export interface Lease {
  readonly subnet: Subnet;
  readonly attributes: LeaseAttributes;
}
