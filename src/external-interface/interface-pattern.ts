/**
 * `--iface-regex`: flannel reads RE2 syntax, we have JavaScript's. Spellings that mean the same are translated; what
 * JavaScript does not know is refused, never silently read as something else (hence the `u` flag, which makes the
 * engine strict). JavaScript backtracks where RE2 does not: a pattern such as `(a+)+$` can take long on a long name,
 * but names have 15 characters at most, addresses as well, and the pattern is the operator's own.
 */

/** RE2's flags in front of the whole pattern; JavaScript takes them beside it. */
const LEADING_FLAGS = /^\(\?([ims]+)\)/;
/** Escaped punctuation that needs no escape: RE2 allows it, strict JavaScript does not. */
const NEEDLESS_ESCAPE = /[!"#%&',:;<=>@_`~ -]/;

/** @returns an unanchored pattern without state of its own (no `g`, no `y`), or what is wrong with the text. */
export function compileInterfacePattern(text: string): { readonly pattern: RegExp } | { readonly problem: string } {
  const flags = LEADING_FLAGS.exec(text)?.[1] ?? '';
  const body = text
    .replace(LEADING_FLAGS, '')
    .replace(/\(\?P</g, '(?<')
    .replace(/\\(.)/gs, translateEscape);
  try {
    return { pattern: new RegExp(body, [...new Set(`${flags}u`)].join('')) };
  } catch (error) {
    return { problem: error instanceof SyntaxError ? reasonOf(error) : String(error) };
  }
}

function translateEscape(whole: string, character: string): string {
  if (character === 'A') return '^';
  if (character === 'z') return '$';
  if (!NEEDLESS_ESCAPE.test(character)) return whole;
  return `\\x${character.charCodeAt(0).toString(16).padStart(2, '0')}`;
}

/** V8 says "Invalid regular expression: /(/u: Unterminated group"; the last part is the news. */
function reasonOf(error: SyntaxError): string {
  return error.message.slice(error.message.lastIndexOf(': ') + 2);
}
