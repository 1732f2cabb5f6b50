import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { environmentName, FLAGS } from '../../src/cli/flags.ts';
import { parseInvocation } from '../../src/cli/program.ts';

const inCode = FLAGS.map((spec) => ({
  name: spec.name,
  value: spec.value,
  default: spec.default,
  env: environmentName(spec.name),
}));
const byName = (a: { name: string }, b: { name: string }) => (a.name < b.name ? -1 : 1);

describe('docs/flags.md', () => {
  it('lists exactly the flags of the code, with their defaults and variables', () => {
    const row = /^\| `--([\w-]+)=((?:\\\||[^`|])+)` \| (?:`([^`]*)`)? ?\| `(\w+)` \| \S.* \| \S.* \|$/gm;
    const text = readFileSync('docs/flags.md', 'utf8');
    const documented = [...text.matchAll(row)].map(([, name = '', value = '', fallback = '', env = '']) => ({
      name,
      value: value.replaceAll('\\|', '|'),
      default: fallback,
      env,
    }));
    expect(documented.toSorted(byName)).toEqual(inCode.toSorted(byName));
  });
});

describe('flanneld --help', () => {
  const invocation = parseInvocation(['--help'], 100_000);
  const help = invocation.kind === 'print' ? invocation.text : '';

  it('lists exactly the flags of the code, with their defaults and variables', () => {
    const row = /^ {2}--([\w-]+) (?:<(\S+)>|\[(\S+)\]) +\S.* \((?:default (\S+), )?env (\w+)\)$/gm;
    const listed = [...help.matchAll(row)].map(([, name = '', value, choice, fallback = '', env = '']) => ({
      name,
      value: value ?? choice ?? '',
      default: fallback,
      env,
    }));
    expect(listed.toSorted(byName)).toEqual(inCode.toSorted(byName));
  });

  it('names the commands and the exit statuses, and keeps to the width of the terminal', () => {
    expect(help).toMatch(/^ {2}config +check <FILE>: say/m);
    expect(help).toMatch(/^Exit status: 0 /m);
    const narrow = parseInvocation(['-h'], 80);
    expect(narrow.kind === 'print' && narrow.text).toContain('--iface-can-reach <IP>');
    const lines = narrow.kind === 'print' ? narrow.text.split('\n') : [];
    // A word longer than its column cannot be broken.
    expect(lines.filter((line) => line.length > 80 && line.trim().includes(' '))).toEqual([]);
  });

  it('exists for the sub-commands', () => {
    const check = parseInvocation(['config', 'check', '--help']);
    expect(check.kind === 'print' && check.text).toMatch(/^Usage: flanneld config check .*<FILE>/);
  });
});

describe('names of flags', () => {
  it('are unique and make unique variables', () => {
    expect(new Set(FLAGS.map((spec) => spec.name)).size).toBe(FLAGS.length);
    expect(new Set(FLAGS.map((spec) => environmentName(spec.name))).size).toBe(FLAGS.length);
  });
});
