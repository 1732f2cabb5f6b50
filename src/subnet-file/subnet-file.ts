/**
 * The subnet file (`/run/flannel/subnet.env`): what the host leased, for Docker and CNI to read, and for the next run
 * to ask for the same subnet again.
 *
 *     FLANNEL_NETWORK=10.5.0.0/16
 *     FLANNEL_SUBNET=10.5.21.1/24      the bridge's address: base + 1
 *     FLANNEL_MTU=1472
 *     FLANNEL_IPMASQ=true
 */
import { formatAddress, formatPrefix, type Prefix, parsePrefix } from '../ip/ip.ts';
import { parseDotenv } from './dotenv.ts';

/** What a run publishes. */
export interface SubnetFile {
  readonly network: Prefix;
  readonly subnet: Prefix;
  readonly ipv6Network?: Prefix;
  readonly ipv6Subnet?: Prefix;
  readonly mtuBytes: number;
  readonly ipMasq: boolean;
}

/** What was found in a file: every entry that is there and well-formed. */
export type PreviousSubnetFile = Partial<SubnetFile>;

/** The text of the file, byte for byte as flanneld writes it. */
export function formatSubnetFile(file: SubnetFile): string {
  const lines = [`FLANNEL_NETWORK=${formatPrefix(file.network)}`, `FLANNEL_SUBNET=${formatFirstUsable(file.subnet)}`];
  if (file.ipv6Network !== undefined && file.ipv6Subnet !== undefined) {
    lines.push(`FLANNEL_IPV6_NETWORK=${formatPrefix(file.ipv6Network)}`);
    lines.push(`FLANNEL_IPV6_SUBNET=${formatFirstUsable(file.ipv6Subnet)}`);
  }
  lines.push(`FLANNEL_MTU=${file.mtuBytes}`, `FLANNEL_IPMASQ=${file.ipMasq}`);
  return lines.map((line) => `${line}\n`).join('');
}

function formatFirstUsable(subnet: Prefix): string {
  return `${formatAddress({ family: subnet.family, value: subnet.base + 1n })}/${subnet.length}`;
}

/**
 * Reads the text of a subnet file: what flanneld wrote, or a person by hand (dotenv rules). Entries that are missing or
 * malformed are left out, and so are several networks in one entry, which no single lease can match.
 */
export function parseSubnetFile(text: string): PreviousSubnetFile {
  const values = parseDotenv(text);
  const network = parseFamily(values.get('FLANNEL_NETWORK'), 4);
  const subnet = parseFamily(values.get('FLANNEL_SUBNET'), 4);
  const ipv6Network = parseFamily(values.get('FLANNEL_IPV6_NETWORK'), 6);
  const ipv6Subnet = parseFamily(values.get('FLANNEL_IPV6_SUBNET'), 6);
  const mtuBytes = parseMtu(values.get('FLANNEL_MTU'));
  const ipMasq = values.get('FLANNEL_IPMASQ');
  return {
    ...(network && { network }),
    ...(subnet && { subnet }),
    ...(ipv6Network && { ipv6Network }),
    ...(ipv6Subnet && { ipv6Subnet }),
    ...(mtuBytes !== undefined && { mtuBytes }),
    ...((ipMasq === 'true' || ipMasq === 'false') && { ipMasq: ipMasq === 'true' }),
  };
}

function parseFamily(text: string | undefined, family: 4 | 6): Prefix | undefined {
  const prefix = text === undefined ? undefined : parsePrefix(text);
  return prefix?.family === family ? prefix : undefined;
}

function parseMtu(text: string | undefined): number | undefined {
  return text !== undefined && /^[1-9][0-9]{0,5}$/.test(text) ? Number(text) : undefined;
}
