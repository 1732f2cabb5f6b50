/**
 * JSON read as Go's encoding/json reads it into a struct, because every value in etcd was or will be read that way by
 * a real flanneld: field names match without regard to case, a repeated field counts where it last stands (whatever
 * its spelling), and numbers keep their literal text so that 24.0 and 1e1 can be told from integers.
 *
 * The text is untrusted: size and depth are checked before anything recursive sees it.
 */
import { type Node, type ParseError, parseTree, printParseErrorCode } from 'jsonc-parser';

/** A value with its place in the text. */
export type JsonNode = Node;

export type JsonResult =
  | { readonly ok: true; readonly root: JsonNode }
  | { readonly ok: false; readonly problem: string };

/** No value of flannel nests deeper than 3; the tree parser recurses once per level. */
export const MAX_JSON_DEPTH = 64;

/**
 * Parses `text` strictly (RFC 8259: no comments, no trailing commas, no byte order mark).
 * @param maxLength in UTF-16 code units.
 * @returns the problem as a clause with line and column, such as `expected a comma (line 2, column 5)`.
 */
export function parseJson(text: string, maxLength: number): JsonResult {
  if (text.length > maxLength) return { ok: false, problem: `more than ${maxLength} characters` };
  if (text.trim() === '') return { ok: false, problem: 'no text at all' };
  try {
    JSON.parse(text);
  } catch {
    return { ok: false, problem: describeSyntaxError(text) };
  }
  const tooDeep = findExcessiveDepth(text);
  if (tooDeep !== undefined) {
    return { ok: false, problem: `nested more than ${MAX_JSON_DEPTH} levels deep ${describePlace(text, tooDeep)}` };
  }
  const root = parseTree(text, [], { disallowComments: true });
  return root === undefined ? { ok: false, problem: 'no text at all' } : { ok: true, root };
}

const STRING_OR_BRACKET = /"(?:[^"\\]|\\.)*"|[[\]{}]/g;

/** @param text valid JSON. */
function findExcessiveDepth(text: string): number | undefined {
  let depth = 0;
  for (const { 0: token, index } of text.matchAll(STRING_OR_BRACKET)) {
    if (token === '{' || token === '[') depth++;
    if (token === '}' || token === ']') depth--;
    if (depth > MAX_JSON_DEPTH) return index;
  }
  return undefined;
}

/** In malformed text nobody knows which brackets nest, so all opening ones count against the parser's recursion. */
const MAX_OPENINGS_TO_LOCATE = 1000;

/** jsonc-parser's names of errors in words; one that is not listed is rare enough for "malformed". */
const SYNTAX_ERRORS: Readonly<Record<string, string>> = {
  InvalidSymbol: 'unexpected text, perhaps without its double quotes,',
  InvalidNumberFormat: 'malformed number',
  PropertyNameExpected: 'expected a field name in double quotes',
  ValueExpected: 'expected a value',
  ColonExpected: 'expected a colon',
  CommaExpected: 'expected a comma',
  CloseBraceExpected: 'expected a closing brace',
  CloseBracketExpected: 'expected a closing bracket',
  EndOfFileExpected: 'unexpected text after the end of the value',
  InvalidCommentToken: 'comments are not allowed in JSON',
  UnexpectedEndOfComment: 'comments are not allowed in JSON',
  UnexpectedEndOfString: 'string without its closing quote',
  UnexpectedEndOfNumber: 'malformed number',
  InvalidUnicode: 'malformed \\u escape',
  InvalidEscapeCharacter: 'unknown escape in a string',
  InvalidCharacter: 'unescaped control character in a string',
};

function describeSyntaxError(text: string): string {
  if (text.startsWith('\ufeff')) return 'the text starts with a byte order mark; save it as plain UTF-8';
  if ((text.match(/[[{]/g)?.length ?? 0) > MAX_OPENINGS_TO_LOCATE) return 'too many brackets to say where';
  const errors: ParseError[] = [];
  parseTree(text, errors, { disallowComments: true });
  const first = errors[0];
  if (first === undefined) return 'malformed';
  const what = SYNTAX_ERRORS[printParseErrorCode(first.error)] ?? 'malformed';
  return `${what} ${describePlace(text, first.offset)}`;
}

/** `(line L, column C)`, both from 1, columns in UTF-16 code units. */
export function describePlace(text: string, offset: number): string {
  const before = text.slice(0, offset);
  const lineStart = before.lastIndexOf('\n') + 1;
  const line = before.split('\n').length;
  return `(line ${line}, column ${offset - lineStart + 1})`;
}

export interface JsonField {
  readonly name: string;
  readonly nameNode: JsonNode;
  readonly value: JsonNode;
}

/** The fields of an object in the order of the text, repeated ones included. */
export function fieldsOf(object: JsonNode): JsonField[] {
  const fields: JsonField[] = [];
  for (const property of object.children ?? []) {
    const [nameNode, value] = property.children ?? [];
    if (nameNode !== undefined && value !== undefined) fields.push({ name: String(nameNode.value), nameNode, value });
  }
  return fields;
}

/** All occurrences of the struct field `name`, in the order of the text. Each must be well-typed; the last one counts. */
export function occurrencesOf(object: JsonNode, name: string): JsonNode[] {
  const folded = foldName(name);
  return fieldsOf(object)
    .filter((field) => foldName(field.name) === folded)
    .map((field) => field.value);
}

/**
 * Names that Go takes for the same field fold to the same text. Its simple case folding counts two letters outside
 * ASCII as s and k: U+017F (long s) and U+212A (Kelvin, which toLowerCase covers).
 */
export function foldName(name: string): string {
  return name.replaceAll('\u017f', 's').toLowerCase();
}

/** The exact text of a value. */
export function textOf(text: string, node: JsonNode): string {
  return text.slice(node.offset, node.offset + node.length);
}

/** Kind of a value in the words of a message. */
export function kindOf(node: JsonNode): string {
  if (node.type === 'null') return 'null';
  return node.type === 'object' || node.type === 'array' ? `an ${node.type}` : `a ${node.type}`;
}

const MAX_QUOTED_LENGTH = 64;
const UNPRINTABLE = /[\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;

/** Foreign text for a message or log line: quoted, short, and without characters that act on a terminal. */
export function quoteShort(text: string): string {
  const short = text.length > MAX_QUOTED_LENGTH ? `${text.slice(0, MAX_QUOTED_LENGTH)}...` : text;
  return JSON.stringify(short).replace(UNPRINTABLE, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

/** A value as a message shows it: a string quoted, a number as it was written, anything else by its kind. */
export function describeValue(text: string, node: JsonNode): string {
  if (node.type === 'string') return quoteShort(String(node.value));
  if (node.type === 'number') return textOf(text, node).slice(0, MAX_QUOTED_LENGTH);
  return node.type === 'boolean' ? String(node.value) : kindOf(node);
}
