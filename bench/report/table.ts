import type { Results } from '../measurement.ts';
import { ROWS, type Row } from './rows.ts';
import { ratioOf, type Summary, summaryOf } from './statistics.ts';
import { flanneldCandidate, type Judged, judge } from './targets.ts';

/** The whole report as text of 7-bit width: machine line, figures, ratios, targets. */
export function reportText(results: Results): string {
  const figures = [...figuresTable(results), ...generatorNotes(results)];
  const sections = [machineLines(results), figures, ratioTable(results), targetsTable(results)];
  return `${sections.map((lines) => lines.join('\n')).join('\n\n')}\n`;
}

function machineLines({ circumstances: c, candidates, failures }: Results): string[] {
  const lines = [
    `${c.mode} mode, ${c.rounds} rounds of ${c.secondsPerWorkload} s, interleaved; medians [least to most]`,
    `${c.cpu}, ${c.cores} cores, Linux ${c.kernel}, TCP ${c.congestionControl}`,
    `commit ${c.commit}, ${c.date}`,
    `$ ${c.command}`,
    ...candidates.map(({ name, description, mtuBytes }) => `${name}: ${description}, mtu ${mtuBytes}`),
  ];
  if (c.busyBefore > 0.05) {
    lines.push(`CAUTION: ${(c.busyBefore * 100).toFixed(0)} % of the machine was busy before the start`);
  }
  return [
    ...lines,
    ...failures.map(({ candidate, workload, round }) => `FAILED: ${candidate}, ${workload}, round ${round}`),
  ];
}

function measuredRows({ samples }: Results): Row[] {
  return ROWS.filter(({ workload, metric }) =>
    samples.some((sample) => sample.workload === workload && sample.measured[metric] !== undefined),
  );
}

function figuresTable(results: Results): string[] {
  const names = results.candidates.map(({ name }) => name);
  const body = measuredRows(results).map((row) => [
    row.title,
    row.unit,
    ...names.map((name) => figure(row, summaryOf(results.samples, name, row.workload, row.metric))),
  ]);
  return align([['', '', ...names], ...body]);
}

/** A path that loses next to nothing was offered too little: its figure is the generator's, with the path inside. */
const GENERATOR_BOUND_LOSS = 0.01;

function generatorNotes({ candidates, samples }: Results): string[] {
  return (['udp64', 'udp1380'] as const).flatMap((workload) => {
    const bound = candidates.filter(({ name }) => {
      const loss = summaryOf(samples, name, workload, 'lossRatio')?.median;
      return loss !== undefined && loss < GENERATOR_BOUND_LOSS;
    });
    if (bound.length === 0) return [];
    const names = bound.map(({ name }) => name).join(', ');
    return [
      `${workload}: carried all that the sender's system calls could push through: ${names}; compare CPU per packet`,
    ];
  });
}

/** `5.50 [5.31 to 5.62]`, or a dash. */
export function figure({ scale, decimals }: Row, summary: Summary | undefined): string {
  if (summary === undefined) return '-';
  const [median, least, most] = [summary.median, summary.least, summary.most].map((value) =>
    (value / scale).toFixed(decimals),
  );
  return summary.count === 1 ? `${median}` : `${median} [${least} to ${most}]`;
}

/** Every candidate by vxlan, and ours by flanneld. */
function ratioTable(results: Results): string[] {
  const names = results.candidates.map(({ name }) => name);
  const flanneld = flanneldCandidate(names);
  const ours = names.filter((name) => name.startsWith('flannel0'));
  const pairs = [
    ...names.filter((name) => name !== 'vxlan').map((name) => ({ name, base: 'vxlan' })),
    ...ours.map((name) => ({ name, base: flanneld })),
  ].filter(({ base }) => names.includes(base));
  const of = (row: Row, name: string) => summaryOf(results.samples, name, row.workload, row.metric);
  const compared = measuredRows(results).filter((row) => row.compared);
  const body = compared.map((row) => [
    row.title,
    `${row.better} is better`,
    ...pairs.map(({ name, base }) => ratioOf(of(row, name), of(row, base))?.toFixed(2) ?? '-'),
  ]);
  return align([['ratio', '', ...pairs.map(({ name, base }) => `${name} / ${base}`)], ...body]);
}

function targetsTable({ samples, candidates, circumstances }: Results): string[] {
  const names = candidates.map(({ name }) => name);
  const judged = judge(samples, names, circumstances.mode);
  return align([['target', '', '', ''], ...judged.map((one) => targetCells(one, names))]);
}

function targetCells({ target, bound, value, verdict }: Judged, names: readonly string[]): string[] {
  const reference = target.reference === 'flanneld' ? flanneldCandidate(names) : target.reference;
  const unit = reference === undefined ? '' : ` x ${reference}`;
  const other = bound.metric === target.metric ? '' : ` (${bound.metric})`;
  const wanted = `${bound.relation} ${Number(bound.limit.toFixed(3))}${unit}${other}`;
  return [target.title, wanted, value?.toFixed(2) ?? '-', verdict];
}

/** Columns of equal width: the first two to the left, the rest to the right. */
export function align(rows: readonly (readonly string[])[]): string[] {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows.map((row) =>
    row
      .map((cell, column) => (column < 2 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0)))
      .join('  ')
      .trimEnd(),
  );
}
