import { formatPrefix, maskOf, parseAddress, parsePrefix, prefixOf } from '../ip/ip.ts';

/**
 * One spelling for rules that mean the same. iptables versions and back ends differ in how they print a rule: masks as
 * dotted quads, single hosts without `/32`, `-s ! net` for `! -s net`, marks in decimal or without a mask, options in
 * another order.
 */
export interface NormalisedRule {
  readonly key: string;
  readonly target: string | undefined;
  readonly unconditional: boolean;
}

const SHORT_NAMES = new Map([
  ['--source', '-s'],
  ['--src', '-s'],
  ['--destination', '-d'],
  ['--dst', '-d'],
  ['--in-interface', '-i'],
  ['--out-interface', '-o'],
  ['--protocol', '-p'],
  ['--proto', '-p'],
  ['--match', '-m'],
  ['--jump', '-j'],
  ['--goto', '-g'],
]);

/** An option with its values: `! -d 224.0.0.0/4`. */
interface RuleOption {
  negated: boolean;
  readonly name: string;
  readonly values: string[];
}

function splitOptions(tokens: readonly string[]): RuleOption[] {
  const options: RuleOption[] = [];
  let negateNext = false;
  for (const token of tokens) {
    const current = options.at(-1);
    if (token === '!') {
      // Ancient `-s ! net`: the mark stands between the option and its value.
      if (current !== undefined && current.values.length === 0 && takesValue(current.name)) current.negated = true;
      else negateNext = true;
    } else if (token.startsWith('-') && !(current?.name === '--comment' && current.values.length === 0)) {
      options.push({ negated: negateNext, name: SHORT_NAMES.get(token) ?? token, values: [] });
      negateNext = false;
    } else {
      current?.values.push(token);
    }
  }
  return options;
}

/** Options known to need a value, so that a `!` behind them negates them and not the next one. */
function takesValue(name: string): boolean {
  return ['-s', '-d', '-i', '-o', '-p', '--mark'].includes(name);
}

function normaliseOption(option: RuleOption): RuleOption | undefined {
  const value = option.values[0] ?? '';
  switch (option.name) {
    case '-s':
    case '-d': {
      const network = normaliseNetwork(value);
      return network === '0.0.0.0/0' && !option.negated ? undefined : { ...option, values: [network] };
    }
    case '-p':
      return ['all', 'ip', '0'].includes(value) && !option.negated ? undefined : option;
    case '--mark':
      return { ...option, values: [normaliseMark(value)] };
    // Counters are no part of a rule's meaning.
    case '-c':
    case '--set-counters':
      return undefined;
    default:
      return option;
  }
}

function normaliseNetwork(text: string): string {
  const host = parseAddress(text);
  if (host !== undefined) return formatPrefix(prefixOf(host, host.family === 4 ? 32 : 128));
  const prefix = parsePrefix(text);
  if (prefix !== undefined) return formatPrefix(prefix);
  const [addressText = '', maskText = ''] = text.split('/');
  const address = parseAddress(addressText);
  const mask = parseAddress(maskText);
  if (address === undefined || mask?.family !== 4 || address.family !== 4) return text;
  for (let length = 0; length <= 32; length++) {
    if (maskOf(4, length) === mask.value) return formatPrefix(prefixOf(address, length));
  }
  return text;
}

function normaliseMark(text: string): string {
  const [value = '', mask = '0xffffffff'] = text.split('/');
  const numbers = [value, mask].map(Number);
  if (numbers.some((n) => !Number.isInteger(n))) return text;
  return numbers.map((n) => `0x${n.toString(16)}`).join('/');
}

/** Groups of options that belong together: `-m mark --mark 1`, `-j MASQUERADE --random-fully`, or one plain option. */
function groupOptions(options: readonly RuleOption[]): RuleOption[][] {
  const groups: RuleOption[][] = [];
  for (const option of options) {
    const owner = groups.at(-1);
    const ownerTakesOptions = owner?.[0] !== undefined && ['-m', '-j', '-g'].includes(owner[0].name);
    if (ownerTakesOptions && option.name.startsWith('--')) owner.push(option);
    else groups.push([option]);
  }
  return groups;
}

/** @param tokens words of a rule without its chain. */
export function normaliseRule(tokens: readonly string[]): NormalisedRule {
  const options = splitOptions(tokens)
    .map(normaliseOption)
    .filter((option) => option !== undefined);
  const groups = groupOptions(options);
  const isTarget = (group: RuleOption[]) => group[0]?.name === '-j' || group[0]?.name === '-g';
  const conditions = groups.filter((group) => !isTarget(group));
  const words = (group: RuleOption[]) =>
    JSON.stringify(group.map((option) => [option.negated ? '!' : '', option.name, ...option.values]));
  return {
    // The order of conditions does not change what our rules match; the target stands last.
    key: [...conditions.map(words).sort(), ...groups.filter(isTarget).map(words)].join(' '),
    target: groups.find(isTarget)?.[0]?.values[0],
    unconditional: conditions.every((group) => group[0]?.name === '-m' && group[0].values[0] === 'comment'),
  };
}
