/**
 * Brings a machine to the point where the demo, the tests or the benchmark can run: npm packages, Debian packages,
 * native addon and compiled TypeScript. Plain Node without dependencies, because it runs before `npm ci`. Does nothing
 * where nothing is missing.
 *
 *   node scripts/setup.mjs [demo|test|bench]
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { accessSync, constants, existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));
const OLDEST_NODE = [20, 11];

/** Debian package -> a command that proves it is there. */
const DEMO_PACKAGES = {
  git: 'git',
  make: 'make',
  'g++': 'g++',
  'etcd-server': 'etcd',
  'etcd-client': 'etcdctl',
  iproute2: 'ip',
  iptables: 'iptables',
  iperf3: 'iperf3',
  'iputils-ping': 'ping',
};
const PACKAGES = {
  demo: DEMO_PACKAGES,
  test: { ...DEMO_PACKAGES, tcpdump: 'tcpdump', openssl: 'openssl' },
  bench: { ...DEMO_PACKAGES, sockperf: 'sockperf', ethtool: 'ethtool', fastd: 'fastd' },
};

const POLICY_FILE = '/usr/sbin/policy-rc.d';
/** invoke-rc.d(8): 101 = action forbidden by policy; installing etcd-server then starts no service. */
const POLICY_TEXT = '#!/bin/sh\nexit 101\n';

class SetupError extends Error {}

function say(line) {
  console.log(`setup: ${line}`);
}

/** The program, or undefined. Daemons live in sbin, which is not on everybody's PATH. */
function findCommand(name) {
  const folders = [...(process.env.PATH ?? '').split(delimiter), '/usr/local/sbin', '/usr/sbin', '/sbin'];
  return folders.map((folder) => join(folder, name)).find(isExecutable);
}

function isExecutable(path) {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

function run(argv, { quiet = false, env = {} } = {}) {
  const [command, ...rest] = argv;
  const result = spawnSync(command, rest, {
    cwd: ROOT,
    env: { ...process.env, ...env },
    stdio: ['ignore', quiet ? 'ignore' : 'inherit', quiet ? 'ignore' : 'inherit'],
  });
  stopIfInterrupted();
  return result.status === 0;
}

function runOrThrow(argv, options) {
  if (!run(argv, options)) throw new SetupError(`\`${argv.join(' ')}\` failed; its output is above`);
}

/** A signal must not kill us between writing policy-rc.d and removing it: it is noted, and acted on between steps. */
let interruptedBy;
function noteSignals() {
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => (interruptedBy ??= signal));
}
function stopIfInterrupted() {
  if (interruptedBy !== undefined) throw new SetupError(`stopped by ${interruptedBy}`);
}

function checkMachine() {
  if (process.platform !== 'linux') throw new SetupError(`flannel0 needs Linux; this is ${process.platform}`);
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  const [wantMajor, wantMinor] = OLDEST_NODE;
  if (major < wantMajor || (major === wantMajor && minor < wantMinor)) {
    throw new SetupError(`needs Node ${OLDEST_NODE.join('.')} or newer; this is ${process.versions.node}`);
  }
}

/**
 * Why `npm ci` has to run, or undefined: npm writes node_modules/.package-lock.json at the end of an install; it must
 * hold the version of every package that package-lock.json names (optional ones may be left out, for other platforms).
 */
function npmReason() {
  const hiddenLock = join(ROOT, 'node_modules', '.package-lock.json');
  if (!existsSync(hiddenLock)) return 'node_modules is missing';
  const installed = JSON.parse(readFileSync(hiddenLock, 'utf8')).packages;
  const wanted = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8')).packages;
  for (const [path, { version, optional }] of Object.entries(wanted)) {
    if (path === '' || (optional && installed[path] === undefined)) continue;
    const present = installed[path]?.version === version && existsSync(join(ROOT, path, 'package.json'));
    if (!present) return `${path.replace(/^.*node_modules\//, '')} ${version} is not installed`;
  }
  return undefined;
}

