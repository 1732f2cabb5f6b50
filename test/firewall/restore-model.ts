import { readRule, type SavedTable } from '../../src/firewall/iptables-save.ts';

const BUILT_IN = new Set(['INPUT', 'FORWARD', 'OUTPUT', 'PREROUTING', 'POSTROUTING']);

/**
 * What iptables-restore --noflush does to a table, slowly and plainly: the oracle of the planner. Throws where the
 * real one would refuse the whole commit.
 */
export function applyRestore(table: SavedTable, restoreText: string): SavedTable {
  const chains = new Map([...table].map(([name, rules]) => [name, rules.map((rule) => rule.text)]));
  const need = (name: string): string[] => {
    const rules = chains.get(name);
    if (rules === undefined) throw new Error(`no chain ${name}`);
    return rules;
  };
  const lines = restoreText.split('\n');
  if (!/^\*\w+$/.test(lines[0] ?? '') || lines.at(-1) !== '' || lines.at(-2) !== 'COMMIT')
    throw new Error('not a table');
  for (const line of lines.slice(1, -2)) {
    const declared = /^:(\S+) - \[0:0\]$/.exec(line);
    const [, verb, name = '', rest = ''] = /^(-[A-Z]) (\S+) ?(.*)$/.exec(line) ?? [];
    if (declared?.[1] !== undefined) chains.set(declared[1], []);
    else if (verb === '-A') need(name).push(rest);
    else if (verb === '-I') need(name).splice(0, 0, rest.replace(/^1 /, ''));
    else if (verb === '-F') chains.set(name, []);
    else if (verb === '-D') deleteRule(need(name), rest);
    else if (verb === '-X') deleteChain(chains, name);
    else throw new Error(`bad line ${line}`);
  }
  return new Map([...chains].map(([name, rules]) => [name, rules.map(readRule)]));
}

function deleteRule(rules: string[], text: string): void {
  const index = rules.findIndex((rule) => readRule(rule).key === readRule(text).key);
  if (index < 0) throw new Error(`no rule ${text}`);
  rules.splice(index, 1);
}

function deleteChain(chains: Map<string, string[]>, name: string): void {
  if (BUILT_IN.has(name) || chains.get(name)?.length !== 0) throw new Error(`cannot delete ${name}`);
  for (const rule of [...chains.values()].flat())
    if (readRule(rule).target === name) throw new Error(`${name} is in use`);
  chains.delete(name);
}
