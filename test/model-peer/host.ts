/** What the model changes on its host, as v0.20.2 does it: interface, device, subnet.env, iptables. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { formatIpv4, formatNetwork, type Network, parseNetwork } from './ipv4.ts';

export interface ExternalInterface {
  readonly name: string;
  readonly address: string;
  readonly mtuBytes: number;
}

/** IPv4 header and UDP header. */
const ENCAPSULATION_BYTES = 28;

export function deviceMtu(external: ExternalInterface): number {
  return external.mtuBytes - ENCAPSULATION_BYTES;
}

function run(argv: readonly string[], input?: string): { status: number | null; stdout: string; stderr: string } {
  const [command = '', ...rest] = argv;
  return spawnSync(command, rest, { encoding: 'utf8', ...(input === undefined ? {} : { input }) });
}

function runOrThrow(argv: readonly string[], input?: string): string {
  const { status, stdout, stderr } = run(argv, input);
  if (status !== 0) throw new Error(`${argv.join(' ')}: ${stderr.trim()}`);
  return stdout;
}

interface IpAddrShow {
  readonly mtu: number;
  readonly addr_info: readonly { readonly family: string; readonly local: string }[];
}

export function findInterface(name: string): ExternalInterface {
  const [link] = JSON.parse(runOrThrow(['ip', '-j', 'addr', 'show', 'dev', name])) as IpAddrShow[];
  const address = link?.addr_info.find(({ family }) => family === 'inet')?.local;
  if (link === undefined || address === undefined) throw new Error(`failed to find IPv4 address for interface ${name}`);
  return { name, address, mtuBytes: link.mtu };
}

/** Address: the subnet's base as /32. Any route that is already there wins silently. */
export function configureDevice(device: string, subnet: Network, network: Network, mtuBytes: number): void {
  runOrThrow(['ip', 'addr', 'add', `${formatIpv4(subnet.base)}/32`, 'dev', device]);
  runOrThrow(['ip', 'link', 'set', device, 'mtu', String(mtuBytes), 'up']);
  const { status, stderr } = run(['ip', 'route', 'add', formatNetwork(network), 'dev', device, 'scope', 'global']);
  if (status !== 0 && !stderr.includes('File exists')) throw new Error(`failed to add route: ${stderr.trim()}`);
}

/** Through a temporary file beside it, without fsync. */
export function writeSubnetFile(
  path: string,
  network: Network,
  subnet: Network,
  mtuBytes: number,
  ipMasq: boolean,
): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
  const temporary = join(dirname(path), `.${basename(path)}`);
  const lines = [
    `FLANNEL_NETWORK=${formatNetwork(network)}`,
    `FLANNEL_SUBNET=${formatIpv4(subnet.base + 1)}/${subnet.length}`,
    `FLANNEL_MTU=${mtuBytes}`,
    `FLANNEL_IPMASQ=${ipMasq}`,
  ];
  writeFileSync(temporary, `${lines.join('\n')}\n`);
  renameSync(temporary, path);
}

export function readPreviousSubnet(path: string): Network | undefined {
  try {
    const match = /^FLANNEL_SUBNET=(.*)$/m.exec(readFileSync(path, 'utf8'));
    return match?.[1] === undefined ? undefined : parseNetwork(match[1]);
  } catch {
    return undefined;
  }
}

export interface Chain {
  readonly table: 'nat' | 'filter';
  readonly parent: string;
  readonly name: string;
  readonly comment: string;
  readonly rules: readonly string[];
}

export function masqueradeChain(network: Network, subnet: Network): Chain {
  const net = formatNetwork(network);
  return {
    table: 'nat',
    parent: 'POSTROUTING',
    name: 'FLANNEL-POSTRTG',
    comment: 'flanneld masq',
    rules: [
      '-m mark --mark 0x4000/0x4000 COMMENT -j RETURN',
      `-s ${net} -d ${net} COMMENT -j RETURN`,
      `-s ${net} ! -d 224.0.0.0/4 COMMENT -j MASQUERADE --random-fully`,
      `! -s ${net} -d ${formatNetwork(subnet)} COMMENT -j RETURN`,
      `! -s ${net} -d ${net} COMMENT -j MASQUERADE --random-fully`,
    ],
  };
}

export function forwardChain(network: Network): Chain {
  const net = formatNetwork(network);
  const rules = [`-s ${net} COMMENT -j ACCEPT`, `-d ${net} COMMENT -j ACCEPT`];
  return { table: 'filter', parent: 'FORWARD', name: 'FLANNEL-FWD', comment: 'flanneld forward', rules };
}

/** DEFECT: the chain is flushed first, so for a moment there are no rules. */
export function fillChain(chain: Chain): void {
  const comment = `-m comment --comment "${chain.comment}"`;
  run(['iptables', '-w', '-t', chain.table, '-N', chain.name]);
  runOrThrow(['iptables', '-w', '-t', chain.table, '-F', chain.name]);
  const rules = chain.rules.map((rule) => `-A ${chain.name} ${rule.replace('COMMENT', comment)}`);
  const jump = hasJump(chain) ? [] : [`-I ${chain.parent} 1 ${comment} -j ${chain.name}`];
  const text = [`*${chain.table}`, ...jump, ...rules, 'COMMIT', ''].join('\n');
  runOrThrow(['iptables-restore', '-w', '--noflush'], text);
}

function hasJump({ table, parent, name, comment }: Chain): boolean {
  const match = ['-m', 'comment', '--comment', comment, '-j', name];
  return run(['iptables', '-w', '-t', table, '-C', parent, ...match]).status === 0;
}

/** Whether the jump and every rule are there; order and strangers are not looked at. */
export function chainIsThere(chain: Chain): boolean {
  return (
    hasJump(chain) &&
    chain.rules.every((rule) => {
      const words = rule
        .split(' ')
        .flatMap((w) => (w === 'COMMENT' ? ['-m', 'comment', '--comment', chain.comment] : [w]));
      return run(['iptables', '-w', '-t', chain.table, '-C', chain.name, ...words]).status === 0;
    })
  );
}
