import { OFFLOADS } from '../backend/offloads.ts';
import { LOG_LEVELS } from '../log/create-logger.ts';

/** Every flag of the daemon. Parsing, environment, help and the test of docs/flags.md follow this list. */
export interface FlagSpec {
  readonly name: string;
  readonly kind: 'text' | 'list' | 'boolean' | 'integer';
  /** Text of the default; '' for none. */
  readonly default: string;
  /** What the value is, for the help: `FILE`. */
  readonly value: string;
  readonly help: string;
  readonly group: FlagGroup;
}

export const FLAG_GROUPS = [
  'etcd',
  'Interface',
  'Subnet',
  'Packet path',
  'Traffic rules',
  'Health',
  'Log',
  'Kubernetes',
  'Other',
] as const;
export type FlagGroup = (typeof FLAG_GROUPS)[number];

function flag(
  group: FlagGroup,
  kind: FlagSpec['kind'],
  name: string,
  value: string,
  defaultText: string,
  help: string,
): FlagSpec {
  return { name, kind, default: defaultText, value, help, group };
}

const BOOL = 'true|false';

export const FLAGS: readonly FlagSpec[] = [
  flag(
    'etcd',
    'text',
    'etcd-endpoints',
    'URL,...',
    'http://127.0.0.1:4001,http://127.0.0.1:2379',
    'etcd members, separated by commas',
  ),
  flag('etcd', 'text', 'etcd-prefix', 'PREFIX', '/coreos.com/network', 'key prefix of the network in etcd'),
  flag('etcd', 'text', 'etcd-cafile', 'FILE', '', 'CA certificates (PEM) that the members are checked against'),
  flag('etcd', 'text', 'etcd-certfile', 'FILE', '', 'client certificate (PEM); needs --etcd-keyfile'),
  flag('etcd', 'text', 'etcd-keyfile', 'FILE', '', 'private key (PEM) of the client certificate'),
  flag('etcd', 'text', 'etcd-username', 'NAME', '', 'etcd user; needs a password'),
  flag(
    'etcd',
    'text',
    'etcd-password',
    'TEXT',
    '',
    'its password; better in the environment, where ps does not show it',
  ),

  flag('Interface', 'list', 'iface', 'NAME|IP', '', 'external interface by name or address; may be repeated'),
  flag('Interface', 'list', 'iface-regex', 'REGEX', '', 'external interface by regular expression; may be repeated'),
  flag('Interface', 'text', 'iface-can-reach', 'IP', '', 'external interface by the route to this IPv4 address'),
  flag('Interface', 'text', 'public-ip', 'IP', '', 'IPv4 address that other hosts send to'),
  flag('Interface', 'text', 'public-ipv6', 'IP', '', 'accepted for flannel; no effect until IPv6 is built'),

  flag('Subnet', 'text', 'subnet-file', 'FILE', '/run/flannel/subnet.env', 'file that publishes the leased subnet'),
  flag('Subnet', 'integer', 'subnet-lease-renew-margin', 'MINUTES', '60', 'renew the lease this long before it ends'),
  flag('Subnet', 'boolean', 'ip-blackhole-route', BOOL, 'false', 'keep a blackhole route for the own subnet'),

  flag('Packet path', 'integer', 'workers', 'N', '0', 'packet threads; 0: one for every four cores, at most 4'),
  flag('Packet path', 'integer', 'source-ports', 'N', '1', 'source ports that the flows of a worker are spread over'),
  flag('Packet path', 'integer', 'poll-us', 'MICROSECONDS', '0', 'look for more packets this long before sleeping'),
  flag('Packet path', 'text', 'offloads', 'NAME,...', 'all', `all, none, or some of ${OFFLOADS.join(', ')}`),

  flag('Traffic rules', 'boolean', 'ip-masq', BOOL, 'false', 'masquerade traffic that leaves the overlay network'),
  flag('Traffic rules', 'boolean', 'ip-masq-fully-random-disable', BOOL, 'false', 'masquerade without --random-fully'),
  flag('Traffic rules', 'boolean', 'iptables-forward-rules', BOOL, 'true', 'accept forwarded traffic of the network'),
  flag('Traffic rules', 'integer', 'iptables-resync', 'SECONDS', '5', 'time between two checks of the rules'),

  flag('Health', 'text', 'healthz-ip', 'IP', '0.0.0.0', 'address that serves /healthz'),
  flag('Health', 'integer', 'healthz-port', 'PORT', '0', 'port that serves /healthz; 0: none'),

  flag('Log', 'text', 'log-level', LOG_LEVELS.join('|'), 'info', 'least level that is logged; wins over -v'),
  flag('Log', 'integer', 'v', 'N', '0', "flannel's verbosity: from 1 on as --log-level=debug"),
  flag('Log', 'text', 'vmodule', 'TEXT', '', 'accepted for flannel; no effect'),
  flag('Log', 'text', 'log_backtrace_at', 'TEXT', '', 'accepted for flannel; no effect'),

  flag(
    'Kubernetes',
    'boolean',
    'kube-subnet-mgr',
    BOOL,
    'false',
    'take subnets from Kubernetes; not built yet: refused',
  ),
  flag('Kubernetes', 'text', 'kube-api-url', 'URL', '', 'no effect without --kube-subnet-mgr'),
  flag('Kubernetes', 'text', 'kubeconfig-file', 'FILE', '', 'no effect without --kube-subnet-mgr'),
  flag(
    'Kubernetes',
    'text',
    'kube-annotation-prefix',
    'PREFIX',
    'flannel.alpha.coreos.com',
    'no effect without --kube-subnet-mgr',
  ),
  flag(
    'Kubernetes',
    'text',
    'net-config-path',
    'FILE',
    '/etc/kube-flannel/net-conf.json',
    'no effect without --kube-subnet-mgr',
  ),
  flag('Kubernetes', 'boolean', 'set-node-network-unavailable', BOOL, 'true', 'no effect without --kube-subnet-mgr'),

  flag('Other', 'boolean', 'version', BOOL, 'false', 'print the version and exit'),
];

const BY_NAME: ReadonlyMap<string, FlagSpec> = new Map(FLAGS.map((spec) => [spec.name, spec]));

export function findFlag(name: string): FlagSpec | undefined {
  return BY_NAME.get(name);
}

/** `subnet-file` -> `FLANNELD_SUBNET_FILE`. */
export function environmentName(flagName: string): string {
  return `FLANNELD_${flagName.replaceAll('-', '_').toUpperCase()}`;
}

/** Values that were given for one flag, and by what, for messages: `--iface` or `FLANNELD_IFACE`. */
export interface GivenValue {
  readonly source: string;
  /** In order; at least one. Only the last counts, except for list flags. */
  readonly values: readonly string[];
}

/** Given flags by name. */
export type GivenFlags = ReadonlyMap<string, GivenValue>;
