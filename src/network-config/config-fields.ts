/**
 * Reads single fields of a configuration object. Every occurrence of a field must be well-typed, as Go's decoder
 * wants it; the last one counts. What is wrong is added to the source's problems, so that one pass finds all of it.
 */
import { describePlace, describeValue, type JsonNode, occurrencesOf, textOf } from '../go-json/go-json.ts';
import { type IpAddress, type Prefix, parseAddress, parsePrefix } from '../ip/ip.ts';
import type { ConfigProblem } from './config-problem.ts';

/** The text being read and what was found wrong with it so far. */
export interface ConfigSource {
  readonly text: string;
  readonly problems: ConfigProblem[];
}

/** `bad` fields have been reported already: checks that depend on them are left out. */
export type Field<T> =
  | { readonly kind: 'absent' }
  | { readonly kind: 'bad' }
  | { readonly kind: 'set'; readonly value: T; readonly where: string };

export const ABSENT = { kind: 'absent' } as const;

/** What to do with JSON null: a plain Go value stays as it was, one with its own decoder calls it an error. */
type NullRule = 'ignored' | 'refused';

interface FieldKind<T> {
  readonly expected: string;
  readonly nullRule: NullRule;
  read(text: string, node: JsonNode): T | undefined;
}

/** @param path of the field, such as `Backend.Port`: its last part is the name looked up in `object`. */
function readField<T>(source: ConfigSource, object: JsonNode, path: string, kind: FieldKind<T>): Field<T> {
  let field: Field<T> = ABSENT;
  let bad = false;
  for (const node of occurrencesOf(object, path.slice(path.lastIndexOf('.') + 1))) {
    if (node.type === 'null' && kind.nullRule === 'ignored') continue;
    const value = kind.read(source.text, node);
    const where = describePlace(source.text, node.offset);
    if (value !== undefined) {
      field = { kind: 'set', value, where };
      continue;
    }
    bad = true;
    const found = describeValue(source.text, node);
    source.problems.push({ path, message: `${path} is ${found} ${where}: write ${kind.expected}` });
  }
  return bad ? { kind: 'bad' } : field;
}

export function readBoolean(source: ConfigSource, object: JsonNode, path: string): Field<boolean> {
  return readField(source, object, path, {
    expected: 'true or false, without quotes',
    nullRule: 'ignored',
    read: (_, node) => (node.type === 'boolean' ? node.value === true : undefined),
  });
}

export function readString(source: ConfigSource, object: JsonNode, path: string): Field<string> {
  return readField(source, object, path, {
    expected: 'a string in double quotes',
    nullRule: 'ignored',
    read: (_, node) => (node.type === 'string' ? String(node.value) : undefined),
  });
}

/** An integer of digits only: 24.0, 1e1, -1 and "24" are none. */
export function readInteger(
  source: ConfigSource,
  object: JsonNode,
  path: string,
  min: number,
  max: number,
): Field<number> {
  return readField(source, object, path, {
    expected: `a whole number from ${min} to ${max}, without quotes`,
    nullRule: 'ignored',
    read: (text, node) => {
      const literal = textOf(text, node);
      const value = Number(literal);
      return node.type === 'number' && /^[0-9]+$/.test(literal) && value >= min && value <= max ? value : undefined;
    },
  });
}

export function readIpv4(source: ConfigSource, object: JsonNode, path: string): Field<IpAddress> {
  return readField(source, object, path, {
    expected: 'an IPv4 address such as "10.5.1.0"',
    nullRule: 'refused',
    read: (_, node) => ofFamily(4, node.type === 'string' ? parseAddress(String(node.value)) : undefined),
  });
}

export function readIpv6(source: ConfigSource, object: JsonNode, path: string): Field<IpAddress> {
  return readField(source, object, path, {
    expected: 'an IPv6 address such as "fd00:5:1::"',
    nullRule: 'ignored',
    read: (_, node) => ofFamily(6, node.type === 'string' ? parseAddress(String(node.value)) : undefined),
  });
}

export function readIpv4Prefix(source: ConfigSource, object: JsonNode, path: string): Field<Prefix> {
  return readField(source, object, path, {
    expected: 'an IPv4 network in CIDR form such as "10.5.0.0/16"',
    nullRule: 'refused',
    read: (_, node) => ofFamily(4, node.type === 'string' ? parsePrefix(String(node.value)) : undefined),
  });
}

export function readIpv6Prefix(source: ConfigSource, object: JsonNode, path: string): Field<Prefix> {
  return readField(source, object, path, {
    expected: 'an IPv6 network in CIDR form such as "fd00:5::/48"',
    nullRule: 'refused',
    read: (_, node) => ofFamily(6, node.type === 'string' ? parsePrefix(String(node.value)) : undefined),
  });
}

function ofFamily<T extends { readonly family: 4 | 6 }>(family: 4 | 6, value: T | undefined): T | undefined {
  return value?.family === family ? value : undefined;
}
