/** What is measured, and the shape of what comes out: the vocabulary of the benchmark. Values only. */

export const WORKLOADS = [
  'tcp1',
  'tcp4',
  'bidir',
  'udp64',
  'generator',
  'udp1380',
  'pingpong',
  'loaded',
  'idle',
  'routes10k',
] as const;
export type WorkloadName = (typeof WORKLOADS)[number];

export const METRICS = [
  'bitsPerSecond',
  'cpuSecondsPerGb',
  'packetsPerSecond',
  'offeredPacketsPerSecond',
  'lossRatio',
  'cpuMicrosPerPacket',
  'p50Micros',
  'p99Micros',
  'rssMib',
  'workerWakesPerSecond',
] as const;
export type Metric = (typeof METRICS)[number];

export type Measured = Partial<Record<Metric, number>>;

/** What one workload gave on one candidate in one round (from 1). */
export interface Sample {
  readonly candidate: string;
  readonly workload: WorkloadName;
  readonly round: number;
  readonly measured: Measured;
}

/** Wire: every packet of the MTU crosses the underlay by itself. Offload: super-packets cross it whole. */
export type Mode = 'wire' | 'offload';

export interface CandidateInfo {
  /** The label in tables and files: `flannel0`, `vxlan`, ... */
  readonly name: string;
  /** What it is, in a line. */
  readonly description: string;
  /** MTU of its containers. */
  readonly mtuBytes: number;
}

/** What ran where. Nothing in it names the machine or a place on it. */
export interface Circumstances {
  /** ISO 8601, UTC. */
  readonly date: string;
  readonly commit: string;
  readonly command: string;
  readonly cpu: string;
  readonly cores: number;
  readonly kernel: string;
  readonly congestionControl: string;
  readonly mode: Mode;
  readonly rounds: number;
  readonly secondsPerWorkload: number;
  /** Share of all cores that was busy before anything was started: other people's work is in the figures. */
  readonly busyBefore: number;
}

export interface Failure {
  readonly candidate: string;
  readonly workload: WorkloadName | 'setup';
  readonly round: number;
}

export interface Results {
  readonly circumstances: Circumstances;
  readonly candidates: readonly CandidateInfo[];
  readonly samples: readonly Sample[];
  readonly failures: readonly Failure[];
}
