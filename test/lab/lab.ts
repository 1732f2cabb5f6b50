/**
 * A lab of whole hosts in network namespaces, for tests, the demo and the benchmarks.
 *
 *     h1c1: eth0 10.5.A.2                                  h2c1: eth0 10.5.B.2
 *            │ mtu FLANNEL_MTU                                    │
 *     h1: docker0 10.5.A.1/24                              h2: docker0 10.5.B.1/24
 *         flannel0 10.5.A.0/32  ◄── flanneld                   flannel0 10.5.B.0/32  ◄── flanneld
 *         eth0 172.31.0.1/24, default via 172.31.0.250         eth0 172.31.0.2/24
 *            │ veth, mtu 1500                                     │
 *     wire: ─┴───────────────────── br0 172.31.0.250 ──────┬──────┴── (h3, h4, ...)
 *                                                          │
 *                                          etcd: eth0 172.31.0.100, port 2379
 *
 * Where the underlay is a `pair`, two hosts' eth0 are the two ends of one veth, and etcd runs on h1. Namespaces are
 * named `fl0-PID-N-...`: two labs never meet, and one whose process was killed can be told by its pid and swept.
 */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type EtcdInLab, startEtcd } from './etcd-in-lab.ts';
import {
  collect,
  type ExecOptions,
  type ExecResult,
  execute,
  type LabProcess,
  type SpawnOptions,
  startProcess,
} from './process.ts';
import {
  type ContainerPlan,
  dockerCommands,
  type HostPlan,
  hostSysctls,
  planTopology,
  type Topology,
  type TopologyOptions,
  underlayEndCommands,
  underlayLinkCommands,
  WIRE_SYSCTLS,
} from './topology.ts';
import { waitFor } from './wait-for.ts';

export type { ExitStatus, LabProcess } from './process.ts';
export { waitFor } from './wait-for.ts';

export const REPOSITORY = fileURLToPath(new URL('../../', import.meta.url));
const FOLDER_PREFIX = 'flannel0-lab-';
const FLANNELD = join(REPOSITORY, 'bin', 'flanneld');

export interface LabOptions extends Partial<TopologyOptions> {
  /** Start etcd (default true). */
  readonly etcd?: boolean;
  /** Text put at `/coreos.com/network/config`; undefined leaves the key out. */
  readonly networkConfig?: string | undefined;
}

export interface Container extends ContainerPlan {
  /** Its address; undefined until `joinContainers`. */
  address: string | undefined;
}

export interface LabHost extends HostPlan {
  readonly containers: readonly Container[];
  /** A private folder of the host; `subnetFile` lies in it. */
  readonly folder: string;
  readonly subnetFile: string;
}

export interface SubnetEnv {
  readonly network: string;
  /** The bridge's address with its length, `10.5.21.1/24`. */
  readonly subnet: string;
  readonly mtuBytes: number;
  readonly ipMasq: string;
}

/** A host, a container, or any other namespace. */
export interface Place {
  readonly namespace: string;
}

export const NETWORK_CONFIG = '{"Network":"10.5.0.0/16","Backend":{"Type":"udp"}}';
export const ETCD_PREFIX = '/coreos.com/network';

let labCount = 0;
const openLabs = new Set<Lab>();

/** Builds a lab and starts its etcd. The caller closes it, also after a failed test. */
export async function createLab(options: LabOptions = {}): Promise<Lab> {
  await sweepDeadLabs();
  const topologyOptions: TopologyOptions = {
    hostCount: options.hostCount ?? 2,
    underlay: options.underlay ?? 'bridge',
    underlayMtu: options.underlayMtu ?? 1500,
    containersPerHost: options.containersPerHost ?? 1,
    reversePathFilter: options.reversePathFilter ?? 0,
  };
  const lab = new Lab(planTopology(`fl0-${process.pid}-${++labCount}`, topologyOptions));
  closeLabsOnExit();
  openLabs.add(lab);
  try {
    await lab.build();
    if (options.etcd !== false) await lab.startEtcd();
    const config = 'networkConfig' in options ? options.networkConfig : NETWORK_CONFIG;
    if (options.etcd !== false && config !== undefined) await lab.putConfig(config);
    return lab;
  } catch (error) {
    await lab.close();
    throw error;
  }
}

export class Lab {
  readonly topology: Topology;
  readonly hosts: readonly LabHost[];
  /** `http://172.31.0.100:2379`, reachable from the hosts. */
  readonly etcdEndpoint: string;
  readonly #folder: string;
  readonly #processes = new Set<LabProcess>();
  #etcd: EtcdInLab | undefined;
  #building: Promise<void> | undefined;
  #closing: Promise<void> | undefined;

