/** The network configuration: the JSON text at `<prefix>/config`, which all hosts of a network share. */
import { describePlace, fieldsOf, foldName, type JsonNode, kindOf, parseJson, quoteShort } from '../go-json/go-json.ts';
import type { IpAddress, Prefix } from '../ip/ip.ts';
import { type BackendConfig, BUILT_BACKENDS, readBackend } from './backend-config.ts';
import {
  type ConfigSource,
  readBoolean,
  readInteger,
  readIpv4,
  readIpv4Prefix,
  readIpv6,
  readIpv6Prefix,
} from './config-fields.ts';
import { type ConfigProblem, describeProblems } from './config-problem.ts';
import { MAX_SUBNET_LENGTH, planSubnets, type SubnetPlan } from './subnet-plan.ts';

/** A configuration that passed every check; defaults are filled in. */
export interface NetworkConfig {
  readonly enableIpv4: boolean;
  readonly enableIpv6: boolean;
  readonly network: Prefix;
  /** Prefix length of every host's subnet. */
  readonly subnetLength: number;
  /** Base of the first subnet that may be leased. */
  readonly subnetMin: IpAddress;
  /** Base of the last subnet that may be leased. */
  readonly subnetMax: IpAddress;
  readonly ipv6Network?: Prefix;
  readonly ipv6SubnetLength?: number;
  readonly ipv6SubnetMin?: IpAddress;
  readonly ipv6SubnetMax?: IpAddress;
  readonly backend: BackendConfig;
}

export { type BackendConfig, type ConfigProblem, describeProblems };

export type ConfigResult =
  | { readonly ok: true; readonly config: NetworkConfig; readonly notes: readonly ConfigProblem[] }
  | { readonly ok: false; readonly problems: readonly ConfigProblem[] };

/** A configuration has a few hundred characters; the bound keeps a stray value from costing memory and time. */
export const MAX_CONFIG_LENGTH = 64 * 1024;

/**
 * Parses and checks a configuration as flanneld does (docs/config.md), and reports everything that is wrong at once.
 * Never throws.
 * @param knownBackends lower-cased backend types that this build can run.
 * @returns `notes` name fields that have no effect.
 */
export function parseNetworkConfig(text: string, knownBackends = BUILT_BACKENDS): ConfigResult {
  const parsed = parseJson(text, MAX_CONFIG_LENGTH);
  if (!parsed.ok) return refuse(`not valid JSON: ${parsed.problem}`);
  const { root } = parsed;
  if (root.type !== 'object') {
    return refuse(`the text is ${kindOf(root)}: write an object such as {"Network":"10.5.0.0/16"}`);
  }
  const source: ConfigSource = { text, problems: [] };
  const subnets = readFamilies(source, root) ? readSubnets(source, root) : undefined;
  checkIpv6Fields(source, root);
  const backend = readBackend(source, root, knownBackends);
  if (source.problems.length > 0 || subnets === undefined || backend === undefined) {
    return { ok: false, problems: source.problems };
  }
  const config = { enableIpv4: true, enableIpv6: false, ...subnets, backend };
  return { ok: true, config, notes: noteIgnoredFields(source, root) };
}

function refuse(message: string): ConfigResult {
  return { ok: false, problems: [{ path: '', message }] };
}

/** @returns whether IPv4 is on. */
function readFamilies(source: ConfigSource, root: JsonNode): boolean {
  const ipv4 = readBoolean(source, root, 'EnableIPv4');
  const ipv6 = readBoolean(source, root, 'EnableIPv6');
  const ipv4IsOff = ipv4.kind === 'set' && !ipv4.value;
  if (ipv6.kind === 'set' && ipv6.value) {
    const message = `EnableIPv6 is true ${ipv6.where}, but IPv6 is not built yet: set it to false or remove it`;
    source.problems.push({ path: 'EnableIPv6', message });
  } else if (ipv4IsOff && ipv6.kind !== 'bad') {
    const message = `EnableIPv4 is false ${ipv4.where} and IPv6 is off, which leaves no network: set it to true`;
    source.problems.push({ path: 'EnableIPv4', message });
  }
  return !ipv4IsOff;
}

function readSubnets(source: ConfigSource, root: JsonNode): SubnetPlan | undefined {
  return planSubnets(source.problems, {
    network: readIpv4Prefix(source, root, 'Network'),
    length: readInteger(source, root, 'SubnetLen', 0, MAX_SUBNET_LENGTH),
    min: readIpv4(source, root, 'SubnetMin'),
    max: readIpv4(source, root, 'SubnetMax'),
  });
}

/** Fields of the IPv6 half must be well-typed even while it is off: a real flanneld refuses the whole text otherwise. */
function checkIpv6Fields(source: ConfigSource, root: JsonNode): void {
  readIpv6Prefix(source, root, 'IPv6Network');
  readInteger(source, root, 'IPv6SubnetLen', 0, 126);
  readIpv6(source, root, 'IPv6SubnetMin');
  readIpv6(source, root, 'IPv6SubnetMax');
}

const READ_FIELDS = new Set(
  ['EnableIPv4', 'EnableIPv6', 'Network', 'SubnetLen', 'SubnetMin', 'SubnetMax', 'Backend'].map(foldName),
);

function noteIgnoredFields(source: ConfigSource, root: JsonNode): ConfigProblem[] {
  return fieldsOf(root)
    .filter(({ name }) => !READ_FIELDS.has(foldName(name)))
    .map(({ name, nameNode }) => ({
      path: name,
      message: `${quoteShort(name)} ${describePlace(source.text, nameNode.offset)} has no effect here`,
    }));
}
