import { OperatorError } from '../errors/errors.ts';
import { type IpAddress, parseAddress } from '../ip/ip.ts';
import { findFlag, type GivenFlags } from './flags.ts';
import { quote } from './normalise-argv.ts';

/** A bad value: says which flag or variable, what was given, and what would be right. */
export function badValue(flags: GivenFlags, name: string, detail: string): OperatorError {
  const source = flags.get(name)?.source ?? `--${name}`;
  return new OperatorError('usage', `${source}: ${detail}`);
}

/**
 * The text given for a flag, or its default. An empty text is "not given" for a flag without default, so that
 * `--public-ip=$IP` in a script may have nothing to say.
 * @throws OperatorError `usage` where a flag with a default is set to nothing.
 */
export function textValue(flags: GivenFlags, name: string): string {
  const fallback = findFlag(name)?.default ?? '';
  const text = flags.get(name)?.values.at(-1) ?? fallback;
  if (text === '' && fallback !== '') throw badValue(flags, name, `is empty; the default is ${fallback}`);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: NUL ends every text that reaches the system
  if (/\u0000/.test(text)) throw badValue(flags, name, 'holds a NUL character');
  return text;
}

/** All values of a list flag; empty ones are "not given". */
export function listValue(flags: GivenFlags, name: string): string[] {
  return (flags.get(name)?.values ?? []).filter((value) => value !== '');
}

/** The words that Go's strconv.ParseBool takes. */
const BOOLEANS = new Map([
  ...['1', 't', 'T', 'true', 'TRUE', 'True'].map((word) => [word, true] as const),
  ...['0', 'f', 'F', 'false', 'FALSE', 'False'].map((word) => [word, false] as const),
]);

export function booleanValue(flags: GivenFlags, name: string): boolean {
  const text = textValue(flags, name);
  const value = BOOLEANS.get(text);
  if (value === undefined) throw badValue(flags, name, `${quote(text)} is neither true nor false`);
  return value;
}

/** A decimal number without leading zeros, which Go would read as octal. */
export function integerValue(flags: GivenFlags, name: string, min: number, max: number): number {
  const text = textValue(flags, name);
  const value = /^(0|-?[1-9][0-9]{0,14})$/.test(text) ? Number(text) : Number.NaN;
  if (!(value >= min && value <= max)) {
    throw badValue(flags, name, `${quote(text)} is not a whole number from ${min} to ${max}`);
  }
  return value;
}

export function addressValue(flags: GivenFlags, name: string, family?: 4 | 6): IpAddress | undefined {
  const text = textValue(flags, name);
  if (text === '') return undefined;
  const address = parseAddress(text);
  if (address === undefined || (family !== undefined && address.family !== family)) {
    throw badValue(flags, name, `${quote(text)} is not an ${family === undefined ? 'IP' : `IPv${family}`} address`);
  }
  return address;
}

export function choiceValue<T extends string>(flags: GivenFlags, name: string, choices: readonly T[]): T {
  const text = textValue(flags, name);
  const choice = choices.find((candidate) => candidate === text);
  if (choice === undefined) throw badValue(flags, name, `${quote(text)} is not one of ${choices.join(', ')}`);
  return choice;
}
