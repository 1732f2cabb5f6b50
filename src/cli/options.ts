import { availableParallelism } from 'node:os';
import { OFFLOADS, type OffloadSet, parseOffloads } from '../backend/offloads.ts';
import type { DaemonOptions, EtcdOptions, HealthOptions } from '../daemon/options.ts';
import { OperatorError } from '../errors/errors.ts';
import { loadTls, parseEndpoints, type TlsFiles } from '../etcd-watch/endpoints.ts';
import type { ExternalInterfaceOptions } from '../external-interface/external-interface.ts';
import { compileInterfacePattern } from '../external-interface/interface-pattern.ts';
import { contains, formatAddress, type IpAddress, isUnspecified, type Prefix, parseAddress } from '../ip/ip.ts';
import { LOG_LEVELS, type LogLevel, levelForVerbosity } from '../log/create-logger.ts';
import {
  addressValue,
  badValue,
  booleanValue,
  choiceValue,
  integerValue,
  listValue,
  textValue,
} from './flag-values.ts';
import type { GivenFlags } from './flags.ts';
import { quote } from './normalise-argv.ts';

/** A lease lasts 24 h; renewing it a day or more before its end makes no sense. */
const MAX_RENEW_MARGIN_MINUTES = 1439;
const MAX_RESYNC_SECONDS = 86_400;
const MAX_WORKERS = 64;
const MAX_SOURCE_PORTS = 64;
/** A second of looking is a core lost; nobody wants more. */
const MAX_POLL_MICROSECONDS = 1_000_000;
const MAX_VERBOSITY = 1_000_000;

/**
 * Checks every flag and makes the daemon's options of them. Reads the TLS files to see that they can be used, and
 * touches nothing else.
 * @param cores cores of this machine.
 * @throws OperatorError `usage` with the flag or variable, its value and what would be right.
 */
export function readDaemonOptions(flags: GivenFlags, cores = availableParallelism()): DaemonOptions {
  checkKubeFlags(flags);
  const health = readHealth(flags);
  return {
    etcd: readEtcd(flags),
    externalInterface: readExternalInterface(flags),
    subnetFile: readSubnetFile(flags),
    renewMarginMs: integerValue(flags, 'subnet-lease-renew-margin', 1, MAX_RENEW_MARGIN_MINUTES) * 60_000,
    firewall: {
      ipMasq: booleanValue(flags, 'ip-masq'),
      randomFully: !booleanValue(flags, 'ip-masq-fully-random-disable'),
      forwardRules: booleanValue(flags, 'iptables-forward-rules'),
      resyncMs: integerValue(flags, 'iptables-resync', 1, MAX_RESYNC_SECONDS) * 1000,
    },
    ipBlackholeRoute: booleanValue(flags, 'ip-blackhole-route'),
    packetPath: {
      workers: integerValue(flags, 'workers', 0, MAX_WORKERS) || defaultWorkers(cores),
      sourcePorts: integerValue(flags, 'source-ports', 1, MAX_SOURCE_PORTS),
      pollMicroseconds: integerValue(flags, 'poll-us', 0, MAX_POLL_MICROSECONDS),
      offloads: readOffloads(flags),
    },
    ...(health === undefined ? {} : { health }),
  };
}

/**
 * One worker for every four cores, at most four: the containers and the kernel's own half of the work need the others.
 * On two cores a second worker was measured to bring nothing.
 */
function defaultWorkers(cores: number): number {
  return Math.min(4, Math.max(1, Math.floor(cores / 4)));
}

function readOffloads(flags: GivenFlags): OffloadSet {
  const offloads = parseOffloads(textValue(flags, 'offloads'));
  if (offloads === undefined) throw badValue(flags, 'offloads', `give all, none, or some of ${OFFLOADS.join(', ')}`);
  return offloads;
}

/** `--log-level` where given, `-v` otherwise. */
export function readLogLevel(flags: GivenFlags): LogLevel {
  const level = choiceValue(flags, 'log-level', LOG_LEVELS);
  const verbosity = integerValue(flags, 'v', 0, MAX_VERBOSITY);
  return flags.has('log-level') ? level : levelForVerbosity(verbosity);
}

/** A flag that was given and has no effect. */
export interface IgnoredFlag {
  readonly source: string;
  /** `warn` where somebody may wait for the effect in vain. */
  readonly level: 'debug' | 'warn';
}

export function ignoredFlags(flags: GivenFlags): IgnoredFlag[] {
  const level = (name: string) => (name === 'public-ipv6' ? 'warn' : 'debug');
  return ['vmodule', 'log_backtrace_at', 'public-ipv6'].flatMap((name) => {
    const given = flags.get(name);
    return given === undefined ? [] : [{ source: given.source, level: level(name) }];
  });
}

function checkKubeFlags(flags: GivenFlags): void {
  booleanValue(flags, 'set-node-network-unavailable');
  if (booleanValue(flags, 'kube-subnet-mgr')) {
    throw badValue(
      flags,
      'kube-subnet-mgr',
      'subnets from Kubernetes are not built yet; use etcd and leave the flag out',
    );
  }
}

