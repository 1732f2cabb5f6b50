import type { Lab } from './lab.ts';
import type { LabProcess } from './process.ts';
import { waitFor } from './wait-for.ts';

export interface EtcdInLab {
  readonly process: LabProcess;
}

/** Starts a one-member etcd in the lab's etcd namespace, with its data in `folder`, and waits until it answers. */
export async function startEtcd(lab: Lab, folder: string): Promise<EtcdInLab> {
  const peer = 'http://127.0.0.1:2380';
  const client = lab.etcdEndpoint;
  await lab.ip({ namespace: lab.topology.etcdNamespace }, ['link set lo up']);
  const etcd = lab.spawn({ namespace: lab.topology.etcdNamespace }, [
    'etcd',
    ...['--name', 'lab', '--data-dir', folder],
    ...['--listen-client-urls', client, '--advertise-client-urls', client],
    ...['--listen-peer-urls', peer, '--initial-advertise-peer-urls', peer, '--initial-cluster', `lab=${peer}`],
  ]);
  await waitFor(
    () => {
      const exit = etcd.exitStatus();
      if (exit !== undefined) throw new Error(`etcd ended: ${etcd.output().slice(-2000)}`);
      return lab.etcdctl('endpoint', 'health').then(() => true);
    },
    15_000,
    'etcd in the lab',
  );
  return { process: etcd };
}
