/**
 * Keeps secrets out of logs, whatever a caller passes: by the name of a field (password, token, private key), and by
 * the look of a text (user and password in a URL, a PEM private key).
 */
export const REDACTED = '[redacted]';

const SECRET_NAME = /passw(or)?d|secret|token|credential|authorization|private_?key|^psk$|^key_?(data|material|pem)$/i;

/** `scheme://user:password@`; does not run on into the next URL of a list. */
const URL_USER = /([a-z][a-z0-9+.-]*:\/\/)(?:(?!:\/\/)[^\s"'])*@/gi;
const PEM_PRIVATE_KEY = /-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)/g;

/** Deeper values than this are cut: log lines are short, and a cyclic value must end somewhere. */
const MAX_DEPTH = 6;

export function redactText(text: string): string {
  return text.replace(PEM_PRIVATE_KEY, REDACTED).replace(URL_USER, `$1${REDACTED}@`);
}

/**
 * A copy of a log line's fields that is safe to print: secrets replaced, errors as `{name, message, ...}` (their stack
 * only if asked for), bigint as text, bytes as their length.
 */
export function redactFields(fields: object, options: { withStacks: boolean }): Record<string, unknown> {
  return redactEntries(fields, options, 0);
}

function redactEntries(value: object, options: { withStacks: boolean }, depth: number): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(value).map(([name, entry]) => [
      name,
      SECRET_NAME.test(name) && entry !== undefined && entry !== '' ? REDACTED : redactValue(entry, options, depth),
    ]),
  );
}

function redactValue(value: unknown, options: { withStacks: boolean }, depth: number): unknown {
  if (typeof value === 'string') return redactText(value);
  if (typeof value === 'bigint') return value.toString();
  if (typeof value !== 'object' || value === null) return value;
  if (depth >= MAX_DEPTH) return '[cut]';
  if (value instanceof Error) return redactError(value, options, depth);
  if (value instanceof Uint8Array) return `[${value.length} bytes]`;
  if (value instanceof Date || value instanceof RegExp) return value;
  if (value instanceof Map) return redactEntries(Object.fromEntries(value), options, depth + 1);
  if (Array.isArray(value) || value instanceof Set) return [...value].map((e) => redactValue(e, options, depth + 1));
  return redactEntries(value, options, depth + 1);
}

function redactError(error: Error, options: { withStacks: boolean }, depth: number): Record<string, unknown> {
  return {
    // Own fields: code, errno, exit and the like.
    ...redactEntries(error, options, depth + 1),
    name: error.name,
    message: redactText(error.message),
    ...(error.cause === undefined ? {} : { cause: redactValue(error.cause, options, depth + 1) }),
    ...(options.withStacks && error.stack !== undefined ? { stack: redactText(error.stack) } : {}),
  };
}
