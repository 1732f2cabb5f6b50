/** The line protocol between a test and its child in another namespace: JSON in which bigints and gaps survive. */
import { createInterface } from 'node:readline';

export function formatWire(value: unknown): string {
  return JSON.stringify(value, (_key, each) => (typeof each === 'bigint' ? { $bigint: String(each) } : each));
}

export function parseWire(text: string): unknown {
  return JSON.parse(text, (_key, each) =>
    each !== null && typeof each === 'object' && '$bigint' in each ? BigInt(each.$bigint) : each,
  );
}

type Handler = (...args: never[]) => unknown;

/** Answers calls on stdin until it closes. */
export function serve(handlers: Readonly<Record<string, Handler>>): void {
  createInterface(process.stdin).on('line', async (line) => {
    const { method, args } = parseWire(line) as { method: string; args: never[] };
    let answer: unknown;
    try {
      const handler = handlers[method];
      if (handler === undefined) throw new Error(`no method ${method}`);
      answer = { value: await handler(...args) };
    } catch (error) {
      answer = { error: { message: String(error instanceof Error ? error.message : error), ...pick(error) } };
    }
    process.stdout.write(`${formatWire(answer)}\n`);
  });
}

function pick(error: unknown): { code?: unknown; exit?: unknown } {
  if (!(error instanceof Error)) return {};
  return { ...('code' in error && { code: error.code }), ...('exit' in error && { exit: error.exit }) };
}
