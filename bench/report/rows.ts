import type { Metric, WorkloadName } from '../measurement.ts';

/** A line of the table: a metric of a workload, with the unit in which people read it. */
export interface Row {
  readonly workload: WorkloadName;
  readonly metric: Metric;
  readonly title: string;
  readonly unit: string;
  /** The metric is divided by this. */
  readonly scale: number;
  readonly decimals: number;
  readonly better: 'higher' | 'lower';
  /** In the chart. */
  readonly headline: boolean;
  /** In the table of ratios. */
  readonly compared: boolean;
}

const gbit = { unit: 'Gbit/s', scale: 1e9, decimals: 2, better: 'higher', headline: true, compared: true } as const;
const kpps = { unit: 'kpps', scale: 1e3, decimals: 1, better: 'higher', headline: true, compared: true } as const;
const offered = { ...kpps, headline: false, compared: false } as const;
const percent = { unit: '%', scale: 0.01, decimals: 1, better: 'lower', headline: false, compared: false } as const;
const cpuPerGb = { unit: 's/GB', scale: 1, decimals: 2, better: 'lower', headline: false, compared: true } as const;
const cpuPerPacket = { unit: 'us', scale: 1, decimals: 2, better: 'lower', headline: false, compared: true } as const;
const micros = { unit: 'us', scale: 1, decimals: 1, better: 'lower', headline: true, compared: true } as const;
const mib = { unit: 'MiB', scale: 1, decimals: 1, better: 'lower', headline: false, compared: true } as const;
const perSecond = { unit: '1/s', scale: 1, decimals: 1, better: 'lower', headline: false, compared: true } as const;

export const ROWS: readonly Row[] = [
  { workload: 'tcp1', metric: 'bitsPerSecond', title: 'TCP 1 stream', ...gbit },
  { workload: 'tcp1', metric: 'cpuSecondsPerGb', title: 'TCP 1 stream, CPU', ...cpuPerGb },
  { workload: 'tcp4', metric: 'bitsPerSecond', title: 'TCP 4 streams', ...gbit },
  { workload: 'tcp4', metric: 'cpuSecondsPerGb', title: 'TCP 4 streams, CPU', ...cpuPerGb },
  { workload: 'bidir', metric: 'bitsPerSecond', title: 'TCP both directions, sum', ...gbit },
  { workload: 'bidir', metric: 'cpuSecondsPerGb', title: 'TCP both directions, CPU', ...cpuPerGb },
  { workload: 'udp64', metric: 'packetsPerSecond', title: 'UDP 64 B delivered', ...kpps },
  { workload: 'udp64', metric: 'offeredPacketsPerSecond', title: 'UDP 64 B offered', ...offered },
  { workload: 'udp64', metric: 'lossRatio', title: 'UDP 64 B lost', ...percent },
  { workload: 'udp64', metric: 'cpuMicrosPerPacket', title: 'UDP 64 B, CPU per delivered', ...cpuPerPacket },
  { workload: 'generator', metric: 'offeredPacketsPerSecond', title: 'UDP 64 B, generator alone', ...offered },
  { workload: 'udp1380', metric: 'packetsPerSecond', title: 'UDP 1380 B delivered', ...kpps },
  { workload: 'udp1380', metric: 'offeredPacketsPerSecond', title: 'UDP 1380 B offered', ...offered },
  { workload: 'udp1380', metric: 'lossRatio', title: 'UDP 1380 B lost', ...percent },
  { workload: 'udp1380', metric: 'cpuMicrosPerPacket', title: 'UDP 1380 B, CPU per delivered', ...cpuPerPacket },
  { workload: 'pingpong', metric: 'p50Micros', title: 'ping-pong p50', ...micros },
  { workload: 'pingpong', metric: 'p99Micros', title: 'ping-pong p99', ...micros, headline: false },
  { workload: 'loaded', metric: 'p50Micros', title: 'under 10 kpps p50', ...micros, headline: false },
  { workload: 'loaded', metric: 'p99Micros', title: 'under 10 kpps p99', ...micros },
  { workload: 'idle', metric: 'rssMib', title: 'memory of one daemon', ...mib },
  { workload: 'idle', metric: 'workerWakesPerSecond', title: 'idle: wakes of packet workers', ...perSecond },
  { workload: 'routes10k', metric: 'rssMib', title: 'memory, 10,000 routes', ...mib },
];

export function rowOf(workload: WorkloadName, metric: Metric): Row {
  const row = ROWS.find((candidate) => candidate.workload === workload && candidate.metric === metric);
  if (row === undefined) throw new RangeError(`no row shows ${metric} of ${workload}`);
  return row;
}
