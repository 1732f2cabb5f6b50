/** A way to carry packets between two hosts, which the benchmark can put into a lab. */
import type { Lab, LabOptions, LabProcess } from '../../test/lab/lab.ts';
import type { CandidateInfo } from '../measurement.ts';

export interface Candidate extends CandidateInfo {
  readonly labOptions: LabOptions;
  /** The interface on both hosts whose counters prove that packets took this path. */
  readonly device: string;
  /** Sets the path up; the containers have their addresses when it returns. */
  start(lab: Lab): Promise<RunningCandidate>;
}

export interface RunningCandidate {
  /** Our daemons or theirs, whose memory is worth a figure; empty for what the kernel does by itself. */
  readonly daemons: readonly LabProcess[];
}

export const UNDERLAY_MTU = 1500;
