/**
 * The dotenv format, as far as a subnet file can use it:
 *
 *     # comment
 *     export NAME=value        # comment, with white space in front
 *     NAME="value"  NAME='value'  NAME: value
 *
 * Lines end with LF, CRLF or CR. Nothing is expanded: `$` stands for itself.
 */

const LINE = /^\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_.]*)\s*[=:]\s*(.*)$/;
const DOUBLE_QUOTED = /^"((?:[^"\\]|\\.)*)"\s*(?:#.*)?$/;
const SINGLE_QUOTED = /^'([^']*)'\s*(?:#.*)?$/;

/** The last of repeated names counts. Lines that are no assignment are skipped: the others may still be right. */
export function parseDotenv(text: string): Map<string, string> {
  const values = new Map<string, string>();
  for (const line of text.replace(/^\ufeff/, '').split(/\r\n|\n|\r/)) {
    const match = LINE.exec(line);
    const value = match?.[2] === undefined ? undefined : parseValue(match[2]);
    if (match?.[1] !== undefined && value !== undefined) values.set(match[1], value);
  }
  return values;
}

function parseValue(text: string): string | undefined {
  const single = SINGLE_QUOTED.exec(text)?.[1];
  if (single !== undefined) return single;
  const double = DOUBLE_QUOTED.exec(text)?.[1];
  if (double !== undefined) return double.replace(/\\(.)/g, (_, char: string) => unescapeChar(char));
  if (text.startsWith('"') || text.startsWith("'")) return undefined;
  return text.replace(/(^|\s)#.*$/, '').trimEnd();
}

function unescapeChar(char: string): string {
  if (char === 'n') return '\n';
  return char === 'r' ? '\r' : char;
}
