import type { Metric, Sample, WorkloadName } from '../measurement.ts';

export interface Summary {
  readonly median: number;
  readonly least: number;
  readonly most: number;
  readonly count: number;
}

/** @returns undefined for no values: nothing was measured, which is not 0. */
export function summarise(values: readonly number[]): Summary | undefined {
  const sorted = [...values].sort((a, b) => a - b);
  const [least] = sorted;
  const most = sorted.at(-1);
  const upper = sorted[Math.floor(sorted.length / 2)];
  const lower = sorted[Math.floor((sorted.length - 1) / 2)];
  if (least === undefined || most === undefined || upper === undefined || lower === undefined) return undefined;
  return { median: (lower + upper) / 2, least, most, count: sorted.length };
}

/** All rounds of one metric on one candidate. */
export function summaryOf(
  samples: readonly Sample[],
  candidate: string,
  workload: WorkloadName,
  metric: Metric,
): Summary | undefined {
  const mine = samples.filter((sample) => sample.candidate === candidate && sample.workload === workload);
  return summarise(mine.map(({ measured }) => measured[metric]).filter((value) => value !== undefined));
}

/** Ratio of the medians; undefined where either is missing or there is nothing to divide by. */
export function ratioOf(value: Summary | undefined, base: Summary | undefined): number | undefined {
  if (value === undefined || base === undefined || base.median === 0) return undefined;
  return value.median / base.median;
}
