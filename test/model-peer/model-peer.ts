/**
 * A model of the real flanneld (v0.20.2, udp backend), which is not at hand: whole-host tests can put it in any host's
 * place. It imports nothing from src/, so that the two can only agree by both being right. Runs inside the host's
 * network namespace, as root:
 *
 *   node --import tsx test/model-peer/model-peer.ts --etcd-endpoints URL --iface eth0 --subnet-file FILE [--ip-masq]
 *
 * Order of the start: configuration, interface, lease, device and socket, masquerade, forward, subnet.env, peers,
 * lease monitor. Exit status 1: any error at the start; 2: what is a panic in v0.20.2, which every SIGTERM is.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { EtcdSubnets, type ModelConfig, type ModelEvent, type ModelLease } from './etcd-subnets.ts';
import * as host from './host.ts';
import { formatIpv4, formatNetwork, sameNetwork } from './ipv4.ts';

const FOLDER = dirname(fileURLToPath(import.meta.url));
const IPTABLES_RESYNC_MS = 5_000;
const RENEW_AFTER_MS = 23 * 3600 * 1000;
const RENEW_RETRY_MS = 60_000;

function log(line: string): void {
  console.error(line);
}

function readFlags() {
  return parseArgs({
    options: {
      'etcd-endpoints': { type: 'string', default: 'http://127.0.0.1:2379' },
      'etcd-prefix': { type: 'string', default: '/coreos.com/network' },
      iface: { type: 'string', default: 'eth0' },
      'public-ip': { type: 'string' },
      'subnet-file': { type: 'string', default: '/run/flannel/subnet.env' },
      'ip-masq': { type: 'boolean', default: false },
    },
  }).values;
}

interface Proxy {
  readonly child: ChildProcess;
  readonly device: string;
}

async function startProxy(config: ModelConfig, external: host.ExternalInterface, lease: ModelLease): Promise<Proxy> {
  const built = spawnSync('make', ['-s', '-C', FOLDER], { stdio: ['ignore', 'inherit', 'inherit'] });
  if (built.status !== 0) throw new Error('cannot build the proxy');
  const settings = [
    ...['--mtu', String(host.deviceMtu(external))],
    ...['--listen', `${external.address}:${config.port}`],
    ...['--device-address', formatIpv4(lease.subnet.base)],
  ];
  const child = spawn(join(FOLDER, 'build', 'proxy'), settings, { stdio: ['pipe', 'pipe', 'inherit'] });
  const device = await new Promise<string>((resolve, reject) => {
    child.once('exit', () => reject(new Error('the proxy did not start')));
    createInterface(child.stdout).once('line', (line) => resolve(line.replace('device ', '')));
  });
  child.removeAllListeners('exit');
  child.once('exit', (status) => process.exit(status ?? 2));
  return { child, device };
}

function keepChains(chains: readonly host.Chain[]): void {
  for (const chain of chains) host.fillChain(chain);
  setInterval(() => {
    for (const chain of chains) if (!host.chainIsThere(chain)) host.fillChain(chain);
  }, IPTABLES_RESYNC_MS).unref();
}

function applyToProxy(proxy: Proxy, config: ModelConfig, own: ModelLease, event: ModelEvent): void {
  const subnet = event.kind === 'put' ? event.lease.subnet : event.subnet;
  if (sameNetwork(subnet, own.subnet)) return;
  const target = formatNetwork(subnet);
  log(event.kind === 'put' ? `Subnet added: ${target} via ${event.lease.publicIp}` : `Subnet removed: ${target}`);
  const line = event.kind === 'put' ? `set ${target} ${event.lease.publicIp} ${config.port}` : `del ${target}`;
  proxy.child.stdin?.write(`${line}\n`);
}

async function renewForEver(subnets: EtcdSubnets, lease: ModelLease): Promise<never> {
  let waitMs = RENEW_AFTER_MS;
  for (;;) {
    await new Promise((resolve) => setTimeout(resolve, waitMs));
    waitMs = await subnets.renew(lease).then(
      () => RENEW_AFTER_MS,
      (error) => {
        log(`Error renewing lease (trying again in 1 min): ${error}`);
        return RENEW_RETRY_MS;
      },
    );
  }
}

function panic(error: unknown): never {
  log(`panic: ${error}`);
  process.exit(2);
}

async function main(): Promise<void> {
  const flags = readFlags();
  const subnets = new EtcdSubnets(flags['etcd-endpoints'].split(','), flags['etcd-prefix'], log);
  const config = await subnets.config();
  if (config.backendType !== 'udp') throw new Error(`unknown backend type: ${config.backendType}`);
  const external = host.findInterface(flags.iface);
  const publicIp = flags['public-ip'] ?? external.address;
  const lease = await subnets.acquire(config, publicIp, host.readPreviousSubnet(flags['subnet-file']));
  log(`Lease acquired: ${formatNetwork(lease.subnet)}`);

  const proxy = await startProxy(config, external, lease);
  const mtuBytes = host.deviceMtu(external);
  host.configureDevice(proxy.device, lease.subnet, config.network, mtuBytes);
  const masquerade = flags['ip-masq'] ? [host.masqueradeChain(config.network, lease.subnet)] : [];
  keepChains([...masquerade, host.forwardChain(config.network)]);
  host.writeSubnetFile(flags['subnet-file'], config.network, lease.subnet, mtuBytes, flags['ip-masq']);

  void subnets.watchLeases((event) => applyToProxy(proxy, config, lease, event)).catch(panic);
  const revoked = (event: ModelEvent) => {
    if (event.kind === 'delete') panic('Lease has been revoked. Shutting down daemon.');
  };
  void subnets.watchOwn(lease, revoked).catch(panic);
  void renewForEver(subnets, lease);
}

// The proxy ends when its standard input does, so it never outlives this process.
for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => panic(`shutting down on ${signal}`));
main().catch((error: Error) => {
  log(`Error: ${error.message}`);
  process.exit(1);
});
