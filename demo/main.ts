/**
 * `npm run demo`: two hosts with a container each, in network namespaces of this machine; a real etcd; a flanneld on
 * each host. Shows that the containers reach each other, and how fast. Everything is gone afterwards, also after
 * Ctrl-C. Exit status 0 only if all of it worked.
 */
import { spawnSync } from 'node:child_process';
import {
  createLab,
  ETCD_PREFIX,
  type Lab,
  type LabHost,
  type LabProcess,
  NETWORK_CONFIG,
  waitFor,
} from '../test/lab/lab.ts';
import { drawPicture, type HostView } from './picture.ts';
import { checkPrivileges } from './privileges.ts';

const IPERF_SECONDS = 3;

let interrupted = false;
let step = 0;

function headline(text: string): void {
  step += 1;
  console.log(`\n${step}. ${text}`);
}

function show(text: string): void {
  for (const line of text.trimEnd().split('\n')) console.log(`     ${line}`);
}

interface RunningHost {
  readonly host: LabHost;
  readonly daemon: LabProcess;
  readonly view: HostView;
}

async function startHosts(lab: Lab): Promise<RunningHost[]> {
  const flags = ['--etcd-endpoints', lab.etcdEndpoint, '--iface', 'eth0', '--ip-masq'];
  show(`$ flanneld ${flags.join(' ')}`);
  const daemons = lab.hosts.map((host) => ({
    host,
    daemon: lab.startFlanneld(host, [...flags, '--subnet-file', host.subnetFile]),
  }));
  return Promise.all(
    daemons.map(async ({ host, daemon }, index) => {
      const env = await lab.joinContainers(host, daemon);
      show(`${host.name} has its subnet, and wrote subnet.env for dockerd: docker0 gets ${env.subnet}`);
      const containerAddress = lab.container(index).address ?? '';
      return { host, daemon, view: { name: host.name, underlayAddress: host.address, containerAddress, env } };
    }),
  );
}

async function showLeases(lab: Lab): Promise<void> {
  const text = await lab.etcdctl('get', '--prefix', `${ETCD_PREFIX}/subnets`);
  const lines = text.trim().split('\n');
  for (let i = 0; i + 1 < lines.length; i += 2) show(`${lines[i]}  ${lines[i + 1]}`);
}

async function ping(lab: Lab, target: string): Promise<void> {
  const container = lab.container(0);
  const once = () => lab.exec(container, ['ping', '-c', '1', '-W', '1', '-q', target]);
  await waitFor(once, 15_000, `first ping from ${container.address} to ${target} (routes from etcd)`);
  show(`$ ping -c 3 ${target}        (in container h1c1, ${container.address})`);
  const { stdout } = await lab.exec(container, ['ping', '-c', '3', '-i', '0.2', target]);
  show(
    stdout
      .split('\n')
      .filter((line) => /ttl=|packet loss|^rtt/.test(line))
      .join('\n'),
  );
  show('ttl is 60: two kernels and two flanneld took one hop each from 64');
}

/** Mbit/s that arrived. */
async function iperf(lab: Lab, target: string, flags: readonly string[]): Promise<number> {
  const server = lab.spawn(lab.container(1), ['iperf3', '-s', '-1', '--forceflush']);
  await waitFor(() => server.stdout().includes('listening'), 5_000, 'iperf3 server');
  const { stdout } = await lab.exec(lab.container(0), [
    'iperf3',
    '-c',
    target,
    '-J',
    '-t',
    String(IPERF_SECONDS),
    ...flags,
  ]);
  await server.exited;
  const { end } = JSON.parse(stdout) as { end: { sum_received: { bits_per_second: number } } };
  return end.sum_received.bits_per_second / 1e6;
}

async function measure(lab: Lab, from: string, to: string): Promise<void> {
  show(`$ iperf3 -c ${to} -t ${IPERF_SECONDS}        (in h1c1)`);
  const forth = await iperf(lab, to, []);
  if (!(forth > 0)) throw new Error(`iperf3 moved nothing from ${from} to ${to}`);
  show(`h1c1 ${from}  ->  h2c1 ${to}   TCP ${forth.toFixed(0)} Mbit/s`);
  const back = await iperf(lab, to, ['-R']);
  if (!(back > 0)) throw new Error(`iperf3 moved nothing from ${to} to ${from}`);
  show(`h1c1 ${from}  <-  h2c1 ${to}   TCP ${back.toFixed(0)} Mbit/s`);
}

async function stopHosts(hosts: readonly RunningHost[]): Promise<void> {
  for (const { host, daemon } of hosts) {
    const { status, signal } = await daemon.stop('SIGTERM');
    if (status !== 0)
      throw new Error(`flanneld on ${host.name} ended with ${signal ?? `status ${status}`}\n${daemon.output()}`);
    show(`flanneld on ${host.name}: stopped by SIGTERM, exit status 0`);
  }
}

async function demonstrate(lab: Lab): Promise<void> {
  headline('Two hosts on one wire, and a real etcd');
  for (const host of lab.hosts) show(`${host.name}   ${host.address}   (network namespace ${host.namespace})`);
  show(`etcd ${lab.etcdEndpoint}`);
  show(`$ etcdctl put ${ETCD_PREFIX}/config '${NETWORK_CONFIG}'`);

  headline('A flanneld on each host');
  const hosts = await startHosts(lab);
  const [left, right] = hosts.map(({ view }) => view);
  if (left === undefined || right === undefined) throw new Error('the demo needs two hosts');
  console.log(`\n${drawPicture(left, right)}`);

  headline('Leases in etcd: who holds which subnet');
  await showLeases(lab);

  headline(`Routes on h1: the whole network ${left.env.network} leads into flannel0`);
  show((await lab.exec(lab.host(0), ['ip', 'route'])).stdout);

  headline('The containers reach each other');
  await ping(lab, right.containerAddress);

  headline('How fast');
  await measure(lab, left.containerAddress, right.containerAddress);

  headline('Stop');
  await stopHosts(hosts);
}

async function main(): Promise<number> {
  const privileges = checkPrivileges([process.execPath, ...process.execArgv, ...process.argv.slice(1)]);
  if (privileges.kind === 'missing') {
    console.error(`demo: ${privileges.message}`);
    return 1;
  }
  if (privileges.kind === 'user-namespace') {
    console.log('demo: not root, so everything happens in a user namespace');
    // A Ctrl-C reaches the child as well, and it is the child that cleans up.
    process.on('SIGINT', () => {});
    const [command = '', ...rest] = privileges.argv;
    return spawnSync(command, rest, { stdio: 'inherit' }).status ?? 1;
  }
  const started = performance.now();
  const lab = await createLab();
  try {
    await demonstrate(lab);
  } finally {
    await lab.close();
  }
  console.log(`\nAll worked, and all is gone again. ${((performance.now() - started) / 1000).toFixed(1)} s\n`);
  return 0;
}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => {
    if (!interrupted) console.log('\ndemo: stopped; taking everything down');
    interrupted = true;
  });
}
try {
  process.exitCode = await main();
} catch (error) {
  // What breaks while the lab is taken down by a signal is no news; the signal ends us when that is done.
  if (!interrupted) {
    console.error(`\ndemo: FAILED: ${error instanceof Error ? error.message : error}`);
    process.exitCode = 1;
  }
}
