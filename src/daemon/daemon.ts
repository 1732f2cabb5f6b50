/**
 * The composition root: starts the daemon in an order in which whatever can fail without a trace fails first, runs it
 * until a signal or a loss, and takes it down by the undo stack.
 *
 *   look:  privileges, device lock, external interface, configuration, overlap, UDP port
 *   claim: lease -> TUN device -> routes from etcd -> packet workers -> traffic rules -> subnet.env -> ready
 */
import { createEtcdClient, logHealth } from '../etcd-watch/etcd-client.ts';
import { type EtcdClient, systemClock } from '../etcd-watch/etcd-watch.ts';
import { type ExternalInterface, selectExternalInterface } from '../external-interface/external-interface.ts';
import { readNetworkView } from '../external-interface/network-view.ts';
import { findOverlap, overlapError } from '../external-interface/overlap.ts';
import { formatAddress, formatPrefix } from '../ip/ip.ts';
import { createLeaseManager } from '../lease/lease-manager.ts';
import { waitForConfig } from '../lease/wait-for-config.ts';
import type { Logger } from '../log/log.ts';
import type { UdpSocket } from '../native/addon.ts';
import { loadNative } from '../native/load.ts';
import { type NetworkConfig, parseNetworkConfig } from '../network-config/network-config.ts';
import { readUdpOptions } from '../network-config/udp-options.ts';
import { kernelRtnetlink } from '../rtnetlink/kernel-rtnetlink.ts';
import type { Rtnetlink } from '../rtnetlink/rtnetlink.ts';
import { readPreviousSubnet } from '../subnet-file/subnet-file-io.ts';
import { bindUnderlay, lockDevice, type SocketRole } from './claims.ts';
import type { Claim, DaemonContext } from './context.ts';
import { startHealthServer } from './health-server.ts';
import type { DaemonDeps, DaemonOptions, RunDaemon } from './options.ts';
import { runOverlay } from './overlay.ts';
import { readProcessStatus, requireNetAdmin } from './preflight.ts';
import { notifyServiceManager } from './service-manager.ts';
import { listenForStop, StopRequest } from './stop-signals.ts';
import { UndoStack } from './undo-stack.ts';

/** Device of the udp backend. */
const DEVICE_NAME = 'flannel0';

export const runDaemon: RunDaemon = async (options, deps) => {
  const { logger } = deps;
  const undo = new UndoStack(logger);
  const stop = listenForStop(process);
  try {
    await run(options, deps, undo, stop.signal);
    return 0;
  } catch (error) {
    if (!(error instanceof StopRequest)) throw error;
    logger.info({ signal: error.signalName }, 'stopping');
    notifyServiceManager(loadNative(), process.env, 'STOPPING=1', logger);
    return 0;
  } finally {
    await undo.unwind();
    stop.close();
  }
};

/** Ends by throwing: a {@link StopRequest}, or what keeps the daemon from starting or going on. */
async function run(
  options: DaemonOptions,
  { logger }: DaemonDeps,
  undo: UndoStack,
  signal: AbortSignal,
): Promise<void> {
  requireNetAdmin(readProcessStatus());
  const native = loadNative();
  const lock = lockDevice(native, DEVICE_NAME);
  undo.push('give back the device lock', () => native.closeFd(lock));
  const rtnetlink = kernelRtnetlink(native);
  const external = selectExternal(rtnetlink, options, logger);
  const client = createClient(options, logger);
  undo.push('close the etcd client', () => client.close());
  const context: DaemonContext = { options, logger, native, rtnetlink, client, undo, signal };
  const health = { isRunning: false };
  if (options.health !== undefined) {
    undo.push('stop the health server', await startHealthServer(options.health, () => health.isRunning));
  }
  const claim = await claimSubnet(context, external);
  await runOverlay(context, claim, DEVICE_NAME, health);
}

