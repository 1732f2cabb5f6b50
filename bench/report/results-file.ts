import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Results } from '../measurement.ts';
import { chartSvg } from './chart.ts';
import { ROWS } from './rows.ts';
import { summaryOf } from './statistics.ts';
import { reportText } from './table.ts';
import { judge } from './targets.ts';

/**
 * The JSON document: every sample as measured (SI units), and what the table makes of them. `version` changes when
 * the meaning of a field does.
 */
export function resultsDocument(results: Results): unknown {
  const names = results.candidates.map(({ name }) => name);
  const summaries = ROWS.flatMap(({ workload, metric }) =>
    names.flatMap((candidate) => {
      const summary = summaryOf(results.samples, candidate, workload, metric);
      return summary === undefined ? [] : [{ workload, metric, candidate, ...summary }];
    }),
  );
  const targets = judge(results.samples, names, results.circumstances.mode).map(
    ({ target, bound, value, verdict }) => ({
      title: target.title,
      workload: target.workload,
      candidate: target.candidate,
      reference: target.reference,
      metric: bound.metric,
      relation: bound.relation,
      limit: bound.limit,
      value,
      verdict,
    }),
  );
  return { version: 1, ...results, summaries, targets };
}

/** Writes NAME.json, NAME.svg and NAME.txt; returns their names. */
export function writeResults(folder: string, name: string, results: Results): string[] {
  mkdirSync(folder, { recursive: true });
  const files = {
    [`${name}.json`]: `${JSON.stringify(resultsDocument(results), null, 1)}\n`,
    [`${name}.svg`]: chartSvg(results),
    [`${name}.txt`]: reportText(results),
  };
  for (const [file, text] of Object.entries(files)) writeFileSync(join(folder, file), text);
  return Object.keys(files);
}
