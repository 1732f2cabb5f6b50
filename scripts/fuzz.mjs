/**
 * Runs the fuzz targets of the native core with libFuzzer, one after the other (docs/fuzzing.md).
 *
 *   npm run fuzz [-- --seconds N]     seconds for each target; by default all together run 10 minutes
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const NATIVE = join(dirname(dirname(fileURLToPath(import.meta.url))), 'native');
const DEFAULT_TOTAL_SECONDS = 600;

const targets = readdirSync(join(NATIVE, 'fuzz'))
  .map((file) => /^(.+)_fuzz\.cc$/.exec(file)?.[1])
  .filter((name) => name !== undefined);

/** @returns undefined where the command line is wrong. */
function secondsEach() {
  try {
    const { values } = parseArgs({ options: { seconds: { type: 'string' } } });
    const text = values.seconds ?? String(Math.ceil(DEFAULT_TOTAL_SECONDS / targets.length));
    return /^[1-9][0-9]{0,6}$/.test(text) ? Number(text) : undefined;
  } catch {
    return undefined;
  }
}

/** The compiler alone is not enough: its fuzzing runtime is a package of its own. */
function hasLibFuzzer() {
  const folder = mkdtempSync(join(tmpdir(), 'flannel0-fuzz-'));
  try {
    const input = 'extern "C" int LLVMFuzzerTestOneInput(const char*, unsigned long) { return 0; }';
    const compiler = process.env.CLANGXX ?? 'clang++';
    const argv = ['-x', 'c++', '-fsanitize=fuzzer,address', '-', '-o', join(folder, 'probe')];
    return spawnSync(compiler, argv, { input, stdio: ['pipe', 'ignore', 'ignore'] }).status === 0;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function main() {
  const seconds = secondsEach();
  if (seconds === undefined) {
    console.error('fuzz: usage: npm run fuzz -- [--seconds N], N whole seconds for each target');
    return 2;
  }
  if (!hasLibFuzzer()) {
    console.error('fuzz: clang++ with libFuzzer is missing; install it: apt-get install clang libclang-rt-14-dev');
    return 1;
  }
  console.log(`fuzz: ${targets.join(', ')}: ${seconds} s each`);
  const make = spawnSync('make', ['-s', '-C', NATIVE, 'fuzz', `FUZZ_SECONDS=${seconds}`], { stdio: 'inherit' });
  if (make.status !== 0) {
    console.error('fuzz: FAILED; the input is in native/fuzz/regressions (keep it: tests replay it from now on)');
    return 1;
  }
  return 0;
}

process.exitCode = main();
