import type { Logger } from '../log/log.ts';
import { type ChainPlace, FORWARD_CHAIN, forwardRules, MASQUERADE_CHAIN, masqueradeRules } from './chains.ts';
import type { CommandRunner } from './command-runner.ts';
import type { Firewall, FirewallOptions, TableDifference } from './firewall.ts';
import { type Iptables, openIptables } from './iptables.ts';
import type { SavedTable } from './iptables-save.ts';
import { type ChainPlan, type ChainState, chainStateOf, NO_CHAIN, planChain, sameRules } from './plan.ts';

export interface FirewallDeps {
  readonly run: CommandRunner;
  /** A number that changes with every change of any rule; undefined where there is none to be had. */
  readonly readGeneration: () => number | undefined;
  readonly logger: Logger;
}

/** Our part of one table: what it should be, and what it was before this run. */
interface ManagedChain {
  readonly place: ChainPlace;
  readonly wanted: ChainState;
  before: ChainState | undefined;
  /** How this iptables spelled our own rules when they were read back, if it was a way we cannot tell to be equal. */
  acceptedRules: readonly string[] | undefined;
  /** Somebody's catch-all stands in front of our jump; said once. */
  shadowed: boolean;
}

/** {@link Firewall} over iptables-save(8) and iptables-restore(8). Runs nothing before the first call. */
export function createIptablesFirewall(options: FirewallOptions, deps: FirewallDeps): Firewall {
  let iptables: Iptables | undefined;
  let managed: ManagedChain[] | undefined;
  /** Of the ruleset in which all was found right; undefined: to be looked at. */
  let rightGeneration: number | undefined;
  const undoStack: { readonly place: ChainPlace; readonly before: ChainState }[] = [];

  async function open(): Promise<{ tools: Iptables; chains: ManagedChain[] }> {
    iptables ??= await openIptables(deps.run);
    managed ??= wantedChains(options, iptables.randomFully);
    return { tools: iptables, chains: managed };
  }

  async function mend(chain: ManagedChain, starting: boolean): Promise<TableDifference | undefined> {
    const { tools } = await open();
    const live = await tools.readTable(chain.place.table);
    if (starting && chain.before === undefined) {
      chain.before = chainStateOf(live, chain.place);
      undoStack.push({ place: chain.place, before: chain.before });
    }
    const plan = planFor(live, chain, starting);
    if (!starting) noteShadow(chain, plan.jumpUnreachable);
    if (plan.restoreText === undefined) return undefined;
    await tools.commit(plan.restoreText);
    await acceptSpelling(tools, chain);
    return difference(chain.place, plan);
  }

  function noteShadow(chain: ManagedChain, shadowed: boolean): void {
    const { table, parent, chain: name } = chain.place;
    if (shadowed && !chain.shadowed) {
      const message = `a rule in front of the jump to ${name} takes every packet, so our rules have no effect; left as it is`;
      deps.logger.warn({ table, chain: parent }, message);
    }
    chain.shadowed = shadowed;
  }

  /** Without this, an iptables with a spelling of its own would have its rules replaced at every check. */
  async function acceptSpelling(tools: Iptables, chain: ManagedChain): Promise<void> {
    const rules = (await tools.readTable(chain.place.table)).get(chain.place.chain);
    if (rules?.length !== chain.wanted.rules?.length || sameRules(rules, chain.wanted.rules)) return;
    chain.acceptedRules = rules?.map((rule) => rule.text);
    deps.logger.debug(
      { table: chain.place.table, rules: chain.acceptedRules },
      'iptables spells our rules its own way',
    );
  }

  async function removeLeftMasquerade(): Promise<void> {
    const { tools } = await open();
    const live = await tools.readTableInUse(MASQUERADE_CHAIN.table);
    if (live === undefined) return;
    const plan = planChain(live, MASQUERADE_CHAIN, NO_CHAIN);
    if (plan.restoreText === undefined) return;
    undoStack.push({ place: MASQUERADE_CHAIN, before: chainStateOf(live, MASQUERADE_CHAIN) });
    await tools.commit(plan.restoreText);
    deps.logger.info({ chain: MASQUERADE_CHAIN.chain }, 'removed masquerade rules of an earlier run (ip-masq is off)');
  }

  return {
    async install() {
      // Without any rule to install, a host without iptables is no error.
      if (!options.forwardRules && !options.ipMasq) {
        await removeLeftMasquerade().catch((error: Error) =>
          deps.logger.debug({ error: error.message }, 'did not look for masquerade rules of an earlier run'),
        );
        return;
      }
      const { tools, chains } = await open();
      for (const chain of chains) {
        const found = await mend(chain, true);
        const { table, chain: name } = chain.place;
        deps.logger.info(
          { table, chain: name, iptables: tools.version, found: found?.differences ?? [] },
          found === undefined ? 'traffic rules were already in place' : 'installed traffic rules',
        );
      }
      if (!options.ipMasq) await removeLeftMasquerade();
    },

    async check() {
      if (!options.forwardRules && !options.ipMasq) return [];
      const { tools, chains } = await open();
      const found: TableDifference[] = [];
      for (const chain of chains) {
        const plan = planFor(await tools.readTable(chain.place.table), chain, false);
        if (plan.restoreText !== undefined) found.push(difference(chain.place, plan));
      }
      return found;
    },

    async resync() {
      if (!options.forwardRules && !options.ipMasq) return [];
      const { tools, chains } = await open();
      // Read before the rules: what changes meanwhile raises it, and is seen next time.
      const generation = tools.usesNftables ? deps.readGeneration() : undefined;
      if (generation !== undefined && generation === rightGeneration) return [];
      rightGeneration = undefined;
      const found: TableDifference[] = [];
      for (const chain of chains) {
        const mended = await mend(chain, false);
        if (mended !== undefined) found.push(mended);
      }
      if (found.length === 0) rightGeneration = generation;
      return found;
    },

    async undo() {
      if (undoStack.length === 0) return;
      const { tools } = await open();
      for (let step = undoStack.pop(); step !== undefined; step = undoStack.pop()) {
        const plan = planChain(await tools.readTable(step.place.table), step.place, step.before);
        if (plan.restoreText !== undefined) await tools.commit(plan.restoreText);
      }
    },
  };
}

function wantedChains(options: FirewallOptions, randomFullySupported: boolean): ManagedChain[] {
  const managed = (place: ChainPlace, rules: readonly string[]): ManagedChain => ({
    place,
    wanted: { rules, jumps: 1 },
    before: undefined,
    acceptedRules: undefined,
    shadowed: false,
  });
  const randomFully = options.randomFully && randomFullySupported;
  return [
    ...(options.ipMasq
      ? [managed(MASQUERADE_CHAIN, masqueradeRules(options.network, options.subnet, randomFully))]
      : []),
    ...(options.forwardRules ? [managed(FORWARD_CHAIN, forwardRules(options.network))] : []),
  ];
}

function planFor(live: SavedTable, chain: ManagedChain, moveUnreachable: boolean): ChainPlan {
  const { acceptedRules, place, wanted } = chain;
  const asAccepted = acceptedRules !== undefined && sameRules(live.get(place.chain), acceptedRules);
  return planChain(live, place, asAccepted ? { ...wanted, rules: acceptedRules } : wanted, { moveUnreachable });
}

function difference(place: ChainPlace, plan: ChainPlan): TableDifference {
  return { table: place.table, chain: place.chain, differences: plan.differences };
}