  constructor(topology: Topology) {
    this.topology = topology;
    this.#folder = mkdtempSync(join(tmpdir(), `${FOLDER_PREFIX}${process.pid}-`));
    this.etcdEndpoint = `http://${topology.etcdAddress}:2379`;
    this.hosts = topology.hosts.map((plan) => {
      const folder = join(this.#folder, plan.name);
      mkdirSync(folder);
      const containers = plan.containers.map((container) => ({ ...container, address: undefined }));
      return { ...plan, containers, folder, subnetFile: join(folder, 'flannel', 'subnet.env') };
    });
  }

  /** Host number `index`, from 0. */
  host(index: number): LabHost {
    const host = this.hosts[index];
    if (host === undefined) throw new RangeError(`the lab has no host ${index}`);
    return host;
  }

  /** The first container of host number `index`. */
  container(index: number): Container {
    const container = this.host(index).containers[0];
    if (container === undefined) throw new RangeError(`host ${index} has no container`);
    return container;
  }

  /** Runs `argv` in a namespace to its end; a status other than 0 throws, unless `anyStatus`. */
  async exec(place: Place, argv: readonly string[], options: ExecOptions = {}): Promise<ExecResult> {
    return collect(this.spawn(place, argv, { ...options, writable: options.input !== undefined }), options);
  }

  /** Starts `argv` in a namespace; `close` stops it where the test has not. */
  spawn(place: Place, argv: readonly string[], options?: SpawnOptions): LabProcess {
    if (this.#closing !== undefined) throw new Error('the lab is being closed');
    const started = startProcess(argv, place.namespace, options);
    this.#processes.add(started);
    void started.exited.then(() => this.#processes.delete(started));
    return started;
  }

  /**
   * Starts `bin/flanneld` on a host. Where `flags` and `env` say nothing else it takes the lab's etcd, eth0 and the
   * host's own subnet file, which it gets as environment variables: flags override them. `wrapper` is a command line
   * that ends in executing the one behind it.
   */
  startFlanneld(
    host: LabHost,
    flags: readonly string[] = [],
    env: Readonly<Record<string, string>> = {},
    wrapper: readonly string[] = [],
  ): LabProcess {
    return this.spawn(host, [...wrapper, FLANNELD, ...flags], {
      env: {
        FLANNELD_ETCD_ENDPOINTS: this.etcdEndpoint,
        FLANNELD_IFACE: 'eth0',
        FLANNELD_SUBNET_FILE: host.subnetFile,
        ...env,
      },
    });
  }

  /** Starts the model of a real flanneld (v0.20.2) on a host: see test/model-peer. */
  startModelPeer(host: LabHost, flags: readonly string[] = []): LabProcess {
    const program = [process.execPath, '--import', 'tsx', join(REPOSITORY, 'test', 'model-peer', 'model-peer.ts')];
    const settings = ['--etcd-endpoints', this.etcdEndpoint, '--iface', 'eth0', '--subnet-file', host.subnetFile];
    return this.spawn(host, [...program, ...settings, ...flags], { cwd: REPOSITORY });
  }

  /**
   * Waits for the host's subnet.env and does what dockerd does with it: docker0 gets the subnet's address, each
   * container the next free one, all of them FLANNEL_MTU.
   */
  async joinContainers(host: LabHost, daemon: LabProcess, deadlineMs = 20_000): Promise<SubnetEnv> {
    const env = await this.waitForSubnetEnv(host, daemon, deadlineMs);
    await this.addressContainers(host, env);
    return env;
  }

  /** Gives docker0 and the containers of a host the addresses and the MTU that `env` means for them. */
  async addressContainers(host: LabHost, env: SubnetEnv): Promise<void> {
    const [bridgeAddress = '', length = ''] = env.subnet.split('/');
    const base = bridgeAddress.split('.').slice(0, 3).join('.');
    const mtu = `mtu ${env.mtuBytes}`;
    const ports = host.containers.map(({ port }) => `link set ${port} ${mtu}`);
    await this.ip(host, [...ports, `link set docker0 ${mtu}`, `addr replace ${env.subnet} dev docker0`]);
    for (const [index, container] of host.containers.entries()) {
      container.address = `${base}.${index + 2}`;
      await this.ip(container, [
        'link set lo up',
        'addr flush dev eth0 scope global',
        `link set eth0 ${mtu} up`,
        `addr add ${container.address}/${length} dev eth0`,
        `route replace default via ${bridgeAddress} dev eth0`,
      ]);
    }
  }

  waitForSubnetEnv(host: LabHost, daemon: LabProcess, deadlineMs = 20_000): Promise<SubnetEnv> {
    return this.waitWhileRunning(
      daemon,
      () => readSubnetEnv(host.subnetFile),
      deadlineMs,
      `subnet.env on ${host.name}`,
    );
  }

  /** As `waitFor`, and gives up at once when `daemon` ends; its output is part of the error. */
  async waitWhileRunning<T>(
    daemon: LabProcess,
    condition: () => T | Promise<T>,
    deadlineMs: number,
    what: string,
  ): Promise<NonNullable<T>> {
    const settled = await Promise.race([
      daemon.exited.then(
        ({ status, signal }) => new Error(`${what}: the daemon ended with ${signal ?? `status ${status}`}`),
      ),
      waitFor(condition, deadlineMs, what).catch((error: Error) => error),
    ]);
    if (settled instanceof Error) throw new Error(`${settled.message}\n${daemon.output().trim()}`);
    return settled;
  }

  /** Runs lines of `ip -batch` in a namespace. */
  async ip(place: Place, lines: readonly string[]): Promise<void> {
    await execute(['ip', '-n', place.namespace, '-batch', '-'], undefined, { input: `${lines.join('\n')}\n` });
  }

  /** Runs etcdctl (API v3) against the lab's etcd; returns its standard output. */
  async etcdctl(...args: readonly string[]): Promise<string> {
    const argv = ['etcdctl', '--endpoints', this.etcdEndpoint, ...args];
    const place = { namespace: this.topology.etcdNamespace };
    return (await this.exec(place, argv, { env: { ETCDCTL_API: '3' } })).stdout;
  }

  async putConfig(text: string): Promise<void> {
    await this.etcdctl('put', `${ETCD_PREFIX}/config`, text);
  }

  async startEtcd(): Promise<void> {
    this.#etcd ??= await startEtcd(this, join(this.#folder, 'etcd'));
  }

  build(): Promise<void> {
    this.#building ??= this.#build();
    return this.#building;
  }

  async #build(): Promise<void> {
    const { bridgeNamespace, namespaces, hosts, options } = this.topology;
    await execute(['ip', '-batch', '-'], undefined, {
      input: namespaces.map((name) => `netns add ${name}\n`).join(''),
    });
    const wire = bridgeNamespace ?? this.host(0).namespace;
    for (const host of hosts) await this.#sysctl(host.namespace, hostSysctls(options));
    await this.ip({ namespace: wire }, underlayLinkCommands(this.topology));
    if (bridgeNamespace !== undefined) {
      await this.#sysctl(bridgeNamespace, WIRE_SYSCTLS);
      await this.ip({ namespace: this.topology.etcdNamespace }, underlayEndCommands(this.topology.etcdAddress));
    }
    for (const host of hosts) await this.ip(host, [...underlayEndCommands(host.address), ...dockerCommands(host)]);
  }

  /** Writes below /proc/sys, which shows the namespace of the process that opens it. Absent files are left out. */
  async #sysctl(namespace: string, settings: readonly (readonly [string, string])[]): Promise<void> {
    const lines = settings.map(([path, value]) => `[ ! -e /proc/sys/${path} ] || echo ${value} > /proc/sys/${path}`);
    await execute(['sh', '-e'], namespace, { input: `${lines.join('\n')}\n` });
  }

  /** Stops every process, removes every namespace and file. Idempotent; never throws before all was tried. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    // What a build cut short has made is only known once it has ended; its error is its caller's.
    await this.#building?.catch(() => {});
    await Promise.all([...this.#processes].map((started) => started.stop('SIGTERM', 5_000)));
    const { namespaces } = this.topology;
    const input = namespaces.map((name) => `netns del ${name}\n`).join('');
    // -force: one namespace that is not there (a build that failed) does not keep the others.
    await execute(['ip', '-force', '-batch', '-'], undefined, { input, anyStatus: true });
    rmSync(this.#folder, { recursive: true, force: true });
    openLabs.delete(this);
  }
}

/** What subnet.env says, or undefined while it is not there. */
export function readSubnetEnv(path: string): SubnetEnv | undefined {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  const value = (name: string) => new RegExp(`^FLANNEL_${name}=(.*)$`, 'm').exec(text)?.[1] ?? '';
  return {
    network: value('NETWORK'),
    subnet: value('SUBNET'),
    mtuBytes: Number(value('MTU')),
    ipMasq: value('IPMASQ'),
  };
}

let exitHooked = false;

/** A signal or an uncaught error closes all open labs first; then it has its usual effect. */
function closeLabsOnExit(): void {
  if (exitHooked) return;
  exitHooked = true;
  const closeAll = () => Promise.allSettled([...openLabs].map((lab) => lab.close()));
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  let closing = false;
  for (const signal of signals) {
    process.on(signal, () => {
      // A second Ctrl-C must not leave half a lab behind; closing takes a few seconds at most.
      if (closing) return;
      closing = true;
      void closeAll().then(() => {
        for (const name of signals) process.removeAllListeners(name);
        process.kill(process.pid, signal);
      });
    });
  }
  process.once('uncaughtException', (error) => {
    console.error(error);
    void closeAll().then(() => process.exit(1));
  });
}

/**
 * Removes namespaces and folders of labs whose process was killed before it could. Their own processes died with it
 * (see `startProcess`), so only names and files are left.
 */
async function sweepDeadLabs(): Promise<void> {
  const { stdout } = await execute(['ip', 'netns', 'list'], undefined);
  const dead = [...stdout.matchAll(/^(fl0-([0-9]+)-\S+)/gm)].filter(([, , pid]) => !isAlive(Number(pid)));
  const input = dead.map(([, name]) => `netns del ${name}\n`).join('');
  if (input !== '') await execute(['ip', '-force', '-batch', '-'], undefined, { input, anyStatus: true });
  for (const entry of readdirSync(tmpdir())) {
    const pid = new RegExp(`^${FOLDER_PREFIX}([0-9]+)-`).exec(entry)?.[1];
    if (pid !== undefined && !isAlive(Number(pid))) rmSync(join(tmpdir(), entry), { recursive: true, force: true });
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
