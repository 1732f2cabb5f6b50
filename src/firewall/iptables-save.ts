import { normaliseRule } from './rule-spelling.ts';

/** One rule as iptables-save(8) printed it. */
export interface SavedRule {
  /** Everything after `-A CHAIN `, as printed. */
  readonly text: string;
  /** Equal for rules that mean the same, however an iptables spells them. */
  readonly key: string;
  readonly target: string | undefined;
  /** Matches every packet (comments aside). */
  readonly unconditional: boolean;
}

/** Chains of one table by name, built-in ones included, each with its rules in order. */
export type SavedTable = ReadonlyMap<string, readonly SavedRule[]>;

/**
 * Parses the output of iptables-save. Tolerant: what it does not know (comments, warnings, counters) is skipped, as
 * the output of every version has its own decoration.
 * @returns tables by name; a table that was not printed is absent.
 */
export function parseIptablesSave(text: string): ReadonlyMap<string, SavedTable> {
  const tables = new Map<string, Map<string, SavedRule[]>>();
  let table: Map<string, SavedRule[]> | undefined;
  for (const rawLine of text.split('\n')) {
    const line = rawLine.replace(/^\[\d+:\d+\]\s+/, '').trim();
    const header = /^\*(\S+)$/.exec(line);
    if (header?.[1] !== undefined) {
      table = new Map();
      tables.set(header[1], table);
    } else if (line === 'COMMIT') {
      table = undefined;
    } else if (table !== undefined) {
      readTableLine(table, line);
    }
  }
  return tables;
}

function readTableLine(table: Map<string, SavedRule[]>, line: string): void {
  const declared = /^:(\S+)/.exec(line);
  if (declared?.[1] !== undefined) {
    if (!table.has(declared[1])) table.set(declared[1], []);
    return;
  }
  const rule = /^(?:-A|--append)\s+(\S+)\s*(.*)$/.exec(line);
  if (rule?.[1] === undefined || rule[2] === undefined) return;
  const rules = table.get(rule[1]) ?? [];
  table.set(rule[1], rules);
  rules.push(readRule(rule[2]));
}

/** @param text a rule without its chain: `-s 10.5.0.0/16 -j ACCEPT`. */
export function readRule(text: string): SavedRule {
  return { text, ...normaliseRule(tokenize(text)) };
}

/**
 * Splits a line of iptables-save into words. Double quotes group, and a backslash inside them takes the next
 * character as it is; an unclosed quote ends with the line.
 */
export function tokenize(text: string): string[] {
  const tokens: string[] = [];
  let token: string | undefined;
  let quoted = false;
  for (let i = 0; i < text.length; i++) {
    const char = text.charAt(i);
    if (char === '"') {
      quoted = !quoted;
      token ??= '';
    } else if (quoted && char === '\\' && i + 1 < text.length) {
      i++;
      token = (token ?? '') + text.charAt(i);
    } else if (!quoted && /\s/.test(char)) {
      if (token !== undefined) tokens.push(token);
      token = undefined;
    } else {
      token = (token ?? '') + char;
    }
  }
  if (token !== undefined) tokens.push(token);
  return tokens;
}
