import { Command, CommanderError, Option } from 'commander';
import { OperatorError } from '../errors/errors.ts';
import { environmentName, FLAG_GROUPS, FLAGS, type FlagSpec, type GivenFlags, type GivenValue } from './flags.ts';
import { normaliseArgv } from './normalise-argv.ts';

/** What a command line asks for. */
export type Invocation =
  | { readonly kind: 'daemon'; readonly flags: GivenFlags }
  | { readonly kind: 'config-check'; readonly file: string }
  /** The answer to `--help`. */
  | { readonly kind: 'print'; readonly text: string };

const DESCRIPTION = [
  'flanneld joins this host to an overlay network whose hosts find each other through etcd.',
  'Without a command it runs as a daemon until SIGTERM or SIGINT. Each flag may also be given as an environment ' +
    'variable, --subnet-file as FLANNELD_SUBNET_FILE; the command line wins. Spellings of Go programs work as well: ' +
    '-iface eth0, -ip-masq=false.',
].join('\n\n');

const AFTERWORD = `
Exit status: 0 stopped by a signal, 1 internal error, 2 bad usage, 3 unusable
network configuration, 4 not enough privileges, 5 the host lacks something,
6 device or port taken, 7 no subnet to be had.`;

/** Descriptions stand beside the flags' names down to this width of theirs. */
const MIN_DESCRIPTION_COLUMNS = 25;

/**
 * Parses a command line; runs nothing.
 * @param argv arguments without interpreter and program, in any spelling that {@link normaliseArgv} takes.
 * @param columns width of the help text.
 * @throws OperatorError `usage`.
 */
export function parseInvocation(argv: readonly string[], columns = 100): Invocation {
  let invocation: Invocation | undefined;
  let printed = '';
  const given = new Map<string, { source: string; values: string[] }>();
  const root = createProgram({
    columns,
    onFlag(name, value) {
      const entry = given.get(name) ?? { source: `--${name}`, values: [] };
      given.set(name, entry);
      entry.values.push(value);
    },
    onDaemon() {
      invocation = { kind: 'daemon', flags: given as ReadonlyMap<string, GivenValue> };
    },
    onConfigCheck(file) {
      invocation = { kind: 'config-check', file };
    },
    onOutput(text) {
      printed += text;
    },
  });
  try {
    root.parse(normaliseArgv(argv), { from: 'user' });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.exitCode === 0) return { kind: 'print', text: printed };
    throw asUsageError(error);
  }
  if (invocation === undefined) throw new OperatorError('usage', 'nothing to do; see flanneld --help');
  return invocation;
}

interface ProgramHandlers {
  readonly columns: number;
  onFlag(name: string, value: string): void;
  onDaemon(): void;
  onConfigCheck(file: string): void;
  onOutput(text: string): void;
}

function createProgram(handlers: ProgramHandlers): Command {
  const root = new Command('flanneld')
    .usage('[FLAGS] [COMMAND]')
    .description(DESCRIPTION)
    .addHelpText('after', AFTERWORD)
    .addHelpOption(new Option('-h, --help', 'print this help').helpGroup('Other:'))
    .helpCommand(false)
    .enablePositionalOptions()
    .exitOverride()
    .configureHelp({ minWidthToWrap: MIN_DESCRIPTION_COLUMNS })
    .configureOutput({
      writeOut: handlers.onOutput,
      writeErr: () => {},
      getOutHelpWidth: () => handlers.columns,
      getOutHasColors: () => false,
    })
    .action(() => handlers.onDaemon());
  for (const group of FLAG_GROUPS) {
    for (const spec of FLAGS.filter((candidate) => candidate.group === group)) root.addOption(optionOf(spec, handlers));
  }
  const config = root
    .command('config')
    .usage('check <FILE>')
    .summary('check <FILE>: say whether a network configuration can be used')
    .description('Looks at network configurations.')
    .helpCommand(false);
  config
    .command('check')
    .argument('<FILE>', 'JSON text as it would stand at PREFIX/config; - reads standard input')
    .description('Says whether a network configuration can be used (exit status 0), or all that is wrong with it (3).')
    .action((file: string) => handlers.onConfigCheck(file));
  return root;
}

function optionOf(spec: FlagSpec, handlers: ProgramHandlers): Option {
  const value = spec.kind === 'boolean' ? `[${spec.value}]` : `<${spec.value}>`;
  const shown = spec.default === '' ? '' : `default ${spec.default}, `;
  return new Option(`--${spec.name} ${value}`, `${spec.help} (${shown}env ${environmentName(spec.name)})`)
    .helpGroup(`${spec.group}:`)
    .argParser((text: string) => handlers.onFlag(spec.name, text));
}

function asUsageError(error: CommanderError): OperatorError {
  if (error.code === 'commander.help')
    return new OperatorError('usage', 'a sub-command is missing; see flanneld --help');
  const message = error.message.replace(/^error: /, '').replace(/\s*\n\s*/g, ' ');
  return new OperatorError('usage', `${message}; see flanneld --help`, { cause: error });
}
