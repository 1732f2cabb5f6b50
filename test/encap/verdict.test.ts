import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { DROP_REASONS, describeDropReason, VERDICTS } from '../../src/encap/verdict.ts';

describe('verdicts and drop reasons', () => {
  it('have distinct names that fit metrics labels', () => {
    const names = [...VERDICTS, ...DROP_REASONS.map((reason) => reason.name)];
    expect(new Set(names).size).toBe(names.length);
    for (const name of names) expect(name).toMatch(/^[a-z][A-Za-z0-9]*$/);
    expect(DROP_REASONS[0].name).toBe('none');
  });

  it('say what happened and what to do', () => {
    for (const { name } of DROP_REASONS) {
      const { meaning, advice } = describeDropReason(name);
      expect(meaning.length).toBeGreaterThan(5);
      expect(advice.length).toBeGreaterThan(5);
      expect(`${meaning}${advice}`).not.toMatch(/[\n.]$/);
    }
  });

  it('stand in the documentation, in order and in these words', () => {
    const text = readFileSync(new URL('../../docs/wire-format.md', import.meta.url), 'utf8');
    const rows = [...text.matchAll(/^\| `(\w+)` \| (.*) \| (.*) \|$/gm)].map((row) => row.slice(1, 4));
    expect(rows).toEqual(DROP_REASONS.slice(1).map(({ name, meaning, advice }) => [name, meaning, advice]));
  });
});
