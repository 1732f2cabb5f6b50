import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fieldsOf, foldName, occurrencesOf, parseJson, quoteShort, textOf } from '../../src/go-json/go-json.ts';

const LIMIT = 65_536;

function parse(text: string) {
  const result = parseJson(text, LIMIT);
  if (!result.ok) throw new Error(result.problem);
  return result.root;
}

describe('parseJson', () => {
  it('accepts exactly what JSON.parse accepts', () => {
    const unit = fc.constantFrom(
      '{',
      '}',
      '[',
      ']',
      ':',
      ',',
      '"a"',
      '"',
      '1',
      '-',
      '.',
      'e',
      'null',
      ' ',
      '\n',
      '\\',
      '/',
      '*',
    );
    const texts = fc.oneof(fc.string({ unit, maxLength: 12 }), fc.json({ maxDepth: 5 }));
    fc.assert(
      fc.property(texts, (text) => {
        let expected = true;
        try {
          JSON.parse(text);
        } catch {
          expected = false;
        }
        expect(parseJson(text, LIMIT).ok).toBe(expected);
      }),
      { numRuns: 3000 },
    );
  });

  it.each([
    ['{"a":1,}', 'expected a field name in double quotes (line 1, column 8)'],
    ['{"a" 1}', 'expected a colon (line 1, column 6)'],
    ['[1 2]', 'expected a comma (line 1, column 4)'],
    ['[', 'expected a closing bracket (line 1, column 2)'],
    ['{"a":\r\n"b\n"}', 'string without its closing quote (line 2, column 1)'],
    ['{"a":"\u0001"}', 'unescaped control character in a string (line 1, column 6)'],
    ['{"a":"\\x"}', 'unknown escape in a string (line 1, column 6)'],
    ['{"a":"\\u12"}', 'malformed \\u escape (line 1, column 6)'],
    ['{"a":1.}', 'malformed number (line 1, column 6)'],
    ['[tru]', 'unexpected text, perhaps without its double quotes, (line 1, column 2)'],
    ['[1] /* x', 'comments are not allowed in JSON (line 1, column 5)'],
    [' \n ', 'no text at all'],
  ])('says what is wrong with %j', (text, problem) => {
    expect(parseJson(text, LIMIT)).toEqual({ ok: false, problem });
  });

  it('counts depth outside strings only', () => {
    expect(parseJson(JSON.stringify({ a: `\\"${'['.repeat(1000)}`, b: [[1]] }), LIMIT).ok).toBe(true);
    const nest = (depth: number) => '['.repeat(depth) + ']'.repeat(depth);
    expect(parseJson(nest(64), LIMIT).ok).toBe(true);
    expect(parseJson(nest(65), LIMIT)).toMatchObject({ problem: expect.stringContaining('(line 1, column 65)') });
  });
});

describe('fields', () => {
  it('are found whatever their case, in the order of the text', () => {
    const text = '{"Port":1,"PORT":2,"x":3,"port":4.0,"Port":5}';
    const root = parse(text);
    expect(occurrencesOf(root, 'port').map((node) => textOf(text, node))).toEqual(['1', '2', '4.0', '5']);
    expect(fieldsOf(root).map(({ name }) => name)).toEqual(['Port', 'PORT', 'x', 'port', 'Port']);
    expect(fieldsOf(parse('[1]'))).toEqual([]);
  });

  it('fold as in Go', () => {
    expect(foldName('\u017fubnet\u212a')).toBe('subnetk');
    // Letters that a locale or a full folding would merge stay apart.
    expect(foldName('\u0130')).not.toBe('i');
    expect(foldName('\u00df')).not.toBe('ss');
  });
});

it('quoteShort leaves nothing that acts on a terminal', () => {
  expect(quoteShort('a"\u001b[0m\u009b\u2028\u202e\ufeff')).toBe('"a\\"\\u001b[0m\\u009b\\u2028\\u202e\\ufeff"');
  expect(quoteShort('x'.repeat(65))).toBe(`"${'x'.repeat(64)}..."`);
});
