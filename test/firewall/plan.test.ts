import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FORWARD_CHAIN, forwardRules, MASQUERADE_CHAIN, masqueradeRules } from '../../src/firewall/chains.ts';
import { parseIptablesSave, readRule, type SavedTable } from '../../src/firewall/iptables-save.ts';
import { chainStateOf, NO_CHAIN, planChain } from '../../src/firewall/plan.ts';
import { prefix } from '../support/network.ts';
import { applyRestore } from './restore-model.ts';

const network = prefix('10.5.0.0/16');
const subnets = { h1: prefix('10.5.21.0/24'), h2: prefix('10.5.45.0/24') };
const forward = { rules: forwardRules(network), jumps: 1 };

function golden(table: string, host: string): string {
  return readFileSync(`test/golden/udp/iptables-${table}-${host}.txt`, 'utf8');
}

function tableOf(chains: Record<string, readonly string[]>): SavedTable {
  return new Map(Object.entries(chains).map(([name, rules]) => [name, rules.map(readRule)]));
}

describe('the rules of flannel v0.20.2', () => {
  it.each(['h1', 'h2'] as const)('are, letter for letter, ours (%s)', (host) => {
    const lines = (chain: string, rules: readonly string[]) => rules.map((rule) => `-A ${chain} ${rule}`);
    const ruleLines = (text: string) => text.split('\n').filter((line) => line.startsWith('-A'));
    expect(ruleLines(golden('filter', host))).toEqual([
      `-A FORWARD ${FORWARD_CHAIN.jump}`,
      ...lines('FLANNEL-FWD', forwardRules(network)),
    ]);
    expect(ruleLines(golden('nat', host))).toEqual([
      `-A POSTROUTING ${MASQUERADE_CHAIN.jump}`,
      ...lines('FLANNEL-POSTRTG', masqueradeRules(network, subnets[host], true)),
    ]);
  });

  it('are left alone where they stand', () => {
    const filter = parseIptablesSave(golden('filter', 'h1')).get('filter') ?? new Map();
    const nat = parseIptablesSave(golden('nat', 'h1')).get('nat') ?? new Map();
    const masquerade = { rules: masqueradeRules(network, subnets.h1, true), jumps: 1 };
    expect(planChain(filter, FORWARD_CHAIN, forward)).toMatchObject({ restoreText: undefined, differences: [] });
    expect(planChain(nat, MASQUERADE_CHAIN, masquerade)).toMatchObject({ restoreText: undefined, differences: [] });
  });

  it('of another subnet are replaced in one commit, the jump left where it is', () => {
    const nat = parseIptablesSave(golden('nat', 'h1')).get('nat') ?? new Map();
    const plan = planChain(nat, MASQUERADE_CHAIN, { rules: masqueradeRules(network, subnets.h2, true), jumps: 1 });
    expect(plan.differences).toEqual(['chain differs']);
    expect(plan.restoreText?.split('\n').slice(0, 3)).toEqual([
      '*nat',
      ':FLANNEL-POSTRTG - [0:0]',
      '-A FLANNEL-POSTRTG -m mark --mark 0x4000/0x4000 -m comment --comment "flanneld masq" -j RETURN',
    ]);
    expect(plan.restoreText).not.toMatch(/-[DIX] /);
  });

  it('do without --random-fully where it is off', () => {
    expect(masqueradeRules(network, subnets.h1, false).join()).not.toContain('--random-fully');
  });
});

