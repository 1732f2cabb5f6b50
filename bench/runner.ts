/** Plays the rounds: A B C, A B C, ... Each turn is a fresh lab with fresh daemons, taken down before the next. */
import { createLab, type Lab } from '../test/lab/lab.ts';
import type { RunningCandidate } from './candidates/candidate.ts';
import type { Failure, Measured, Sample, WorkloadName } from './measurement.ts';
import type { Options } from './options.ts';
import type { Turn } from './plan.ts';
import { proveCrossing, setMode, watchCrossing } from './underlay.ts';
import { LAB_WORKLOADS } from './workloads/index.ts';
import { measureManyRoutes } from './workloads/many-routes.ts';
import { waitForPing } from './workloads/tcp.ts';

/** Routes come from etcd, fastd shakes hands. */
const FIRST_PING_MS = 20_000;
/** Queues that a flood has filled drain before the next workload. */
const NEXT_PING_MS = 10_000;

export interface Progress {
  turn(round: number, candidate: string): void;
  sample(workload: WorkloadName, measured: Measured): void;
  failure(workload: Failure['workload'], error: unknown): void;
}

export interface Played {
  readonly samples: readonly Sample[];
  readonly failures: readonly Failure[];
}

/** What one candidate fails at costs the others nothing; `interrupted` ends it all. */
export async function playRounds(
  turns: readonly Turn[],
  options: Options,
  progress: Progress,
  interrupted: () => boolean,
): Promise<Played> {
  const samples: Sample[] = [];
  const failures: Failure[] = [];
  for (let round = 1; round <= options.rounds; round++) {
    for (const turn of turns) {
      const candidate = turn.candidate.name;
      progress.turn(round, candidate);
      const attempt = async (workload: Failure['workload'], work: () => Promise<void>) => {
        if (interrupted()) return;
        try {
          await work();
        } catch (error) {
          if (interrupted()) return;
          failures.push({ candidate, workload, round });
          progress.failure(workload, error);
        }
      };
      const keep = (workload: WorkloadName, measured: Measured) => {
        samples.push({ candidate, workload, round, measured });
        progress.sample(workload, measured);
      };
      await attempt('setup', () => playTurn(turn, options, attempt, keep));
      await playManyRoutes(turn, round, attempt, keep);
    }
  }
  return { samples, failures };
}

type Attempt = (workload: Failure['workload'], work: () => Promise<void>) => Promise<void>;
type Keep = (workload: WorkloadName, measured: Measured) => void;

async function playTurn(turn: Turn, options: Options, attempt: Attempt, keep: Keep): Promise<void> {
  const lab = await createLab(turn.candidate.labOptions);
  try {
    await setMode(lab, options.mode);
    const running = await turn.candidate.start(lab);
    const { crossing } = await watchCrossing(lab, turn.candidate.device, 0, () => waitForPing(lab, FIRST_PING_MS));
    // 64 bytes of ICMP in 20 of IPv4.
    proveCrossing(crossing, 84, turn.candidate.device, options.mode);
    for (const workload of turn.workloads) {
      if (workload === 'routes10k' || (workload === 'idle' && running.daemons.length === 0)) continue;
      await attempt(workload, async () => keep(workload, await measure(lab, turn, running, options, workload)));
    }
  } finally {
    await lab.close();
  }
}

async function measure(
  lab: Lab,
  turn: Turn,
  candidate: RunningCandidate,
  options: Options,
  workload: Exclude<WorkloadName, 'routes10k'>,
): Promise<Measured> {
  const { seconds, udpSenders, congestionControl } = options;
  await waitForPing(lab, NEXT_PING_MS);
  const { result, crossing } = await watchCrossing(lab, turn.candidate.device, 0, () =>
    LAB_WORKLOADS[workload]({ lab, candidate, seconds, udpSenders, congestionControl }),
  );
  proveCrossing(crossing, result.payloadBytes, turn.candidate.device, options.mode);
  return result.measured;
}

/** Memory does not vary between rounds as speed does: once is enough. */
async function playManyRoutes(turn: Turn, round: number, attempt: Attempt, keep: Keep): Promise<void> {
  const flags = turn.flannel0Flags;
  if (flags === undefined || round !== 1 || !turn.workloads.includes('routes10k')) return;
  await attempt('routes10k', async () => keep('routes10k', await measureManyRoutes(flags)));
}
