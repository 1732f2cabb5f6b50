/** Which candidates take part, and what each does. */
import { spawnSync } from 'node:child_process';
import type { Candidate } from './candidates/candidate.ts';
import { fastd, fastdVersion } from './candidates/fastd.ts';
import { flannel0, MODEL_FLANNELD, referenceFlanneld } from './candidates/flannel.ts';
import { HOST_GW, VXLAN } from './candidates/kernel.ts';
import type { WorkloadName } from './measurement.ts';
import { type CandidateName, type Options, UsageError } from './options.ts';

export interface Turn {
  readonly candidate: Candidate;
  readonly workloads: readonly WorkloadName[];
  /** Flags of our own daemon; undefined for everything else. */
  readonly flannel0Flags: readonly string[] | undefined;
}

export interface Environment {
  /** FLANNELD_REF. */
  readonly referenceFlanneld: string | undefined;
}

/** One round, in order. @throws UsageError where something was asked for that is not there. */
export function planRound(options: Options, environment: Environment): Turn[] {
  const turns: Turn[] = [];
  const add = (name: CandidateName, candidate: Candidate | undefined) => {
    if (options.candidates !== undefined && !options.candidates.includes(name)) return;
    if (candidate === undefined) {
      if (options.candidates !== undefined) throw new UsageError(`--candidates: ${name} is not installed`);
      return;
    }
    turns.push({ candidate, workloads: workloadsOf(candidate, options), flannel0Flags: undefined });
  };
  addOurs(options, turns);
  add('vxlan', VXLAN);
  add('host-gw', HOST_GW);
  add('fastd', findFastd());
  const reference = findReference(environment);
  add('flanneld', reference);
  if (reference === undefined || options.candidates !== undefined) add('flanneld-model', MODEL_FLANNELD);
  return turns;
}

function addOurs(options: Options, turns: Turn[]): void {
  if (options.candidates !== undefined && !options.candidates.includes('flannel0')) return;
  const variants = [{ name: undefined, flags: options.flannel0Flags }, ...options.variants];
  for (const { name, flags } of variants) {
    const candidate = flannel0(flags, name);
    turns.push({ candidate, workloads: workloadsOf(candidate, options), flannel0Flags: flags });
  }
}

const GENERATOR_PROOF: readonly WorkloadName[] = ['udp64', 'generator'];

/** In a quick run host-gw is there for one thing: to show what the UDP generator can do. */
function workloadsOf(candidate: Candidate, options: Options): readonly WorkloadName[] {
  const ceilingOnly = options.quick && !options.partial && candidate === HOST_GW;
  return options.workloads.filter((name) => {
    if (name === 'routes10k') return candidate.name.startsWith('flannel0');
    // The generator by itself is the same everywhere; it stands in the column of the path that costs least.
    if (name === 'generator') return candidate === HOST_GW;
    return !ceilingOnly || GENERATOR_PROOF.includes(name);
  });
}

function findFastd(): Candidate | undefined {
  const version = fastdVersion();
  return version === undefined ? undefined : fastd(version);
}

function findReference({ referenceFlanneld: binary }: Environment): Candidate | undefined {
  if (binary === undefined || binary === '') return undefined;
  // v0.20.2 prints its version on standard error, later ones on standard output.
  const { error, stdout, stderr } = spawnSync(binary, ['--version'], { encoding: 'utf8', timeout: 10_000 });
  if (error !== undefined) throw new UsageError(`FLANNELD_REF: cannot run it: ${error.message}`);
  const version = /v?[0-9]+\.[0-9]+\.[0-9]+\S*/.exec(`${stdout}${stderr}`)?.[0] ?? 'of unknown version';
  return referenceFlanneld(binary, version);
}
