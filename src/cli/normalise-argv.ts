import { OperatorError } from '../errors/errors.ts';
import { escapeUnprintable } from '../log/readable-line.ts';
import { FLAGS, findFlag } from './flags.ts';
import { nearest } from './nearest.ts';

/** Sub-commands; anything else that is no flag is a mistake. */
export const COMMANDS = ['config'] as const;

/**
 * Brings the spellings of Go's flag package (https://pkg.go.dev/flag#hdr-Command_line_flag_syntax), which flannel's
 * users write, to one: `-iface eth0`, `-iface=eth0` and `--iface eth0` become `--iface=eth0`, `-ip-masq` becomes
 * `--ip-masq=true`. A boolean takes a value only after `=`. Everything from a sub-command on is left as it is.
 *
 * Two differences to Go, where it lets a mistake pass: an unknown flag and a stray word are errors (Go's flannel exits
 * 0 on the first, and silently ignores all flags after the second).
 * @param argv arguments without interpreter and program.
 * @throws OperatorError `usage`.
 */
export function normaliseArgv(argv: readonly string[]): string[] {
  const normalised: string[] = [];
  for (let i = 0; i < argv.length; i++) {
    const word = argv[i] ?? '';
    if (word === '--') {
      const stray = argv[i + 1];
      if (stray === undefined) return normalised;
      if (isCommand(stray)) return [...normalised, ...argv.slice(i + 1)];
      throw strayWord(stray, undefined);
    }
    if (!word.startsWith('-') || word === '-') {
      if (isCommand(word)) return [...normalised, ...argv.slice(i)];
      throw strayWord(word, argv[i - 1]);
    }
    const parsed = readFlag(word, argv[i + 1]);
    normalised.push(parsed.word);
    if (parsed.tookNext) i++;
  }
  return normalised;
}

function isCommand(word: string): boolean {
  return (COMMANDS as readonly string[]).includes(word);
}

function readFlag(word: string, next: string | undefined): { word: string; tookNext: boolean } {
  const match = /^--?([^-=][^=]*)(?:=([\s\S]*))?$/.exec(word);
  if (match?.[1] === undefined) throw usage(`${quote(word)} is no flag; see flanneld --help`);
  const [, name, attached] = match;
  if ((name === 'h' || name === 'help') && attached === undefined) return { word: '--help', tookNext: false };
  const spec = findFlag(name);
  if (spec === undefined) throw unknownFlag(name);
  if (attached !== undefined) return { word: `--${name}=${attached}`, tookNext: false };
  if (spec.kind === 'boolean') return { word: `--${name}=true`, tookNext: false };
  if (next === undefined) throw usage(`--${name} needs a value: --${name}=${spec.value}`);
  return { word: `--${name}=${next}`, tookNext: true };
}

function unknownFlag(name: string): OperatorError {
  const meant = nearest(
    name.toLowerCase(),
    FLAGS.map((spec) => spec.name),
  );
  const hint = meant === undefined ? 'see flanneld --help' : `did you mean --${meant}?`;
  return usage(`unknown flag ${quote(`--${name}`)}; ${hint}`);
}

function strayWord(word: string, previous: string | undefined): OperatorError {
  const flagBefore = /^--?([^-=][^=]*)$/.exec(previous ?? '')?.[1];
  if (flagBefore !== undefined && findFlag(flagBefore)?.kind === 'boolean') {
    return usage(`unexpected argument ${quote(word)}; write --${flagBefore}=${escapeUnprintable(word)}`);
  }
  return usage(`unexpected argument ${quote(word)}; flags begin with --, commands are: ${COMMANDS.join(', ')}`);
}

/** Arguments are shown in messages, but not without bounds. */
const MAX_SHOWN_LENGTH = 80;

export function quote(text: string): string {
  const shown = text.length > MAX_SHOWN_LENGTH ? `${text.slice(0, MAX_SHOWN_LENGTH)}...` : text;
  return `"${escapeUnprintable(shown)}"`;
}

function usage(message: string): OperatorError {
  return new OperatorError('usage', message);
}
