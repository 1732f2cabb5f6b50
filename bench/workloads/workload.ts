/** Something to do between the containers of two hosts, and the figures it gives. Traffic goes from host 1 to host 2. */
import type { Lab } from '../../test/lab/lab.ts';
import type { RunningCandidate } from '../candidates/candidate.ts';
import type { Measured } from '../measurement.ts';

export interface WorkloadContext {
  readonly lab: Lab;
  readonly candidate: RunningCandidate;
  readonly seconds: number;
  /** Threads of the UDP generator. */
  readonly udpSenders: number;
  /** TCP congestion control to ask for; undefined: the kernel's default. */
  readonly congestionControl: string | undefined;
}

export interface Outcome {
  readonly measured: Measured;
  /** What was delivered from host 1 to host 2: at least this must have come through the candidate's device. */
  readonly payloadBytes: number;
}

export type Workload = (context: WorkloadContext) => Promise<Outcome>;

/** A load generator that has not ended this long after its time is stuck. */
export const GRACE_MS = 20_000;

/** The address of the first container of host `index`; throws before the containers have theirs. */
export function addressOf(lab: Lab, index: number): string {
  const { address, name } = lab.container(index);
  if (address === undefined) throw new Error(`container ${name} has no address yet`);
  return address;
}
