/** The `Backend` object of the configuration. */
import { getNodeValue } from 'jsonc-parser';
import { describePlace, fieldsOf, type JsonNode, kindOf, occurrencesOf, quoteShort } from '../go-json/go-json.ts';
import { type ConfigSource, readString } from './config-fields.ts';
import { checkUdpOptions } from './udp-options.ts';

export interface BackendConfig {
  /** Lower-cased. */
  readonly type: string;
  /** The fields of `Backend` in the order of the document; a repeated name stands where it last stood. */
  readonly raw: Readonly<Record<string, unknown>>;
}

/** Lower-cased types that this build can run. */
export const BUILT_BACKENDS: readonly string[] = ['udp'];

/** What flanneld's code does without `Backend`; its documentation names vxlan. */
const DEFAULT_TYPE = 'udp';

/**
 * Reads type and options. No `Backend` at all means udp with its defaults; one without `Type` (or null) is an error.
 * @returns undefined where a problem was reported.
 */
export function readBackend(
  source: ConfigSource,
  root: JsonNode,
  knownTypes: readonly string[],
): BackendConfig | undefined {
  const node = occurrencesOf(root, 'Backend').at(-1);
  if (node === undefined) return { type: DEFAULT_TYPE, raw: {} };
  const where = describePlace(source.text, node.offset);
  if (node.type === 'null') {
    acceptType(source, '', where, knownTypes);
    return undefined;
  }
  if (node.type !== 'object') {
    const message = `Backend is ${kindOf(node)} ${where}: write an object such as {"Type":"udp"}`;
    source.problems.push({ path: 'Backend', message });
    return undefined;
  }
  const type = readString(source, node, 'Backend.Type');
  if (type.kind === 'bad') return undefined;
  const name = type.kind === 'set' ? type.value.toLowerCase() : '';
  if (!acceptType(source, name, type.kind === 'set' ? type.where : where, knownTypes)) return undefined;
  if (name === 'udp' && !checkUdpOptions(source, node)) return undefined;
  return { type: name, raw: rawFields(node) };
}

function acceptType(source: ConfigSource, type: string, where: string, knownTypes: readonly string[]): boolean {
  if (knownTypes.includes(type)) return true;
  const what = type === '' ? 'Backend has no Type' : `Backend.Type is ${quoteShort(type)}`;
  const message = `unknown backend type: ${what} ${where}: use one of ${knownTypes.join(', ')}`;
  source.problems.push({ path: 'Backend.Type', message });
  return false;
}

function rawFields(object: JsonNode): Record<string, unknown> {
  const fields = new Map<string, unknown>();
  for (const { name, value } of fieldsOf(object)) {
    fields.delete(name);
    fields.set(name, getNodeValue(value));
  }
  return Object.fromEntries(fields);
}
