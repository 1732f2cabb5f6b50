import { OperatorError } from '../errors/errors.ts';
import type { CommandResult, CommandRunner } from './command-runner.ts';
import { parseIptablesSave, type SavedTable } from './iptables-save.ts';

/**
 * The iptables commands of this host, whichever back end they are linked to: rules written with one back end are
 * invisible to the other, so the only right one is the one that the host's other programs use.
 */
export interface Iptables {
  /** As printed by `iptables --version`: `1.8.9 (nf_tables)`. */
  readonly version: string;
  /** The back end: nf_tables, or legacy. */
  readonly usesNftables: boolean;
  /** MASQUERADE knows `--random-fully` (1.6.2 and later). */
  readonly randomFully: boolean;
  /** @returns the table's chains; empty where the kernel has no such table yet. */
  readTable(table: string): Promise<SavedTable>;
  /** Reads a table only if it is in use, so that looking does not load a kernel module. */
  readTableInUse(table: string): Promise<SavedTable | undefined>;
  /** Commits text for one table: all of it or nothing. */
  commit(restoreText: string): Promise<void>;
}

/** iptables-restore waits this long for the lock of the legacy back end; within the command's own timeout. */
const LOCK_WAIT_SECONDS = 10;

/**
 * @throws OperatorError `host` where iptables is missing or cannot be understood, `privileges`.
 */
export async function openIptables(run: CommandRunner): Promise<Iptables> {
  const result = await runTool(run, 'iptables', ['--version']);
  const match = /v(\d+)\.(\d+)\.(\d+)(\s+\(\w+\))?/.exec(result.stdout);
  if (match === null) throw new OperatorError('host', `iptables --version answered "${firstLine(result.stdout)}"`);
  const [major, minor, patch] = match.slice(1, 4).map(Number);
  // Both --random-fully and the --wait of iptables-restore came with 1.6.2.
  const modern = compareVersions([major ?? 0, minor ?? 0, patch ?? 0], [1, 6, 2]) >= 0;
  const restoreArgs = ['--noflush', ...(modern ? [`--wait=${LOCK_WAIT_SECONDS}`] : [])];
  return {
    version: match[0].slice(1),
    usesNftables: match[4]?.includes('nf_tables') === true,
    randomFully: modern,
    async readTable(table) {
      const saved = await runTool(run, 'iptables-save', ['-t', table]);
      return parseIptablesSave(saved.stdout).get(table) ?? new Map();
    },
    async readTableInUse(table) {
      const saved = await runTool(run, 'iptables-save', []);
      return parseIptablesSave(saved.stdout).get(table);
    },
    async commit(restoreText) {
      await runTool(run, 'iptables-restore', restoreArgs, restoreText);
    },
  };
}

function compareVersions(a: readonly number[], b: readonly number[]): number {
  const index = a.findIndex((part, i) => part !== b[i]);
  return index < 0 ? 0 : (a[index] ?? 0) - (b[index] ?? 0);
}

async function runTool(
  run: CommandRunner,
  command: string,
  args: readonly string[],
  input?: string,
): Promise<CommandResult> {
  let result: CommandResult;
  try {
    result = await run(command, args, input);
  } catch (error) {
    throw startFailure(command, error);
  }
  if (result.status === 0) return result;
  const said = firstLine(result.stderr) || `exit status ${result.status}`;
  // iptables has no status of its own for this; legacy and nft both use these words of strerror(3).
  if (/permission denied|operation not permitted|must be root/i.test(result.stderr)) {
    throw new OperatorError(
      'privileges',
      `${command} may not read or change the traffic rules (${said}); run as root or with CAP_NET_ADMIN and CAP_NET_RAW`,
    );
  }
  throw new OperatorError('host', `${[command, ...args].join(' ')} failed: ${said}`);
}

function startFailure(command: string, error: unknown): OperatorError {
  const { code, message } = error as { code?: string; message?: string };
  if (code === 'ENOENT') {
    return new OperatorError(
      'host',
      `${command} not found; install the package "iptables", or do without traffic rules: --iptables-forward-rules=false and no --ip-masq`,
      { cause: error },
    );
  }
  if (code === 'EACCES' || code === 'EPERM') {
    return new OperatorError('privileges', `${command} may not be run: ${message}`, { cause: error });
  }
  return new OperatorError('host', `${command}: ${message}`, { cause: error });
}

function firstLine(text: string): string {
  const lines = text.split('\n').map((line) => line.trim());
  return lines.find((line) => line !== '' && !line.startsWith('#'))?.slice(0, 300) ?? '';
}
