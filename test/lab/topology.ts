/**
 * What the lab builds, as values: names, addresses and the `ip` commands that make them. No side effects here.
 */

export const UNDERLAY_PREFIX = '172.31.0';
export const GATEWAY_ADDRESS = `${UNDERLAY_PREFIX}.250`;
export const ETCD_ADDRESS = `${UNDERLAY_PREFIX}.100`;

export interface TopologyOptions {
  /** 1 to 99. */
  readonly hostCount: number;
  /** `bridge` joins any number of hosts and etcd; `pair` is one veth between two hosts (etcd then runs on host 1). */
  readonly underlay: 'bridge' | 'pair';
  readonly underlayMtu: number;
  readonly containersPerHost: number;
  /** rp_filter of every interface of the hosts: 0 off, 1 strict (Linux Documentation/networking/ip-sysctl.rst). */
  readonly reversePathFilter: 0 | 1;
}

/** A network namespace that plays a host. */
export interface HostPlan {
  /** h1, h2, ... */
  readonly name: string;
  readonly namespace: string;
  /** Its address on the underlay. */
  readonly address: string;
  readonly containers: readonly ContainerPlan[];
}

export interface ContainerPlan {
  /** h1c1, ... */
  readonly name: string;
  readonly namespace: string;
  /** Its end of the veth pair, a port of docker0 in the host. */
  readonly port: string;
}

export interface Topology {
  readonly options: TopologyOptions;
  readonly hosts: readonly HostPlan[];
  /** Namespace of the underlay's bridge; undefined for a pair. */
  readonly bridgeNamespace: string | undefined;
  readonly etcdNamespace: string;
  readonly etcdAddress: string;
  /** Every namespace there is, in the order of creation. */
  readonly namespaces: readonly string[];
}

export function planTopology(prefix: string, options: TopologyOptions): Topology {
  if (options.underlay === 'pair' && options.hostCount !== 2) throw new RangeError('a pair joins exactly two hosts');
  const hosts = Array.from({ length: options.hostCount }, (_, i) => planHost(prefix, i + 1, options));
  const [first] = hosts;
  if (first === undefined) throw new RangeError('a lab has at least one host');
  const bridged = options.underlay === 'bridge';
  const bridgeNamespace = bridged ? `${prefix}-wire` : undefined;
  const etcdNamespace = bridged ? `${prefix}-etcd` : first.namespace;
  const inHosts = hosts.flatMap((host) => [host.namespace, ...host.containers.map((c) => c.namespace)]);
  return {
    options,
    hosts,
    bridgeNamespace,
    etcdNamespace,
    etcdAddress: bridged ? ETCD_ADDRESS : first.address,
    namespaces: [...(bridgeNamespace === undefined ? [] : [bridgeNamespace, etcdNamespace]), ...inHosts],
  };
}

function planHost(prefix: string, number: number, options: TopologyOptions): HostPlan {
  const name = `h${number}`;
  const containers = Array.from({ length: options.containersPerHost }, (_, i) => ({
    name: `${name}c${i + 1}`,
    namespace: `${prefix}-${name}c${i + 1}`,
    port: `c${i + 1}`,
  }));
  return { name, namespace: `${prefix}-${name}`, address: `${UNDERLAY_PREFIX}.${number}`, containers };
}

/** Lines for `ip -batch`, run in the underlay's namespace (in host 1's for a pair): links first, all in one go. */
export function underlayLinkCommands(topology: Topology): string[] {
  const { underlayMtu: mtu } = topology.options;
  const [first, second] = topology.hosts;
  if (topology.bridgeNamespace === undefined) {
    return [
      `link add eth0 mtu ${mtu} type veth peer name eth0 mtu ${mtu} netns ${second?.namespace ?? first?.namespace}`,
    ];
  }
  const ends = [...topology.hosts, { name: 'etcd', namespace: topology.etcdNamespace }];
  return [
    `link add br0 mtu ${mtu} type bridge`,
    `addr add ${GATEWAY_ADDRESS}/24 dev br0`,
    'link set br0 up',
    ...ends.flatMap(({ name, namespace }) => [
      `link add ${name} mtu ${mtu} type veth peer name eth0 mtu ${mtu} netns ${namespace}`,
      `link set ${name} master br0 up`,
    ]),
  ];
}

/** Lines for `ip -batch` in an end of the underlay: its address and default route. */
export function underlayEndCommands(address: string): string[] {
  return [
    'link set lo up',
    'link set eth0 up',
    `addr add ${address}/24 dev eth0`,
    `route add default via ${GATEWAY_ADDRESS} dev eth0`,
  ];
}

/** Lines for `ip -batch` in a host: docker0 and its containers, without addresses (flanneld decides those). */
export function dockerCommands(host: HostPlan): string[] {
  return [
    'link add docker0 type bridge',
    'link set docker0 up',
    ...host.containers.flatMap(({ namespace, port }) => [
      `link add ${port} type veth peer name eth0 netns ${namespace}`,
      `link set ${port} master docker0 up`,
    ]),
  ];
}

/** Sysctls of a host, as paths below /proc/sys with their values; `all` and `default` come before the interfaces. */
export function hostSysctls(options: TopologyOptions): (readonly [path: string, value: string])[] {
  const rpFilter = String(options.reversePathFilter);
  return [
    ['net/ipv4/ip_forward', '1'],
    ['net/ipv4/conf/all/rp_filter', rpFilter],
    ['net/ipv4/conf/default/rp_filter', rpFilter],
  ];
}

/** Frames that cross the underlay's bridge are on the wire: no host's netfilter may see them there. */
export const WIRE_SYSCTLS: readonly (readonly [path: string, value: string])[] = [
  ['net/bridge/bridge-nf-call-iptables', '0'],
  ['net/bridge/bridge-nf-call-ip6tables', '0'],
];
