import { environmentName, FLAGS, type GivenFlags, type GivenValue } from './flags.ts';

export type Environment = Readonly<Record<string, string | undefined>>;

/**
 * Flags from the environment: `FLANNELD_X_Y` for flag `x-y`, where it is not empty. A list flag takes the whole text
 * as its one value. Other variables of that prefix are left alone (Kubernetes makes some for a service of this name).
 */
export function flagsFromEnvironment(env: Environment): GivenFlags {
  const given = new Map<string, GivenValue>();
  for (const { name } of FLAGS) {
    const variable = environmentName(name);
    const value = env[variable];
    if (value !== undefined && value !== '') given.set(name, { source: variable, values: [value] });
  }
  return given;
}

/** The command line wins, flag by flag. */
export function mergeFlags(commandLine: GivenFlags, environment: GivenFlags): GivenFlags {
  return new Map([...environment, ...commandLine]);
}
