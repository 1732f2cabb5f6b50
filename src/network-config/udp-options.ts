/** Options of the udp backend: `Port` alone. */
import { foldName, type JsonNode } from '../go-json/go-json.ts';
import { type ConfigSource, readInteger } from './config-fields.ts';

export interface UdpOptions {
  /** UDP port that every host of the network sends from and to, 1..65535. */
  readonly port: number;
}

export const DEFAULT_UDP_PORT = 8285;

const MAX_PORT = 65535;

/**
 * Checks the options in the text of the configuration, before anything is leased. (flanneld notices a bad port only
 * when it binds, with the lease already taken.)
 * @returns whether they are usable; if not, the source's problems say why.
 */
export function checkUdpOptions(source: ConfigSource, backend: JsonNode): boolean {
  return readInteger(source, backend, 'Backend.Port', 1, MAX_PORT).kind !== 'bad';
}

/**
 * The options of a configuration that `parseNetworkConfig` accepted.
 * @param raw `NetworkConfig.backend.raw`.
 * @throws RangeError on a port that was never checked: a programming error.
 */
export function readUdpOptions(raw: Readonly<Record<string, unknown>>): UdpOptions {
  const ports = Object.entries(raw).filter(([name, value]) => foldName(name) === 'port' && value !== null);
  const port = ports.at(-1)?.[1] ?? DEFAULT_UDP_PORT;
  if (typeof port !== 'number' || !Number.isInteger(port) || port < 1 || port > MAX_PORT) {
    throw new RangeError(`udp port ${String(port)} was not checked`);
  }
  return { port };
}