function missingPackages(mode) {
  const packages = PACKAGES[mode];
  return Object.keys(packages).filter((name) => findCommand(packages[name]) === undefined);
}

function checkCanInstall(packages) {
  const command = `apt-get install --no-install-recommends ${packages.join(' ')}`;
  if (findCommand('apt-get') === undefined) {
    throw new SetupError(`this system has no apt-get; install what these Debian packages hold: ${packages.join(' ')}`);
  }
  if (process.getuid() !== 0) {
    throw new SetupError(`missing ${packages.join(', ')}, and installing needs root; run: sudo ${command}`);
  }
}

function installPackages(packages) {
  const install = ['apt-get', '-q', '-y', '--no-install-recommends', '-o', 'DPkg::Lock::Timeout=120', 'install'];
  const options = { env: { DEBIAN_FRONTEND: 'noninteractive' } };
  const update = () => runOrThrow(['apt-get', '-q', 'update'], options);
  const ownPolicy = !existsSync(POLICY_FILE);
  if (ownPolicy) writeFileSync(POLICY_FILE, POLICY_TEXT, { mode: 0o755 });
  try {
    const known = run(['apt-get', '-s', 'install', ...packages], { ...options, quiet: true });
    if (!known) update();
    if (run([...install, ...packages], options)) return;
    if (known) update();
    runOrThrow([...install, ...packages], options);
  } finally {
    if (ownPolicy) rmSync(POLICY_FILE, { force: true });
  }
}

/** Identifies everything the compiler reads: a change of any file, and a file that went, change it. */
function sourceStamp() {
  const hash = createHash('sha256');
  const files = readdirSync(join(ROOT, 'src'), { recursive: true }).map((path) => join('src', path));
  for (const path of [...files, 'tsconfig.json', 'tsconfig.build.json', 'package-lock.json'].sort()) {
    const { mtimeMs, size } = statSync(join(ROOT, path));
    hash.update(`${path} ${mtimeMs} ${size}\n`);
  }
  return hash.digest('hex');
}

function buildTypeScript() {
  const stampFile = join(ROOT, 'dist', '.stamp');
  const stamp = sourceStamp();
  if (existsSync(stampFile) && readFileSync(stampFile, 'utf8') === stamp) return;
  say('compile TypeScript');
  rmSync(join(ROOT, 'dist'), { recursive: true, force: true });
  runOrThrow([process.execPath, join('node_modules', 'typescript', 'bin', 'tsc'), '-p', 'tsconfig.build.json']);
  writeFileSync(stampFile, stamp);
}

function setup(mode) {
  checkMachine();
  const npm = npmReason();
  const packages = missingPackages(mode);
  if (packages.length > 0) checkCanInstall(packages);
  const plan = [];
  if (packages.length > 0) plan.push(`Debian packages ${packages.join(' ')} (no service is started)`);
  if (npm !== undefined) plan.push(`npm packages of package-lock.json into node_modules (${npm})`);
  if (plan.length > 0) say(`will install ${plan.join('; and ')}`);
  if (packages.length > 0) installPackages(packages);
  const stillMissing = missingPackages(mode);
  if (stillMissing.length > 0) {
    throw new SetupError(`installed, yet their programs are not there: ${stillMissing.join(', ')}; reinstall them`);
  }
  if (npm !== undefined) runOrThrow(['npm', 'ci', '--no-audit', '--no-fund']);
  runOrThrow(['make', '-s', '-C', 'native']);
  buildTypeScript();
}

const mode = process.argv[2] ?? 'demo';
if (!Object.hasOwn(PACKAGES, mode)) {
  console.error(`setup: unknown mode ${JSON.stringify(mode)}; use ${Object.keys(PACKAGES).join(', ')}`);
  process.exit(2);
}
noteSignals();
try {
  setup(mode);
} catch (error) {
  if (!(error instanceof SetupError)) throw error;
  console.error(`setup: ${error.message}`);
  process.exitCode = 1;
}
