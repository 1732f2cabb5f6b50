/** The overlay while it runs: device, routes, packet workers, traffic rules, subnet file, lease renewal. */
import { Forwarder } from '../backend/forwarder.ts';
import { routesOf } from '../backend/lease-routes.ts';
import { offloadsInUse, tunOffloadsOf } from '../backend/offloads.ts';
import { deviceMtu } from '../encap/mtu.ts';
import { OperatorError } from '../errors/errors.ts';
import { type ListWatchSink, systemClock } from '../etcd-watch/etcd-watch.ts';
import { createListWatch } from '../etcd-watch/list-watch-runner.ts';
import { combineSinks, logListWatch } from '../etcd-watch/watch-log.ts';
import { createCommandRunner } from '../firewall/command-runner.ts';
import { createIptablesFirewall } from '../firewall/iptables-firewall.ts';
import { startResync } from '../firewall/resync.ts';
import { readRulesetGeneration } from '../firewall/ruleset-generation.ts';
import { baseAddress, formatPrefix, prefixOf } from '../ip/ip.ts';
import { createLeaseTable, subnetsPrefix } from '../lease/lease-table.ts';
import { createRenewal, type Renewal } from '../lease/renewal.ts';
import type { RenewalEvent } from '../lease/renewal-machine.ts';
import type { Logger } from '../log/log.ts';
import { RoutePublisher } from '../routing-table/route-publisher.ts';
import { RoutingTable } from '../routing-table/routing-table.ts';
import { formatSubnetFile } from '../subnet-file/subnet-file.ts';
import { writeSubnetFile } from '../subnet-file/subnet-file-io.ts';
import { type TunDevice, TX_QUEUE_LENGTH } from '../tun/tun.ts';
import { openTun } from '../tun/tun-device.ts';
import { keepBlackholeRoute } from './blackhole-route.ts';
import type { Claim, DaemonContext } from './context.ts';
import { followLocalAddresses } from './local-addresses.ts';
import { notifyServiceManager } from './service-manager.ts';

/** iptables answers in milliseconds; a held xtables lock may take a while. */
const COMMAND_LIMITS = { timeoutMs: 30_000, maxOutputBytes: 64 * 1024 * 1024 };

/** Ends by throwing: the reason of `context.signal`, or why the overlay cannot go on. */
export async function runOverlay(
  context: DaemonContext,
  claim: Claim,
  deviceName: string,
  health: { isRunning: boolean },
): Promise<void> {
  const { options, logger, native, undo, signal } = context;
  const lost = createLoss();
  const mtuBytes = deviceMtu(claim.external.mtuBytes, claim.external.name);
  const device = makeDevice(context, claim, deviceName, mtuBytes);
  const forwarder = makeForwarder(context, claim, device, health, lost.report);
  const renewal = makeRenewal(context, claim, lost.report);
  await Promise.race([followLeases(context, claim, forwarder, renewal), aborted(signal), lost.promise]);
  forwarder.start();
  health.isRunning = true;
  // To its end, whatever happens meanwhile: what is still being installed cannot be taken back.
  await installFirewall(context, claim);
  await Promise.race([lost.promise, undefined]);
  keepBlackhole(context, claim);
  const { network } = claim.config;
  const subnet = claim.held.lease.subnet.ipv4;
  signal.throwIfAborted();
  await writeSubnetFile(
    options.subnetFile,
    formatSubnetFile({ network, subnet, mtuBytes, ipMasq: options.firewall.ipMasq }),
  );
  undo.started();
  notifyServiceManager(native, process.env, 'READY=1', logger);
  logger.info({ subnet: formatPrefix(subnet), device: deviceName, mtuBytes, subnetFile: options.subnetFile }, 'ready');
  await Promise.race([aborted(signal), lost.promise]);
}

/** What ends the overlay from within, reported by whoever notices it first. */
function createLoss(): { readonly promise: Promise<never>; report(error: OperatorError): void } {
  let report: (error: OperatorError) => void = () => {};
  const promise = new Promise<never>((_, reject) => {
    report = reject;
  });
  // It may come while nobody waits for it yet; whoever asks later gets it all the same.
  promise.catch(() => {});
  return { promise, report };
}

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    if (signal.aborted) reject(signal.reason as Error);
    signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
  });
}

function makeDevice(context: DaemonContext, claim: Claim, name: string, mtuBytes: number): TunDevice {
  const { options, native, rtnetlink, logger, undo } = context;
  const desired = {
    name,
    mtuBytes,
    address: prefixOf(baseAddress(claim.held.lease.subnet.ipv4), 32),
    route: claim.config.network,
    queues: options.packetPath.workers,
    offloads: tunOffloadsOf(options.packetPath.offloads),
    txQueueLength: TX_QUEUE_LENGTH,
    acceptLocal: true,
  };
  const device = openTun(native, rtnetlink, desired, logger);
  undo.push('close the TUN device', () => device.close());
  logger.info({ device: name, address: formatPrefix(desired.address), mtuBytes }, 'opened the TUN device');
  return device;
}

