import { createHash, randomBytes } from 'node:crypto';
import { createReadStream, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createLab, type Lab } from '../lab/lab.ts';
import { type DaemonKind, formNetwork, tool } from './support.ts';

const MEBIBYTE = 1024 * 1024;
/** With the inner IPv4 and UDP headers this fills the device's MTU of 1472. */
const LARGEST_UNFRAGMENTED = 1444;
const FRAGMENTED = ['1445-1480', '2000', '2888', '4000', '9000', '20000', '40000'];

interface Pair {
  readonly kinds: readonly [DaemonKind, DaemonKind];
  readonly fileBytes: number;
}

const PAIRS: Pair[] = [
  { kinds: ['flannel0', 'flannel0'], fileBytes: 100 * MEBIBYTE },
  { kinds: ['flannel0', 'model peer'], fileBytes: 10 * MEBIBYTE },
  { kinds: ['model peer', 'flannel0'], fileBytes: 10 * MEBIBYTE },
  { kinds: ['model peer', 'model peer'], fileBytes: 5 * MEBIBYTE },
];

function writeNoise(path: string, bytes: number): void {
  for (let written = 0; written < bytes; written += MEBIBYTE) {
    writeFileSync(path, randomBytes(Math.min(MEBIBYTE, bytes - written)), { flag: 'a' });
  }
}

async function sha256(path: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path), hash);
  return hash.digest('hex');
}

describe.each(PAIRS)('$kinds.0 and $kinds.1', ({ kinds, fileBytes }) => {
  let lab: Lab;
  beforeAll(async () => {
    lab = await createLab();
    await formNetwork(lab, kinds);
  });
  afterAll(() => lab?.close());

  test(`${fileBytes / MEBIBYTE} MiB cross in both directions at once, unchanged`, { timeout: 120_000 }, async () => {
    const [near, far] = [lab.container(0), lab.container(1)];
    const path = (name: string) => join(lab.host(0).folder, name);
    writeNoise(path('near.out'), fileBytes);
    writeNoise(path('far.out'), fileBytes);
    const program = [process.execPath, tool('tcp-exchange.mjs')];
    const listener = lab.spawn(far, [...program, 'listen', '7777', path('far.out'), path('far.in')]);
    await lab.waitWhileRunning(listener, () => listener.stdout().includes('listening'), 10_000, 'the listener');
    const connect = ['connect', far.address ?? '', '7777', path('near.out'), path('near.in')];
    await lab.exec(near, [...program, ...connect], { deadlineMs: 100_000 });
    expect(await listener.exited).toEqual({ status: 0, signal: undefined });
    expect(await sha256(path('far.in'))).toBe(await sha256(path('near.out')));
    expect(await sha256(path('near.in'))).toBe(await sha256(path('far.out')));
  });

  test.each([
    ['forth', 0, 1],
    ['back', 1, 0],
  ])('UDP payloads of every size arrive unchanged, %s', { timeout: 60_000 }, async (_, from, to) => {
    const program = [process.execPath, tool('udp-echo.mjs')];
    const server = lab.spawn(lab.container(to), [...program, 'serve', '7000']);
    await lab.waitWhileRunning(server, () => server.stdout().includes('listening'), 10_000, 'the echo server');
    const target = lab.container(to).address ?? '';
    const sizes = [`0-${LARGEST_UNFRAGMENTED}`, ...FRAGMENTED];
    const check = [...program, 'check', target, '7000', ...sizes];
    const { stdout } = await lab.exec(lab.container(from), check, { deadlineMs: 50_000 });
    await server.stop();
    const { checked, resent } = JSON.parse(stdout) as { checked: number; resent: number };
    expect(checked).toBe(LARGEST_UNFRAGMENTED + 1 + 36 + FRAGMENTED.length - 1);
    // One at a time on an idle path: nothing is lost. A few for a busy machine.
    expect(resent).toBeLessThan(5);
  });
});
