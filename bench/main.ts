/**
 * `npm run bench`: our forwarder beside kernel VXLAN, plain routes, fastd and flanneld, in labs of two hosts each, in
 * network namespaces of this machine. Prints a table, and writes it with JSON and a chart below bench/results.
 * Exit status 0: everything was measured (whether targets were met or not); 1: something failed; 2: usage.
 */
import { join } from 'node:path';
import { REPOSITORY } from '../test/lab/lab.ts';
import { circumstancesOf } from './circumstances.ts';
import type { Measured, Results } from './measurement.ts';
import { type Options, parseOptions, USAGE, UsageError } from './options.ts';
import { planRound } from './plan.ts';
import { missingPrivilege } from './privileges.ts';
import { writeResults } from './report/results-file.ts';
import { ROWS } from './report/rows.ts';
import { reportText } from './report/table.ts';
import { type Progress, playRounds } from './runner.ts';
import { buildGenerator } from './workloads/udp.ts';

const RESULTS_FOLDER = join(REPOSITORY, 'bench', 'results');

let interrupted = false;

/** To standard error, so that standard output is the report and nothing else. */
const progress: Progress = {
  turn: (round, candidate) => console.error(`\nround ${round}, ${candidate}`),
  sample: (workload, measured) => console.error(`  ${workload.padEnd(10)} ${inWords(workload, measured)}`),
  failure: (workload, error) =>
    console.error(`  ${workload.padEnd(10)} FAILED: ${error instanceof Error ? error.message : error}`),
};

function inWords(workload: string, measured: Measured): string {
  return ROWS.filter((row) => row.workload === workload)
    .flatMap(({ metric, unit, scale, decimals }) => {
      const value = measured[metric];
      return value === undefined ? [] : [`${(value / scale).toFixed(decimals)} ${unit}`];
    })
    .join(', ');
}

/** `wire`, or where it is not the whole picture `wire-quick`, `wire-partial`: those are not kept in the repository. */
function resultsName({ mode, quick, partial }: Options): string {
  if (partial) return `${mode}-partial`;
  return quick ? `${mode}-quick` : mode;
}

async function main(argv: readonly string[]): Promise<number> {
  const options = parseOptions(argv);
  if (options.help) {
    console.log(USAGE);
    return 0;
  }
  const privilege = missingPrivilege();
  if (privilege !== undefined) {
    console.error(`bench: ${privilege}`);
    return 1;
  }
  buildGenerator();
  const turns = planRound(options, { referenceFlanneld: process.env.FLANNELD_REF });
  const circumstances = await circumstancesOf(options, argv);
  const { samples, failures } = await playRounds(turns, options, progress, () => interrupted);
  if (interrupted) return 1;
  const candidates = turns.map(({ candidate: { name, description, mtuBytes } }) => ({ name, description, mtuBytes }));
  const results: Results = { circumstances, candidates, samples, failures };
  console.log(`\n${reportText(results)}`);
  if (options.save) {
    const files = writeResults(RESULTS_FOLDER, resultsName(options), results);
    console.error(`bench/results: ${files.join(' ')}`);
  }
  return failures.length === 0 ? 0 : 1;
}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => {
    if (!interrupted) console.error('\nbench: stopped; taking everything down');
    interrupted = true;
  });
}
try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  // What breaks while the lab is taken down by a signal is no news; the lab sends us the signal again when it is done.
  if (!interrupted) {
    console.error(`bench: ${error instanceof Error ? error.message : error}`);
    process.exitCode = error instanceof UsageError ? 2 : 1;
  }
}
