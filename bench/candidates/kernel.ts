/** What the kernel does without a daemon: VXLAN and plain routes, as flannel's backends of those names set them up. */
import type { Lab, LabHost } from '../../test/lab/lab.ts';
import { type Candidate, UNDERLAY_MTU } from './candidate.ts';

const NETWORK = '10.5.0.0/16';
const VXLAN_DEVICE = 'flannel.1';
/** Outer IPv4, UDP and VXLAN headers and the inner Ethernet header (RFC 7348). */
const VXLAN_OVERHEAD_BYTES = 50;

/** Lab options of every candidate that needs no etcd. */
export const WITHOUT_ETCD = { underlay: 'pair', etcd: false } as const;

/** The subnets that a host is given where no flanneld leases them: `10.5.21`, `10.5.22`. */
export function subnetStem(index: number): string {
  return `10.5.${21 + index}`;
}

/** Gives docker0 and the containers of both hosts their addresses. */
export async function joinAll(lab: Lab, mtuBytes: number): Promise<void> {
  for (const [index, host] of lab.hosts.entries()) {
    await lab.addressContainers(host, {
      network: NETWORK,
      subnet: `${subnetStem(index)}.1/24`,
      mtuBytes,
      ipMasq: 'false',
    });
  }
}

export const HOST_GW: Candidate = {
  name: 'host-gw',
  description: 'plain routes, no encapsulation',
  mtuBytes: UNDERLAY_MTU,
  labOptions: WITHOUT_ETCD,
  device: 'eth0',
  async start(lab) {
    for (const index of [0, 1]) {
      const peer = 1 - index;
      await lab.ip(lab.host(index), [`route add ${subnetStem(peer)}.0/24 via ${lab.host(peer).address} dev eth0`]);
    }
    await joinAll(lab, UNDERLAY_MTU);
    return { daemons: [] };
  },
};

export const VXLAN: Candidate = {
  name: 'vxlan',
  description: 'kernel VXLAN, UDP port 8472, nolearning',
  mtuBytes: UNDERLAY_MTU - VXLAN_OVERHEAD_BYTES,
  labOptions: WITHOUT_ETCD,
  device: VXLAN_DEVICE,
  async start(lab) {
    for (const index of [0, 1]) await addVxlan(lab, index);
    await joinAll(lab, UNDERLAY_MTU - VXLAN_OVERHEAD_BYTES);
    return { daemons: [] };
  },
};

const macOf = (index: number) => `02:00:00:00:00:0${index + 1}`;

/** As flannel's vxlan backend: one neighbour and one forwarding entry for each other host, its subnet onlink. */
async function addVxlan(lab: Lab, index: number): Promise<void> {
  const host: LabHost = lab.host(index);
  const peer = 1 - index;
  const mtu = UNDERLAY_MTU - VXLAN_OVERHEAD_BYTES;
  await lab.ip(host, [
    `link add ${VXLAN_DEVICE} mtu ${mtu} address ${macOf(index)} type vxlan id 1 local ${host.address} dev eth0 dstport 8472 nolearning udpcsum`,
    `addr add ${subnetStem(index)}.0/32 dev ${VXLAN_DEVICE}`,
    `link set ${VXLAN_DEVICE} up`,
    `neigh replace ${subnetStem(peer)}.0 lladdr ${macOf(peer)} dev ${VXLAN_DEVICE} nud permanent`,
    `route add ${subnetStem(peer)}.0/24 via ${subnetStem(peer)}.0 dev ${VXLAN_DEVICE} onlink`,
  ]);
  const entry = ['dev', VXLAN_DEVICE, 'dst', lab.host(peer).address, 'self', 'permanent'];
  await lab.exec(host, ['bridge', 'fdb', 'replace', macOf(peer), ...entry]);
}
