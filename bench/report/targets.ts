/** The bounds this project has set itself, and whether a run met them. */
import type { Metric, Mode, Sample, WorkloadName } from '../measurement.ts';
import { ratioOf, summaryOf } from './statistics.ts';

interface Bound {
  readonly metric: Metric;
  readonly relation: 'at least' | 'at most';
  readonly limit: number;
}

/** `limit` is a factor of what the reference has, or an absolute value in the metric's unit where there is none. */
export interface Target extends Bound {
  readonly mode: Mode;
  readonly title: string;
  readonly workload: WorkloadName;
  readonly candidate: string;
  readonly reference?: 'vxlan' | 'flanneld';
  /** Counts where the first bound is missed: what proves the same with another quantity. */
  readonly otherwise?: Bound;
}

export type Verdict = 'met' | 'missed' | 'not measured';

export interface Judged {
  readonly target: Target;
  /** The bound that decided. */
  readonly bound: Bound;
  /** Factor or absolute value, as the bound's limit. */
  readonly value: number | undefined;
  readonly verdict: Verdict;
}

const ours = { mode: 'wire', candidate: 'flannel0' } as const;
const throughput = { ...ours, metric: 'bitsPerSecond', relation: 'at least' } as const;
const delivered = { ...ours, metric: 'packetsPerSecond', relation: 'at least' } as const;

/** The variant (`--variant polling=FLAGS`) whose ping-pong is held to the bound for polling. */
export const POLLING_VARIANT = 'flannel0:polling';

export const TARGETS: readonly Target[] = [
  { ...throughput, title: 'TCP 1 stream', workload: 'tcp1', limit: 0.85, reference: 'vxlan' },
  { ...throughput, title: 'TCP 1 stream', workload: 'tcp1', limit: 10, reference: 'flanneld' },
  { ...throughput, title: 'TCP 4 streams', workload: 'tcp4', limit: 0.65, reference: 'vxlan' },
  { ...throughput, title: 'TCP 4 streams', workload: 'tcp4', limit: 12, reference: 'flanneld' },
  { ...throughput, title: 'TCP both directions', workload: 'bidir', limit: 0.65, reference: 'vxlan' },
  {
    ...delivered,
    title: 'UDP 64 B delivered, or else CPU per packet',
    workload: 'udp64',
    limit: 1.2,
    reference: 'vxlan',
    otherwise: { metric: 'cpuMicrosPerPacket', relation: 'at most', limit: 1 / 1.2 },
  },
  { ...delivered, title: 'UDP 64 B delivered', workload: 'udp64', limit: 4, reference: 'flanneld' },
  { ...delivered, title: 'UDP 1380 B delivered', workload: 'udp1380', limit: 1, reference: 'vxlan' },
  {
    ...ours,
    title: 'ping-pong p50',
    workload: 'pingpong',
    metric: 'p50Micros',
    relation: 'at most',
    limit: 1.3,
    reference: 'vxlan',
  },
  {
    ...ours,
    title: 'ping-pong p50, polling',
    candidate: POLLING_VARIANT,
    workload: 'pingpong',
    metric: 'p50Micros',
    relation: 'at most',
    limit: 0.6,
    reference: 'vxlan',
  },
  {
    ...ours,
    title: 'p99 under 10 kpps',
    workload: 'loaded',
    metric: 'p99Micros',
    relation: 'at most',
    limit: 1.5,
    reference: 'vxlan',
  },
  {
    ...ours,
    title: 'idle: wakes of packet workers per second',
    workload: 'idle',
    metric: 'workerWakesPerSecond',
    relation: 'at most',
    limit: 0,
  },
  {
    ...ours,
    title: 'MiB with 10,000 routes',
    workload: 'routes10k',
    metric: 'rssMib',
    relation: 'at most',
    limit: 120,
  },
  { ...throughput, mode: 'offload', title: 'TCP 1 stream', workload: 'tcp1', limit: 0.65, reference: 'vxlan' },
];

/** The candidate that stands for flanneld: the real one where it ran, else its model. */
export function flanneldCandidate(candidates: readonly string[]): string {
  return candidates.includes('flanneld') ? 'flanneld' : 'flanneld-model';
}

/** Judges every target of `mode`; `candidates` are the names that took part. */
export function judge(samples: readonly Sample[], candidates: readonly string[], mode: Mode): Judged[] {
  return TARGETS.filter((target) => target.mode === mode).map((target) => {
    const first = judgeBound(target, target, samples, candidates);
    if (first.verdict !== 'missed' || target.otherwise === undefined) return first;
    const second = judgeBound(target, target.otherwise, samples, candidates);
    return second.verdict === 'met' ? second : first;
  });
}

function judgeBound(target: Target, bound: Bound, samples: readonly Sample[], candidates: readonly string[]): Judged {
  const own = summaryOf(samples, target.candidate, target.workload, bound.metric);
  const value = target.reference === undefined ? own?.median : ratioOf(own, referenceOf(target, bound));
  if (value === undefined) return { target, bound, value, verdict: 'not measured' };
  const met = bound.relation === 'at least' ? value >= bound.limit : value <= bound.limit;
  return { target, bound, value, verdict: met ? 'met' : 'missed' };

  function referenceOf({ reference, workload }: Target, { metric }: Bound) {
    const name = reference === 'flanneld' ? flanneldCandidate(candidates) : 'vxlan';
    return summaryOf(samples, name, workload, metric);
  }
}