function makeForwarder(
  context: DaemonContext,
  claim: Claim,
  device: TunDevice,
  health: { isRunning: boolean },
  onLost: (error: OperatorError) => void,
): Forwarder {
  const { options, native, rtnetlink, logger, undo } = context;
  const segmentation = claim.sockets.flat().every((socket) => socket.segmentation);
  const coalescing = claim.sockets.every(([socket]) => socket?.coalescing === true);
  const inUse = offloadsInUse(device.offloads, { segmentation, coalescing });
  logger.info({ workers: claim.sockets.length, offloads: inUse }, 'set up the packet path');
  const forwarder = new Forwarder(native, {
    tunFds: device.fds,
    udpFds: claim.sockets.map((set) => set.map((socket) => socket.fd)),
    tunOffloads: device.offloads,
    udpSegmentation: segmentation,
    udpCoalescing: coalescing,
    pollMicroseconds: options.packetPath.pollMicroseconds,
    deviceAddress: baseAddress(claim.held.lease.subnet.ipv4),
    onEvent: ({ kind, operation, code }) => {
      if (kind === 'segmentation-off') {
        logger.warn({ code }, 'the NIC driver refuses UDP segmentation; sending packet by packet');
        return;
      }
      health.isRunning = false;
      const text = `packet worker stopped: ${operation} failed with ${code}; was ${device.name} deleted? Restart the daemon`;
      onLost(new OperatorError('host', text));
    },
  });
  undo.push('stop the packet workers', () => {
    health.isRunning = false;
    forwarder.stop();
  });
  const clock = systemClock();
  const stop = followLocalAddresses({ native, rtnetlink, forwarder, clock, logger });
  undo.push('stop following local addresses', stop);
  return forwarder;
}

/** Starts the list-and-watch; resolves when the routes of the first listing are in the packet path. */
function followLeases(context: DaemonContext, claim: Claim, forwarder: Forwarder, renewal: Renewal): Promise<void> {
  const { options, logger, client, undo } = context;
  const { subnet, attributes } = claim.held.lease;
  const routes = {
    config: claim.config,
    ownSubnet: subnet.ipv4,
    ownPublicIp: attributes.publicIp,
    port: claim.port,
    logger,
  };
  const publisher = new RoutePublisher({ table: new RoutingTable(), sink: forwarder, schedule: setImmediate });
  const prefix = subnetsPrefix(options.etcd.prefix);
  const clock = systemClock();
  return new Promise((resolve) => {
    const table = createLeaseTable({
      subnetsPrefix: prefix,
      logger,
      onChanges: (changes) => publisher.apply(routesOf(changes, routes)),
    });
    const progress: ListWatchSink = {
      onSnapshot: () => {
        publisher.flush();
        resolve();
      },
      onChanges: () => {},
      onState: logListWatch(logger, clock.nowMs, 'the routes'),
    };
    const sink = combineSinks([table, renewal.sink, progress]);
    const watch = createListWatch({ client, prefix, sink, clock, random: Math.random });
    undo.push('stop watching the leases', () => {
      watch.stop();
      publisher.close();
    });
    watch.start();
  });
}

function makeRenewal(context: DaemonContext, claim: Claim, onLost: (error: OperatorError) => void): Renewal {
  const { options, logger, native, client, undo } = context;
  const renewal = createRenewal({
    client,
    manager: claim.manager,
    held: claim.held,
    clock: systemClock(),
    bootSeconds: native.bootTimeSeconds,
    random: Math.random,
    renewMarginSeconds: options.renewMarginMs / 1000,
    onEvent: (event) => onRenewalEvent(event, claim, logger, onLost),
  });
  undo.push('stop renewing the lease', () => renewal.stop());
  renewal.start();
  return renewal;
}

function onRenewalEvent(
  event: RenewalEvent,
  claim: Claim,
  logger: Logger,
  onLost: (error: OperatorError) => void,
): void {
  const subnet = formatPrefix(claim.held.lease.subnet.ipv4);
  switch (event.kind) {
    case 'lost':
      logger.warn({ subnet, reason: event.reason }, 'the lease was lost; taking the same subnet again');
      break;
    case 'regained':
      logger.info({ subnet }, 'the lease is held again');
      break;
    case 'expiring':
      logger.warn(
        { subnet, remainingSeconds: Math.round(event.remainingSeconds), cause: event.code },
        'the lease expires',
      );
      break;
    case 'became-reservation':
      logger.info({ subnet }, 'the subnet was made a reservation: it needs no renewal any more');
      break;
    case 'shared':
      logger.error({ subnet, key: claim.held.key }, 'another daemon renews our lease: two hosts have one public IP');
      break;
    case 'taken': {
      const text = `subnet ${subnet} belongs to another host now: ${event.by}; containers here must move to a new subnet`;
      onLost(new OperatorError('subnet', `${text}: restart the daemon, then Docker`));
      break;
    }
  }
}

async function installFirewall(context: DaemonContext, claim: Claim): Promise<void> {
  const { options, native, logger, undo } = context;
  const run = createCommandRunner({ ...COMMAND_LIMITS, env: process.env });
  const subnet = claim.held.lease.subnet.ipv4;
  const firewall = createIptablesFirewall(
    { ...options.firewall, network: claim.config.network, subnet },
    { run, readGeneration: () => readRulesetGeneration(native), logger },
  );
  undo.pushForFailedStart('take back the traffic rules', () => firewall.undo());
  await firewall.install();
  if (!options.firewall.forwardRules && !options.firewall.ipMasq) return;
  const { schedule } = systemClock();
  const resync = startResync({
    firewall,
    intervalMs: options.firewall.resyncMs,
    logger,
    schedule: (callback, delayMs) => schedule(delayMs, callback),
  });
  undo.push('stop checking the traffic rules', () => resync.stop());
}

function keepBlackhole({ options, rtnetlink, logger, undo }: DaemonContext, claim: Claim): void {
  if (!options.ipBlackholeRoute) return;
  const subnet = claim.held.lease.subnet.ipv4;
  const stop = keepBlackholeRoute({
    rtnetlink,
    subnet,
    intervalMs: options.firewall.resyncMs,
    clock: systemClock(),
    logger,
  });
  undo.push('remove the blackhole route', stop);
}
