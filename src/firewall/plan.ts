import type { ChainPlace } from './chains.ts';
import type { RuleDifference } from './firewall.ts';
import { readRule, type SavedRule, type SavedTable } from './iptables-save.ts';

/** Our part of one table: the chain's rules (undefined: no chain) and how many jumps lead to it. */
export interface ChainState {
  readonly rules: readonly string[] | undefined;
  readonly jumps: number;
}

export const NO_CHAIN: ChainState = { rules: undefined, jumps: 0 };

export interface ChainPlan {
  /** What iptables-restore(8) `--noflush` has to commit; undefined when the live rules are as wanted. */
  readonly restoreText: string | undefined;
  readonly differences: readonly RuleDifference[];
  /** A rule in front of the jump takes every packet, so ours are never met. */
  readonly jumpUnreachable: boolean;
}

const TERMINAL_TARGETS = new Set(['ACCEPT', 'DROP', 'REJECT', 'RETURN', 'MASQUERADE', 'SNAT', 'NETMAP', 'REDIRECT']);

function jumpsOf(table: SavedTable, place: ChainPlace): SavedRule[] {
  const { key } = readRule(place.jump);
  return (table.get(place.parent) ?? []).filter((rule) => rule.key === key);
}

/** Our part of the live table, to be put back by an undo. */
export function chainStateOf(table: SavedTable, place: ChainPlace): ChainState {
  return {
    rules: table.get(place.chain)?.map((rule) => rule.text),
    jumps: jumpsOf(table, place).length,
  };
}

export function sameRules(live: readonly SavedRule[] | undefined, wanted: readonly string[] | undefined): boolean {
  if (live === undefined || wanted === undefined) return live === wanted;
  return live.length === wanted.length && live.every((rule, i) => rule.key === readRule(wanted[i] ?? '').key);
}

/**
 * Compares the whole chain, order included, and the number of jumps, and says how to get from `live` to `wanted` in
 * one commit. The place of a single jump is accepted as it is: flannel v0.20 inserts it on top, later versions append
 * it, and Docker and others put theirs in front; moving it would be a fight without end.
 * @param moveUnreachable put a jump on top that stands behind a rule which takes every packet. For the start only:
 * an operator who later inserts `-j DROP` in an emergency is not to be overruled within seconds.
 */
export function planChain(
  live: SavedTable,
  place: ChainPlace,
  wanted: ChainState,
  { moveUnreachable = false } = {},
): ChainPlan {
  const liveRules = live.get(place.chain);
  const jumps = jumpsOf(live, place);
  const differences: RuleDifference[] = [];
  const lines: string[] = [];

  const chainEqual = sameRules(liveRules, wanted.rules);
  const jumpUnreachable = jumps.length > 0 && isUnreachable(live, place);
  const jumpsEqual = jumps.length === wanted.jumps && !(moveUnreachable && jumpUnreachable);
  if (!chainEqual && wanted.rules !== undefined) {
    differences.push(liveRules === undefined ? 'chain missing' : 'chain differs');
    // Declares the chain, and empties it where it exists.
    lines.push(`:${place.chain} - [0:0]`);
  }
  if (!jumpsEqual) {
    differences.push(jumpDifference(jumps.length, wanted.jumps));
    // By content, not by number: numbers may have changed since the table was read.
    for (const jump of jumps) lines.push(`-D ${place.parent} ${jump.text}`);
    for (let i = 0; i < wanted.jumps; i++) lines.push(`-I ${place.parent} 1 ${place.jump}`);
  }
  if (!chainEqual && wanted.rules !== undefined) {
    for (const rule of wanted.rules) lines.push(`-A ${place.chain} ${rule}`);
  }
  if (!chainEqual && wanted.rules === undefined) {
    const removal = removeChain(live, place, jumps);
    if (removal.length > 0) differences.push('chain left over');
    lines.push(...removal);
  }
  return {
    restoreText: lines.length === 0 ? undefined : `${[`*${place.table}`, ...lines, 'COMMIT'].join('\n')}\n`,
    differences,
    jumpUnreachable,
  };
}

function jumpDifference(live: number, wanted: number): RuleDifference {
  if (wanted === 0) return 'jump left over';
  if (live === wanted) return 'jump unreachable';
  return live < wanted ? 'jump missing' : 'jump more than once';
}

/** A chain that somebody else's rule still leads to cannot be deleted; it is emptied instead, if it is not yet empty. */
function removeChain(live: SavedTable, place: ChainPlace, ownJumps: readonly SavedRule[]): string[] {
  const references = [...live.values()].flat().filter((rule) => rule.target === place.chain).length;
  if (references === ownJumps.length) return [`-F ${place.chain}`, `-X ${place.chain}`];
  return live.get(place.chain)?.length === 0 ? [] : [`-F ${place.chain}`];
}

function isUnreachable(live: SavedTable, place: ChainPlace): boolean {
  const { key } = readRule(place.jump);
  for (const rule of live.get(place.parent) ?? []) {
    if (rule.key === key) return false;
    if (rule.unconditional && rule.target !== undefined && TERMINAL_TARGETS.has(rule.target)) return true;
  }
  return false;
}
