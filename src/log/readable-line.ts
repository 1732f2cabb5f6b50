/**
 * Control characters, line separators and those that change the direction of text. Peers' data reaches log lines; on a
 * terminal it must not move the cursor, recolour or reorder what stands there.
 */
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for
const UNPRINTABLE = /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g;

export function escapeUnprintable(text: string): string {
  return text.replace(UNPRINTABLE, (char) => {
    if (char === '\n') return '\\n';
    if (char === '\t') return '\\t';
    return `\\u{${char.charCodeAt(0).toString(16)}}`;
  });
}

/** Two digits, or three for milliseconds. */
function pad(value: number, width = 2): string {
  return String(value).padStart(width, '0');
}

/** Local time of day: at a terminal, somebody compares it with the clock on the wall. */
function timeOfDay(time: Date): string {
  return `${pad(time.getHours())}:${pad(time.getMinutes())}:${pad(time.getSeconds())}.${pad(time.getMilliseconds(), 3)}`;
}

/** Words stand as they are; text with spaces, quotes or `=` in it, and anything structured, as JSON. */
function formatValue(value: unknown): string {
  if (typeof value === 'string' && /^[^\s"'=]+$/.test(value)) return escapeUnprintable(value);
  return escapeUnprintable(JSON.stringify(value) ?? String(value));
}

/**
 * One log record as a line for people: `12:34:56.789 INFO  lease acquired subnet=10.5.21.0/24`. A stack follows on
 * lines of its own.
 * @param record a record as pino writes it: `time` (ISO 8601), `level` (name), `msg`, and the fields.
 */
export function readableLine(record: Readonly<Record<string, unknown>>): string {
  const { time, level, msg, ...fields } = record;
  const words = [
    timeOfDay(new Date(String(time))),
    String(level).toUpperCase().padEnd(5),
    escapeUnprintable(String(msg ?? '')),
  ];
  const stacks: string[] = [];
  for (const [name, value] of Object.entries(fields)) {
    if (value === undefined) continue;
    const { stack, ...rest } = isRecord(value) ? value : {};
    if (typeof stack === 'string') stacks.push(...stack.split('\n').slice(1).map(escapeUnprintable));
    words.push(`${escapeUnprintable(name)}=${formatValue(typeof stack === 'string' ? rest : value)}`);
  }
  return `${[words.join(' '), ...stacks].join('\n')}\n`;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
