/** The answer of `flanneld config check FILE`: everything about a configuration text, for a person to read. */
import { formatAddress, formatPrefix } from '../ip/ip.ts';
import { BUILT_BACKENDS } from './backend-config.ts';
import { type NetworkConfig, parseNetworkConfig } from './network-config.ts';
import { readUdpOptions } from './udp-options.ts';

export interface ConfigCheck {
  readonly ok: boolean;
  /** Several lines, each ended by a newline. */
  readonly text: string;
}

/** @param name of the file, as the person gave it. */
export function checkConfigText(name: string, text: string, knownBackends = BUILT_BACKENDS): ConfigCheck {
  const result = parseNetworkConfig(text, knownBackends);
  if (result.ok) {
    const notes = result.notes.map((note) => `note: ${note.message}`);
    return { ok: true, text: toLines([`${name}: usable`, ...summarize(result.config), ...notes]) };
  }
  const count = result.problems.length === 1 ? '1 problem' : `${result.problems.length} problems`;
  return { ok: false, text: toLines([`${name}: ${count}`, ...result.problems.map(({ message }) => `  ${message}`)]) };
}

function summarize(config: NetworkConfig): string[] {
  const subnetBits = BigInt(32 - config.subnetLength);
  const hosts = ((config.subnetMax.value - config.subnetMin.value) >> subnetBits) + 1n;
  const range = `${formatAddress(config.subnetMin)} to ${formatAddress(config.subnetMax)}`;
  const port = config.backend.type === 'udp' ? `, port ${readUdpOptions(config.backend.raw).port}` : '';
  return [
    `  Network  ${formatPrefix(config.network)}`,
    `  Subnets  /${config.subnetLength} each, ${range}: room for ${hosts} ${hosts === 1n ? 'host' : 'hosts'}`,
    `  Backend  ${config.backend.type}${port}`,
  ];
}

function toLines(lines: readonly string[]): string {
  return lines.map((line) => `${line}\n`).join('');
}