function readEtcd(flags: GivenFlags): EtcdOptions {
  const endpointsText = textValue(flags, 'etcd-endpoints');
  const endpoints = checked(flags, () => parseEndpoints(endpointsText.split(',')));
  const username = textValue(flags, 'etcd-username');
  const password = textValue(flags, 'etcd-password');
  if (username === '' && password !== '') throw badValue(flags, 'etcd-password', 'needs --etcd-username as well');
  if (username !== '' && password === '') throw badValue(flags, 'etcd-username', 'needs a password (--etcd-password)');
  return {
    endpoints: endpoints.map((endpoint) => endpoint.url),
    prefix: readPrefix(flags),
    tls: readTlsFiles(flags),
    ...(username === '' ? {} : { credentials: { username, password } }),
  };
}

function readTlsFiles(flags: GivenFlags): TlsFiles {
  const caFile = textValue(flags, 'etcd-cafile');
  const certFile = textValue(flags, 'etcd-certfile');
  const keyFile = textValue(flags, 'etcd-keyfile');
  const files = {
    ...(caFile === '' ? {} : { caFile }),
    ...(certFile === '' ? {} : { certFile }),
    ...(keyFile === '' ? {} : { keyFile }),
  };
  if (certFile !== '' && keyFile === '') throw badValue(flags, 'etcd-certfile', 'needs --etcd-keyfile as well');
  if (keyFile !== '' && certFile === '') throw badValue(flags, 'etcd-keyfile', 'needs --etcd-certfile as well');
  if (Object.keys(files).length > 0) checked(flags, () => loadTls(files));
  return files;
}

/** As Go's path.Join makes keys: doubled slashes are one, and the last one goes. */
function readPrefix(flags: GivenFlags): string {
  const text = textValue(flags, 'etcd-prefix');
  const prefix = text.replace(/\/+/g, '/').replace(/\/$/, '');
  if (prefix === '' || /(^|\/)\.\.?(\/|$)/.test(prefix)) {
    throw badValue(flags, 'etcd-prefix', `${quote(text)} is no key prefix such as /coreos.com/network`);
  }
  return prefix;
}

/** Errors of the rooms below begin with the flag's name; here they also say where its value came from. */
function checked<T>(flags: GivenFlags, read: () => T): T {
  try {
    return read();
  } catch (error) {
    const [, name, detail] = (error instanceof OperatorError && /^([a-z-]+): (.*)$/s.exec(error.message)) || [];
    if (name === undefined || detail === undefined) throw error;
    throw badValue(flags, name, detail);
  }
}

function readExternalInterface(flags: GivenFlags): ExternalInterfaceOptions {
  const canReach = addressValue(flags, 'iface-can-reach', 4);
  const publicIp = readPublicAddress(flags, 'public-ip', 4);
  readPublicAddress(flags, 'public-ipv6', 6);
  return {
    iface: listValue(flags, 'iface').map((name) => checkInterface(flags, name)),
    ifaceRegex: listValue(flags, 'iface-regex').map((text) => checkPattern(flags, text)),
    ...(canReach === undefined ? {} : { ifaceCanReach: formatAddress(canReach) }),
    ...(publicIp === undefined ? {} : { publicIp: formatAddress(publicIp) }),
  };
}

/** Longest interface name (IFNAMSIZ - 1, netdevice(7)); an IPv6 address may be longer. */
const MAX_INTERFACE_NAME = 15;

function checkInterface(flags: GivenFlags, text: string): string {
  const isName = text.length <= MAX_INTERFACE_NAME && /^[^\s/:]+$/.test(text);
  if (!isName && parseAddress(text) === undefined) {
    throw badValue(flags, 'iface', `${quote(text)} is neither an interface name nor an IP address`);
  }
  return text;
}

function checkPattern(flags: GivenFlags, text: string): string {
  const compiled = compileInterfacePattern(text);
  if ('pattern' in compiled) return text;
  throw badValue(flags, 'iface-regex', `${quote(text)} is no regular expression: ${compiled.problem}`);
}

const MULTICAST: readonly Prefix[] = [
  { family: 4, base: 0xe0000000n, length: 4 },
  { family: 6, base: 0xff00n << 112n, length: 8 },
];
const BROADCAST = 0xffffffffn;

function readPublicAddress(flags: GivenFlags, name: string, family: 4 | 6): IpAddress | undefined {
  const address = addressValue(flags, name, family);
  if (address === undefined) return undefined;
  const isBroadcast = family === 4 && address.value === BROADCAST;
  if (isUnspecified(address) || isBroadcast || MULTICAST.some((prefix) => contains(prefix, address))) {
    throw badValue(flags, name, `${formatAddress(address)} is not an address of one host`);
  }
  return address;
}

function readSubnetFile(flags: GivenFlags): string {
  const path = textValue(flags, 'subnet-file');
  if (/(^|\/)\.{0,2}$/.test(path)) throw badValue(flags, 'subnet-file', `${quote(path)} names a directory, not a file`);
  return path;
}

function readHealth(flags: GivenFlags): HealthOptions | undefined {
  const address = addressValue(flags, 'healthz-ip');
  const port = integerValue(flags, 'healthz-port', 0, 65_535);
  return address === undefined || port === 0 ? undefined : { address, port };
}
