/**
 * How the network is cut into the hosts' subnets: defaults and limits of SubnetLen, SubnetMin and SubnetMax.
 *
 *     Network    |--------|--------|--------|-- ... --|--------|
 *                 first    SubnetMin                   SubnetMax      (defaults)
 *                 unused
 */
import {
  contains,
  formatAddress,
  formatPrefix,
  type IpAddress,
  isUnspecified,
  lastAddress,
  type Prefix,
  prefixOf,
  sizeOf,
} from '../ip/ip.ts';
import type { Field } from './config-fields.ts';
import type { ConfigProblem } from './config-problem.ts';

export interface SubnetFields {
  readonly network: Field<Prefix>;
  readonly length: Field<number>;
  readonly min: Field<IpAddress>;
  readonly max: Field<IpAddress>;
}

export interface SubnetPlan {
  readonly network: Prefix;
  readonly subnetLength: number;
  readonly subnetMin: IpAddress;
  readonly subnetMax: IpAddress;
}

/** A subnet must hold a tunnel address and a bridge address besides its base and broadcast address. */
export const MAX_SUBNET_LENGTH = 30;

/** Four subnets at least: the first is never used. */
const MIN_SUBNET_BITS = 2;

const DEFAULT_SUBNET_LENGTH = 24;

/** @returns undefined where a problem was reported, here or when the fields were read. */
export function planSubnets(problems: ConfigProblem[], fields: SubnetFields): SubnetPlan | undefined {
  const network = checkNetwork(problems, fields.network);
  const subnetLength = network && checkLength(problems, network, fields.length);
  if (network === undefined || subnetLength === undefined) return undefined;
  const size = sizeOf({ family: 4, base: 0n, length: subnetLength });
  const firstUsed: IpAddress = { family: 4, value: network.base + size };
  const lastUsed: IpAddress = { family: 4, value: lastAddress(network).value - size + 1n };
  const subnetMin = checkBound(problems, 'SubnetMin', network, subnetLength, fields.min, firstUsed);
  const subnetMax = checkBound(problems, 'SubnetMax', network, subnetLength, fields.max, lastUsed);
  if (subnetMin === undefined || subnetMax === undefined) return undefined;
  if (subnetMin.value > subnetMax.value) {
    const bounds = `SubnetMin ${formatAddress(subnetMin)} lies above SubnetMax ${formatAddress(subnetMax)}`;
    problems.push({
      path: 'SubnetMin',
      message: `${bounds}, which leaves no subnet to lease: swap or remove them (by default ${formatAddress(firstUsed)} and ${formatAddress(lastUsed)})`,
    });
    return undefined;
  }
  return { network, subnetLength, subnetMin, subnetMax };
}

function checkNetwork(problems: ConfigProblem[], field: Field<Prefix>): Prefix | undefined {
  if (field.kind === 'bad') return undefined;
  if (field.kind === 'set' && field.value.length + MIN_SUBNET_BITS > MAX_SUBNET_LENGTH) {
    const message = `Network ${formatPrefix(field.value)} ${field.where} is too small: use a /${MAX_SUBNET_LENGTH - MIN_SUBNET_BITS} or larger`;
    problems.push({ path: 'Network', message });
    return undefined;
  }
  // flanneld takes 0.0.0.0/0 for an unset field.
  if (field.kind === 'set' && field.value.length > 0) return field.value;
  const what = field.kind === 'set' ? `is 0.0.0.0/0 ${field.where}, which counts as missing` : 'is missing';
  const message = `Network ${what}: write the network of all containers in CIDR form, such as "Network": "10.5.0.0/16"`;
  problems.push({ path: 'Network', message });
  return undefined;
}

function checkLength(problems: ConfigProblem[], network: Prefix, field: Field<number>): number | undefined {
  const shortest = network.length + MIN_SUBNET_BITS;
  // As an unset integer is 0 in Go, 0 means the default.
  if (field.kind === 'absent' || (field.kind === 'set' && field.value === 0)) {
    return Math.max(DEFAULT_SUBNET_LENGTH, shortest);
  }
  if (field.kind === 'bad') return undefined;
  if (field.value >= shortest) return field.value;
  const message = `SubnetLen ${field.value} ${field.where} leaves fewer than four subnets in Network ${formatPrefix(network)}: use ${shortest} to ${MAX_SUBNET_LENGTH}`;
  problems.push({ path: 'SubnetLen', message });
  return undefined;
}

function checkBound(
  problems: ConfigProblem[],
  path: string,
  network: Prefix,
  subnetLength: number,
  field: Field<IpAddress>,
  fallback: IpAddress,
): IpAddress | undefined {
  if (field.kind === 'bad') return undefined;
  if (field.kind === 'absent' || isUnspecified(field.value)) return fallback;
  const address = field.value;
  const subject = `${path} ${formatAddress(address)} ${field.where}`;
  if (!contains(network, address)) {
    const range = `${formatAddress({ family: 4, value: network.base })} to ${formatAddress(lastAddress(network))}`;
    problems.push({
      path,
      message: `${subject} is outside Network ${formatPrefix(network)}: use an address from ${range}`,
    });
    return undefined;
  }
  const subnet = prefixOf(address, subnetLength);
  if (subnet.base === address.value) return address;
  const nearest = formatAddress({ family: 4, value: subnet.base });
  problems.push({ path, message: `${subject} is not the first address of a /${subnetLength} subnet: use ${nearest}` });
  return undefined;
}
