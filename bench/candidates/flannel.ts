/** Everything that is started as flanneld with the udp backend: ours, a reference one, and the model of one. */
import type { Lab, LabHost, LabProcess } from '../../test/lab/lab.ts';
import { type Candidate, UNDERLAY_MTU } from './candidate.ts';

/** Outer IPv4 and UDP headers. */
const UDP_OVERHEAD_BYTES = 28;

type Start = (lab: Lab, host: LabHost) => LabProcess;

function daemonCandidate(name: string, description: string, showMemory: boolean, start: Start): Candidate {
  return {
    name,
    description,
    mtuBytes: UNDERLAY_MTU - UDP_OVERHEAD_BYTES,
    labOptions: { underlay: 'pair' },
    device: 'flannel0',
    async start(lab) {
      const daemons: LabProcess[] = [];
      // One after the other: each has its lease before the next asks for one.
      for (const host of lab.hosts) {
        const daemon = start(lab, host);
        daemons.push(daemon);
        await lab.joinContainers(host, daemon);
      }
      return { daemons: showMemory ? daemons : [] };
    },
  };
}

/** `flags` go to both daemons; `variant` tells several of ours apart. */
export function flannel0(flags: readonly string[], variant?: string): Candidate {
  const name = variant === undefined ? 'flannel0' : `flannel0:${variant}`;
  const description = ['this project', ...flags].join(' ');
  return daemonCandidate(name, description, true, (lab, host) => lab.startFlanneld(host, flags));
}

/** A real flanneld. `version` is what it says of itself. */
export function referenceFlanneld(binary: string, version: string): Candidate {
  return daemonCandidate('flanneld', `FLANNELD_REF, which says it is ${version}; udp backend`, true, (lab, host) =>
    lab.spawn(host, [
      binary,
      `-etcd-endpoints=${lab.etcdEndpoint}`,
      '-iface=eth0',
      `-subnet-file=${host.subnetFile}`,
      '-ip-masq=false',
    ]),
  );
}

/** Its packet path is the real one's loop in C++; its control plane is not, so its memory says nothing. */
export const MODEL_FLANNELD: Candidate = daemonCandidate(
  'flanneld-model',
  'MODEL of flanneld 0.20.2 (test/model-peer), one packet per system call; not the real one',
  false,
  (lab, host) => lab.startModelPeer(host),
);
