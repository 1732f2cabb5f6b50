/**
 * Runs every check of the project, one headline each, and fails if one fails. All of them run, whatever came before.
 * The last line is the sum of vitest's run: `N passed, N failed, N skipped`. With CI=true a skipped test is a failure,
 * and so is anything that the tests left behind: namespaces, processes.
 */
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));
const BIN = join(ROOT, 'node_modules', '.bin');
const STRICT = process.env.CI === 'true';

/** Everything below the tests writes its temporary files here; the folder goes with the run. */
const scratch = mkdtempSync(join(tmpdir(), 'flannel0-test-'));
const report = join(scratch, 'vitest.json');
/** Inherited by every process that the tests start, which is how those left behind are found. */
const RUN_MARK = `FLANNEL0_TEST_RUN=${process.pid}-${Date.now()}`;

const steps = [
  { headline: 'lint and format (biome)', argv: [join(BIN, 'biome'), 'check', '.'] },
  { headline: 'types (tsc)', argv: [join(BIN, 'tsc'), '-p', 'tsconfig.json'] },
  { headline: 'native core (C++, warnings are errors)', argv: ['make', '-s', '-C', 'native', 'test'] },
  {
    headline: 'units, etcd, whole hosts (vitest)',
    argv: [join(BIN, 'vitest'), 'run', '--reporter=default', '--reporter=json', `--outputFile.json=${report}`],
  },
];

let running;
let interruptedBy;
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
  process.on(signal, () => {
    interruptedBy ??= signal;
    running?.kill(signal);
  });
}

function runStep({ headline, argv }) {
  console.log(`\n== ${headline}`);
  const [command, ...rest] = argv;
  const [name, value] = RUN_MARK.split('=');
  return new Promise((resolve) => {
    running = spawn(command, rest, {
      cwd: ROOT,
      stdio: 'inherit',
      env: { ...process.env, TMPDIR: scratch, [name]: value },
    });
    running.on('error', (error) => resolve(`${headline}: ${error.message}`));
    running.on('exit', (status, signal) => {
      const how = signal === null ? `exit status ${status}` : `killed by ${signal}`;
      resolve(status === 0 ? undefined : `${headline}: ${how}`);
    });
  });
}

/** @returns undefined where vitest wrote no report. */
function readReport() {
  let parsed;
  try {
    parsed = JSON.parse(readFileSync(report, 'utf8'));
  } catch {
    return undefined;
  }
  const tests = parsed.testResults.flatMap((file) =>
    file.assertionResults.map((test) => ({ name: `${file.name.replace(`${ROOT}/`, '')} > ${test.fullName}`, ...test })),
  );
  const count = (...statuses) => tests.filter((test) => statuses.includes(test.status));
  return {
    passed: count('passed').length,
    // A file that does not even load has no tests to count.
    failed:
      count('failed').length +
      parsed.testResults.filter((f) => f.status === 'failed' && f.assertionResults.length === 0).length,
    skipped: count('skipped', 'pending', 'todo', 'disabled').map((test) => test.name),
  };
}

/** Namespaces of labs whose process (the number in the name) is gone. */
function strayNamespaces() {
  const { stdout } = spawnSync('ip', ['netns', 'list'], { encoding: 'utf8' });
  const names = (stdout ?? '').split('\n').map((line) => line.split(' ')[0] ?? '');
  return names.filter((name) => {
    const pid = /^fl0-([0-9]+)-/.exec(name)?.[1];
    return pid !== undefined && !isAlive(Number(pid));
  });
}

function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
  }
}

function strayProcesses() {
  const found = [];
  for (const pid of readdirSync('/proc').filter((entry) => /^[0-9]+$/.test(entry))) {
    try {
      if (!readFileSync(`/proc/${pid}/environ`, 'latin1').split('\0').includes(RUN_MARK)) continue;
      found.push(`${pid} (${readFileSync(`/proc/${pid}/cmdline`, 'latin1').split('\0').join(' ').trim()})`);
    } catch {
      // It ended while we looked, or is not ours to read.
    }
  }
  return found;
}

async function main() {
  const failures = [];
  const before = new Set(strayNamespaces());
  for (const step of steps) {
    const failure = await runStep(step);
    if (interruptedBy !== undefined) return [`stopped by ${interruptedBy}`];
    if (failure !== undefined) failures.push(failure);
  }
  const namespaces = strayNamespaces().filter((name) => !before.has(name));
  if (namespaces.length > 0) failures.push(`network namespaces left behind: ${namespaces.join(' ')}`);
  const processes = strayProcesses();
  if (processes.length > 0) failures.push(`processes left behind: ${processes.join(', ')}`);

  const result = readReport();
  console.log('');
  for (const name of result?.skipped ?? []) console.log(`skipped: ${name}`);
  if (result === undefined) failures.push('vitest wrote no report');
  else if (STRICT && result.skipped.length > 0)
    failures.push(`${result.skipped.length} skipped, and CI=true allows none`);
  for (const failure of failures) console.log(`FAILED: ${failure}`);
  if (result !== undefined)
    console.log(`${result.passed} passed, ${result.failed} failed, ${result.skipped.length} skipped`);
  return failures;
}

try {
  const failures = await main();
  process.exitCode = failures.length === 0 ? 0 : 1;
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
