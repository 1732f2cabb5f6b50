import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FLAGS, type FlagSpec } from '../../src/cli/flags.ts';
import { editDistance, nearest } from '../../src/cli/nearest.ts';
import { normaliseArgv } from '../../src/cli/normalise-argv.ts';
import { parseInvocation } from '../../src/cli/program.ts';

describe('normaliseArgv', () => {
  it.each<[string[], string[]]>([
    [[], []],
    [['-iface', 'eth0'], ['--iface=eth0']],
    [['-iface=eth0'], ['--iface=eth0']],
    [['--iface', 'eth0'], ['--iface=eth0']],
    [['--iface=eth0'], ['--iface=eth0']],
    [['--etcd-prefix=/a=b'], ['--etcd-prefix=/a=b']],
    [['--public-ip='], ['--public-ip=']],
    [['--public-ip', ''], ['--public-ip=']],
    [['-ip-masq'], ['--ip-masq=true']],
    [['-ip-masq=false'], ['--ip-masq=false']],
    [
      ['--ip-masq', '-v', '5'],
      ['--ip-masq=true', '--v=5'],
    ],
    [['-v=5'], ['--v=5']],
    [['--v', '5'], ['--v=5']],
    [['-iface', '-ip-masq'], ['--iface=-ip-masq']],
    [['-log_backtrace_at', 'a.go:1'], ['--log_backtrace_at=a.go:1']],
    [
      ['-iface', 'a', '-iface', 'b'],
      ['--iface=a', '--iface=b'],
    ],
    [['-h'], ['--help']],
    [['-help'], ['--help']],
    [['-ip-masq', '--'], ['--ip-masq=true']],
    [
      ['-v', '1', 'config', 'check', '-x'],
      ['--v=1', 'config', 'check', '-x'],
    ],
    [
      ['--', 'config', 'check', 'f'],
      ['config', 'check', 'f'],
    ],
    [['--iface', 'config'], ['--iface=config']],
  ])('%j', (argv, expected) => {
    expect(normaliseArgv(argv)).toEqual(expected);
  });

  it.each<[string[], string]>([
    [['--ifcae', 'eth0'], 'unknown flag "--ifcae"; did you mean --iface?'],
    [['-etcd-endpoint=x'], 'unknown flag "--etcd-endpoint"; did you mean --etcd-endpoints?'],
    [['--IP-MASQ'], 'unknown flag "--IP-MASQ"; did you mean --ip-masq?'],
    [['--ip_masq'], 'unknown flag "--ip_masq"; did you mean --ip-masq?'],
    [['--zzzzzzzzzzzzzzzzzzz'], 'unknown flag "--zzzzzzzzzzzzzzzzzzz"; see flanneld --help'],
    [['--a\u001b[2J'], 'unknown flag "--a\\u{1b}[2J"; see flanneld --help'],
    [['---iface'], '"---iface" is no flag; see flanneld --help'],
    [['-=x'], '"-=x" is no flag; see flanneld --help'],
    [['--iface'], '--iface needs a value: --iface=NAME|IP'],
    [['eth0'], 'unexpected argument "eth0"; flags begin with --, commands are: config'],
    [['-'], 'unexpected argument "-"; flags begin with --, commands are: config'],
    [['--', 'eth0'], 'unexpected argument "eth0"; flags begin with --, commands are: config'],
    [['--', '--ip-masq'], 'unexpected argument "--ip-masq"; flags begin with --, commands are: config'],
    [['-ip-masq', 'false', '-v', '1'], 'unexpected argument "false"; write --ip-masq=false'],
    [['-iface', 'a', 'b'], 'unexpected argument "b"; flags begin with --, commands are: config'],
  ])('refuses %j', (argv, message) => {
    expect(() => normaliseArgv(argv)).toThrowError(expect.objectContaining({ exit: 'usage', message }));
  });

  it('survives any words, with an error for the operator at most', () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.oneof(
            fc.string(),
            fc.string().map((s) => `--${s}`),
          ),
        ),
        (argv) => {
          try {
            normaliseArgv(argv);
          } catch (error) {
            expect(error).toMatchObject({ exit: 'usage', message: expect.not.stringContaining('\n') });
          }
        },
      ),
    );
  });
});

describe('any spelling and order of flags', () => {
  const value = (spec: FlagSpec) =>
    spec.kind === 'boolean' ? fc.constantFrom('true', 'false', '1', 'F') : fc.string({ unit: 'binary' });
  const assignment = fc.constantFrom(...FLAGS).chain((spec) =>
    fc.record({
      spec: fc.constant(spec),
      value: value(spec),
      dashes: fc.constantFrom('-', '--'),
      joined: fc.boolean(),
    }),
  );
  type Assignment = typeof assignment extends fc.Arbitrary<infer T> ? T : never;

  function spell({ spec, value: text, dashes, joined }: Assignment): string[] {
    if (spec.kind === 'boolean')
      return text === 'true' && !joined ? [`${dashes}${spec.name}`] : [`${dashes}${spec.name}=${text}`];
    return joined ? [`${dashes}${spec.name}=${text}`] : [`${dashes}${spec.name}`, text];
  }

  function flagsOf(assignments: readonly Assignment[]) {
    const invocation = parseInvocation(assignments.flatMap(spell));
    if (invocation.kind !== 'daemon') throw new Error(invocation.kind);
    return invocation.flags;
  }

  it('gives the same flags', () => {
    fc.assert(
      fc.property(fc.array(assignment, { maxLength: 12 }), fc.integer(), (assignments, seed) => {
        const expected = new Map<string, string[]>();
        for (const { spec, value: text } of assignments) {
          expected.set(spec.name, [...(expected.get(spec.name) ?? []), text]);
        }
        const given = flagsOf(assignments);
        expect(new Map([...given].map(([name, entry]) => [name, [...entry.values]]))).toEqual(expected);
        // Flags may change places as long as values of one flag keep their order.
        const rank = (name: string) => (name.length * 7919 + name.charCodeAt(0) * seed) % 101;
        const reordered = assignments.toSorted((a, b) => rank(a.spec.name) - rank(b.spec.name));
        expect(new Map(flagsOf(reordered))).toEqual(new Map(given));
      }),
    );
  });
});

describe('nearest', () => {
  it.each([
    ['', '', 0],
    ['abc', '', 3],
    ['iface', 'ifcae', 1],
    ['kitten', 'sitting', 3],
  ])('distance of %j and %j is %i', (a, b, distance) => {
    expect(editDistance(a, b)).toBe(distance);
    expect(editDistance(b, a)).toBe(distance);
  });

  it('names nothing where nothing is like it, and does not compare long words', () => {
    expect(nearest('qqqqqqqq', ['iface'])).toBeUndefined();
    expect(nearest('i'.repeat(1e6), ['i'.repeat(1e6)])).toBeUndefined();
  });
});
