/** Memory of our daemon in a network of 10,000 hosts: a lab of its own, because it needs a larger network. */
import { setTimeout as delay } from 'node:timers/promises';
import { createLab, ETCD_PREFIX, type Lab, type LabProcess, waitFor } from '../../test/lab/lab.ts';
import type { Measured } from '../measurement.ts';
import { rssMib } from '../processor.ts';
import { linkTraffic } from '../underlay.ts';

const ROUTES = 10_000;
const NETWORK_CONFIG = '{"Network":"10.0.0.0/8","SubnetLen":24,"SubnetMin":"10.250.0.0","Backend":{"Type":"udp"}}';
/** etcd's default limit of one transaction is 128 operations. */
const PUTS_PER_TRANSACTION = 100;
const PINGS = 20;
const SETTLE_MS = 1_000;

/** The subnet of lease number `index`, from 10.1.0.0/24 upwards: below SubnetMin, where the daemon takes none itself. */
export function leasedSubnet(index: number): string {
  return `10.${1 + Math.floor(index / 256)}.${index % 256}.0`;
}

export async function measureManyRoutes(flags: readonly string[]): Promise<Measured> {
  const lab = await createLab({ underlay: 'pair', networkConfig: NETWORK_CONFIG });
  try {
    await putLeases(lab);
    const daemon = lab.startFlanneld(lab.host(0), flags);
    await lab.joinContainers(lab.host(0), daemon);
    await waitForLastRoute(lab, daemon);
    await delay(SETTLE_MS);
    return { rssMib: rssMib(daemon.pid) };
  } finally {
    await lab.close();
  }
}

async function putLeases(lab: Lab): Promise<void> {
  // Quoted for etcdctl, whose strings are Go's: of what stands in this one, the same as JSON's.
  const value = JSON.stringify(JSON.stringify({ PublicIP: lab.host(1).address, BackendType: 'udp' }));
  const place = { namespace: lab.topology.etcdNamespace };
  for (let first = 0; first < ROUTES; first += PUTS_PER_TRANSACTION) {
    const puts = Array.from(
      { length: PUTS_PER_TRANSACTION },
      (_, i) => `put ${ETCD_PREFIX}/subnets/${leasedSubnet(first + i)}-24 ${value}`,
    );
    // etcdctl txn reads conditions, then what to do if they hold, then what otherwise; each list ends with a blank line.
    const input = `\n${puts.join('\n')}\n\n\n`;
    await lab.exec(place, ['etcdctl', '--endpoints', lab.etcdEndpoint, 'txn'], { input, env: { ETCDCTL_API: '3' } });
  }
}

/** What is sent into the last lease's subnet reaches the wire: that route, and those before it, are in effect. */
async function waitForLastRoute(lab: Lab, daemon: LabProcess): Promise<void> {
  const target = leasedSubnet(ROUTES - 1).replace(/0$/, '1');
  const ping = ['ping', '-c', String(PINGS), '-i', '0.01', '-W', '1', '-q', target];
  const sent = async () => {
    const before = await linkTraffic(lab, lab.host(0), 'eth0');
    await lab.exec(lab.host(0), ping, { anyStatus: true });
    const after = await linkTraffic(lab, lab.host(0), 'eth0');
    return after.tx.packets - before.tx.packets >= PINGS;
  };
  await lab.waitWhileRunning(daemon, () => waitFor(sent, 20_000, 'pings on the wire'), 21_000, 'the last route');
}
