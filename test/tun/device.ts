/** The device of the captures: what is wanted of it, and the link as the kernel makes it. */
import type { Link } from '../../src/rtnetlink/rtnetlink.ts';
import type { TunDesiredState } from '../../src/tun/tun.ts';
import { prefix } from '../support/network.ts';

export const DESIRED: TunDesiredState = {
  name: 'flannel0',
  mtuBytes: 1472,
  address: prefix('10.5.21.0/32'),
  route: prefix('10.5.0.0/16'),
  queues: 1,
  offloads: { vnetHeader: false, checksum: false, tcp: false, udp: false },
  txQueueLength: 500,
  acceptLocal: true,
};

export const FRESH: Link = {
  index: 7,
  name: 'flannel0',
  mtuBytes: 1500,
  txQueueLength: 500,
  up: false,
  lowerUp: true,
  loopback: false,
  operState: 'down',
  kind: 'tun',
  tun: { type: 'tun', packetInfo: false, vnetHeader: false, persistent: false, multiQueue: false },
  acceptLocal: false,
  ipv6Enabled: true,
};
