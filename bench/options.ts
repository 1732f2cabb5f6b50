/** The command line of `npm run bench`. Pure: what is installed is asked elsewhere. */
import { parseArgs } from 'node:util';
import { type Mode, WORKLOADS, type WorkloadName } from './measurement.ts';

export const CANDIDATES = ['flannel0', 'vxlan', 'host-gw', 'fastd', 'flanneld', 'flanneld-model'] as const;
export type CandidateName = (typeof CANDIDATES)[number];

export interface Options {
  readonly help: boolean;
  readonly mode: Mode;
  readonly quick: boolean;
  readonly rounds: number;
  readonly seconds: number;
  readonly workloads: readonly WorkloadName[];
  /** undefined: all that are there. */
  readonly candidates: readonly CandidateName[] | undefined;
  readonly flannel0Flags: readonly string[];
  readonly variants: readonly { readonly name: string; readonly flags: readonly string[] }[];
  readonly udpSenders: number;
  readonly congestionControl: string | undefined;
  readonly save: boolean;
  /** Some candidates or workloads were chosen: the results are not the whole picture. */
  readonly partial: boolean;
}

export class UsageError extends Error {}

export const USAGE = `npm run bench -- [OPTIONS]      needs root: it makes network namespaces and TUN devices

  --mode wire|offload      single packets on the wire (default), or super-packets
  --quick                  headline rows of flannel0 and vxlan, under 2 minutes
  --rounds N               times each candidate has its turn (default 3)
  --seconds N              length of each workload (default 5; --quick: 2)
  --only A,B               workloads: ${WORKLOADS.join(' ')}
  --candidates A,B         of: ${CANDIDATES.join(' ')}
  --flannel0-flags "F"     flags for our daemon
  --variant NAME="F"       another candidate, flannel0:NAME, with these flags; may be repeated
  --udp-senders N          threads of the UDP generator (default 1)
  --congestion NAME        TCP congestion control (default: the kernel's)
  --no-save                write nothing below bench/results

FLANNELD_REF=/path/to/flanneld takes a real one as a candidate, in place of its model.`;

const QUICK_WORKLOADS: readonly WorkloadName[] = ['tcp1', 'tcp4', 'udp64', 'generator', 'pingpong'];
const QUICK_CANDIDATES: readonly CandidateName[] = ['flannel0', 'vxlan', 'host-gw'];

/** @throws UsageError with one line. */
export function parseOptions(argv: readonly string[]): Options {
  const values = readArguments(argv);
  const quick = values.quick === true;
  const chosen = values.candidates === undefined ? undefined : names('candidates', values.candidates, CANDIDATES);
  const only = values.only === undefined ? undefined : names('only', values.only, WORKLOADS);
  return {
    help: values.help === true,
    mode: names('mode', values.mode ?? 'wire', ['wire', 'offload'] as const)[0] ?? 'wire',
    quick,
    rounds: integer('rounds', values.rounds ?? '3', 100),
    seconds: integer('seconds', values.seconds ?? (quick ? '2' : '5'), 600),
    workloads: only ?? (quick ? QUICK_WORKLOADS : WORKLOADS),
    candidates: chosen ?? (quick ? QUICK_CANDIDATES : undefined),
    flannel0Flags: words(values['flannel0-flags'] ?? ''),
    variants: (values.variant ?? []).map(parseVariant),
    udpSenders: integer('udp-senders', values['udp-senders'] ?? '1', 64),
    congestionControl: values.congestion,
    save: values['no-save'] !== true,
    partial: chosen !== undefined || only !== undefined,
  };
}

function readArguments(argv: readonly string[]) {
  try {
    return parseArgs({
      args: joinDaemonFlags(argv),
      options: {
        help: { type: 'boolean', short: 'h' },
        mode: { type: 'string' },
        quick: { type: 'boolean' },
        rounds: { type: 'string' },
        seconds: { type: 'string' },
        only: { type: 'string' },
        candidates: { type: 'string' },
        'flannel0-flags': { type: 'string' },
        variant: { type: 'string', multiple: true },
        'udp-senders': { type: 'string' },
        congestion: { type: 'string' },
        'no-save': { type: 'boolean' },
      },
    }).values;
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}

/** parseArgs takes no value that begins with a dash from the next word, and this one always does. */
function joinDaemonFlags(argv: readonly string[]): string[] {
  const at = argv.indexOf('--flannel0-flags');
  const value = argv[at + 1];
  if (at < 0 || value === undefined) return [...argv];
  return [...argv.slice(0, at), `--flannel0-flags=${value}`, ...argv.slice(at + 2)];
}

function names<T extends string>(option: string, text: string, known: readonly T[]): T[] {
  return text.split(',').map((name) => {
    const found = known.find((one) => one === name);
    if (found === undefined) throw new UsageError(`--${option}: ${JSON.stringify(name)} is none of ${known.join(' ')}`);
    return found;
  });
}

function integer(option: string, text: string, most: number): number {
  const value = /^[0-9]{1,9}$/.test(text) ? Number(text) : 0;
  if (value < 1 || value > most) throw new UsageError(`--${option}: a whole number from 1 to ${most}, not ${text}`);
  return value;
}

function words(text: string): string[] {
  return text.split(/\s+/).filter((word) => word !== '');
}

function parseVariant(text: string): { name: string; flags: string[] } {
  const [, name, flags] = /^([a-z0-9-]+)=(.+)$/.exec(text) ?? [];
  if (name === undefined || flags === undefined) throw new UsageError(`--variant: NAME=FLAGS, not ${text}`);
  return { name, flags: words(flags) };
}