function selectExternal(rtnetlink: Rtnetlink, options: DaemonOptions, logger: Logger): ExternalInterface {
  const external = selectExternalInterface(readNetworkView(rtnetlink), options.externalInterface);
  for (const problem of external.rejected) logger.warn({}, `interface not used: ${problem}`);
  const { name, mtuBytes, selectedBy } = external;
  const fields = { interface: name, address: formatAddress(external.address), mtuBytes, selectedBy };
  logger.info({ ...fields, publicIp: formatAddress(external.publicIp) }, 'using external interface');
  return external;
}

function createClient({ etcd }: DaemonOptions, logger: Logger): EtcdClient {
  const { endpoints, credentials, tls } = etcd;
  return createEtcdClient({ endpoints, ...credentials, tls, onHealth: logHealth(logger) });
}

async function claimSubnet(context: DaemonContext, external: ExternalInterface): Promise<Claim> {
  const { options, logger, native, rtnetlink, client, undo, signal } = context;
  const config = await readConfig(context);
  const view = readNetworkView(rtnetlink);
  const overlapContext = { ownDevices: [DEVICE_NAME], externalInterface: external.name };
  const overlap = findOverlap(config.network, view, overlapContext);
  if (overlap !== undefined) throw overlapError(config.network, overlap);

  const { port } = readUdpOptions(config.backend.raw);
  const sockets = bindSockets(context, external, port);

  const manager = createLeaseManager({
    client,
    etcdPrefix: options.etcd.prefix,
    logger,
    clock: systemClock(),
    bootSeconds: native.bootTimeSeconds,
    random: Math.random,
  });
  const previous = await previousSubnet(options.subnetFile, logger);
  const attributes = { publicIp: external.publicIp, backendType: '' };
  const held = await manager.acquire({ config, attributes, ...(previous && { previous }) }, signal);
  undo.pushForFailedStart('release the lease', () => manager.release(held));
  const subnet = formatPrefix(held.lease.subnet.ipv4);
  logger.info({ subnet, key: held.key, how: held.origin, ttlSeconds: held.ttlSeconds }, 'holding a subnet lease');
  return { external, config, port, sockets, manager, held };
}

/**
 * The sockets of each worker: one at the network's port, and further ones at ports of the kernel's choice where flows
 * are to be spread. With several workers the port is first taken without SO_REUSEPORT: with it, a second daemon, or any
 * process of root's, would share the port without a sound.
 */
function bindSockets({ options, native, undo }: DaemonContext, external: ExternalInterface, port: number) {
  const { workers, sourcePorts, offloads } = options.packetPath;
  const wanted = { segmentation: offloads.has('udp-segmentation'), coalescing: offloads.has('udp-coalescing') };
  const open = (role: SocketRole): UdpSocket => {
    const socket = bindUnderlay(native, external.address, port, role, wanted);
    undo.push('close a UDP socket', () => native.closeFd(socket.fd));
    return socket;
  };
  if (workers > 1) native.closeFd(bindUnderlay(native, external.address, port, 'receiving', wanted).fd);
  return Array.from({ length: workers }, () => [
    open(workers > 1 ? 'receiving-shared' : 'receiving'),
    ...Array.from({ length: sourcePorts - 1 }, () => open('send-only')),
  ]);
}

async function readConfig({ options, logger, client, signal }: DaemonContext): Promise<NetworkConfig> {
  const config = await waitForConfig({
    client,
    etcdPrefix: options.etcd.prefix,
    parse: (value) => {
      const result = parseNetworkConfig(Buffer.from(value).toString('utf8'));
      if (result.ok) for (const note of result.notes) logger.warn({}, `configuration: ${note.message}`);
      return result;
    },
    logger,
    clock: systemClock(),
    random: Math.random,
    signal,
  });
  logger.info({ network: formatPrefix(config.network), backend: config.backend.type }, 'read the configuration');
  return config;
}

async function previousSubnet(path: string, logger: Logger) {
  const previous = await readPreviousSubnet(path);
  if (previous.kind === 'unreadable') logger.warn({}, `${previous.problem}; going on without a previous subnet`);
  const subnet = previous.kind === 'found' ? previous.file.subnet : undefined;
  return subnet === undefined ? undefined : { ipv4: subnet };
}