describe('planChain', () => {
  const { jump } = FORWARD_CHAIN;
  const docker = '-j DOCKER-USER';

  it('inserts an absent jump on top', () => {
    const live = tableOf({ FORWARD: [docker], 'DOCKER-USER': [] });
    const plan = planChain(live, FORWARD_CHAIN, forward);
    expect(plan.differences).toEqual(['chain missing', 'jump missing']);
    const after = applyRestore(live, plan.restoreText ?? '');
    expect(after.get('FORWARD')?.map((rule) => rule.text)).toEqual([jump, docker]);
  });

  it.each([
    ['first', [jump, docker]],
    ['last, as later flannel appends it', [docker, jump]],
    ['between', [docker, jump, '-i eth0 -j DROP']],
  ])('accepts a jump that stands %s', (_where, rules) => {
    const live = tableOf({ FORWARD: rules, 'FLANNEL-FWD': forward.rules, 'DOCKER-USER': [] });
    expect(planChain(live, FORWARD_CHAIN, forward, { moveUnreachable: true }).restoreText).toBeUndefined();
  });

  it('makes one of several jumps', () => {
    const live = tableOf({ FORWARD: [docker, jump, jump, jump], 'FLANNEL-FWD': forward.rules, 'DOCKER-USER': [] });
    const plan = planChain(live, FORWARD_CHAIN, forward);
    expect(plan.differences).toEqual(['jump more than once']);
    const after = applyRestore(live, plan.restoreText ?? '');
    expect(after.get('FORWARD')?.map((rule) => rule.text)).toEqual([jump, docker]);
  });

  it('notices a wrong order inside the chain', () => {
    const live = tableOf({ FORWARD: [jump], 'FLANNEL-FWD': forward.rules.toReversed() });
    expect(planChain(live, FORWARD_CHAIN, forward).differences).toEqual(['chain differs']);
  });

  it('moves a jump behind a catch-all at start, and only says so later', () => {
    const live = tableOf({ FORWARD: ['-j REJECT', jump], 'FLANNEL-FWD': forward.rules });
    expect(planChain(live, FORWARD_CHAIN, forward)).toMatchObject({ restoreText: undefined, jumpUnreachable: true });
    const plan = planChain(live, FORWARD_CHAIN, forward, { moveUnreachable: true });
    expect(plan.differences).toEqual(['jump unreachable']);
    const after = applyRestore(live, plan.restoreText ?? '');
    expect(after.get('FORWARD')?.map((rule) => rule.text)).toEqual([jump, '-j REJECT']);
  });

  it('removes chain and jump, but only empties a chain that others lead to', () => {
    const live = tableOf({ FORWARD: [jump], 'FLANNEL-FWD': forward.rules });
    expect(applyRestore(live, planChain(live, FORWARD_CHAIN, NO_CHAIN).restoreText ?? '')).toEqual(
      tableOf({ FORWARD: [] }),
    );
    const used = tableOf({ FORWARD: [jump], INPUT: ['-g FLANNEL-FWD'], 'FLANNEL-FWD': forward.rules });
    const after = applyRestore(used, planChain(used, FORWARD_CHAIN, NO_CHAIN).restoreText ?? '');
    expect(after).toEqual(tableOf({ FORWARD: [], INPUT: ['-g FLANNEL-FWD'], 'FLANNEL-FWD': [] }));
    expect(planChain(after, FORWARD_CHAIN, NO_CHAIN).restoreText).toBeUndefined();
  });

  it('reaches any wanted state from any live one in one commit, and touches nothing else', () => {
    const foreign = [
      '-i docker0 -j ACCEPT',
      '-j FLANNEL-FWD',
      '-j DOCKER-USER',
      '-j REJECT',
      '-s 10.5.0.0/16 -j ACCEPT',
    ];
    const ours = [...forward.rules, '-s 10.9.0.0/16 -j ACCEPT'];
    const liveTable = fc
      .record({
        parent: fc.array(
          fc.constantFrom(...foreign, jump, '-m comment --comment "flanneld forward" --jump FLANNEL-FWD'),
        ),
        input: fc.array(fc.constantFrom(...foreign)),
        chain: fc.option(fc.array(fc.constantFrom(...ours), { maxLength: 4 })),
      })
      .map(({ parent, input, chain }) => {
        const exists = chain !== null || [...parent, ...input].some((rule) => rule.includes('FLANNEL-FWD'));
        const chains = { FORWARD: parent, INPUT: input, 'DOCKER-USER': ['-j RETURN'] };
        return tableOf(exists ? { ...chains, 'FLANNEL-FWD': chain ?? [] } : chains);
      });
    const wantedState = fc.oneof(
      fc.constant(forward),
      fc.constant(NO_CHAIN),
      fc.record({ rules: fc.array(fc.constantFrom(...ours), { maxLength: 4 }), jumps: fc.nat({ max: 3 }) }),
    );
    const others = (table: SavedTable) => {
      const { key } = readRule(jump);
      const kept = [...table].filter(([name]) => name !== 'FLANNEL-FWD');
      return kept.map(([name, rules]) => [name, rules.map((rule) => rule.key).filter((k) => k !== key)]);
    };
    fc.assert(
      fc.property(liveTable, wantedState, fc.boolean(), (live, wanted, moveUnreachable) => {
        const plan = planChain(live, FORWARD_CHAIN, wanted, { moveUnreachable });
        expect(plan.restoreText === undefined).toBe(plan.differences.length === 0);
        const after = plan.restoreText === undefined ? live : applyRestore(live, plan.restoreText);
        expect(others(after)).toEqual(others(live));
        expect(planChain(after, FORWARD_CHAIN, wanted, { moveUnreachable }).restoreText).toBeUndefined();
        const state = chainStateOf(after, FORWARD_CHAIN);
        expect(state.jumps).toBe(wanted.jumps);
        if (wanted.rules !== undefined) {
          expect(state.rules?.map((rule) => readRule(rule).key)).toEqual(
            wanted.rules.map((rule) => readRule(rule).key),
          );
        }
        // And back: what undo does.
        const back = planChain(after, FORWARD_CHAIN, chainStateOf(live, FORWARD_CHAIN));
        const undone = back.restoreText === undefined ? after : applyRestore(after, back.restoreText);
        expect(chainStateOf(undone, FORWARD_CHAIN)).toEqual(chainStateOf(live, FORWARD_CHAIN));
      }),
    );
  });
});
