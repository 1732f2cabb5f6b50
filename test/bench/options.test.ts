import { describe, expect, test } from 'vitest';
import { commandLine } from '../../bench/circumstances.ts';
import { WORKLOADS } from '../../bench/measurement.ts';
import { parseOptions, UsageError } from '../../bench/options.ts';
import { planRound } from '../../bench/plan.ts';

describe('options', () => {
  test('by default everything, in wire mode', () => {
    expect(parseOptions([])).toMatchObject({
      ...{ mode: 'wire', rounds: 3, seconds: 5, workloads: WORKLOADS, candidates: undefined, flannel0Flags: [] },
      ...{ udpSenders: 1, congestionControl: undefined, save: true, partial: false },
    });
  });

  test('all of them', () => {
    const text =
      '--mode=offload --rounds 5 --seconds 9 --only tcp1,idle --candidates vxlan,flannel0 --udp-senders 2 --congestion cubic --no-save';
    expect(parseOptions([...text.split(' '), '--flannel0-flags', '--a=1  --b ', '--variant', 'x=--c 2'])).toMatchObject(
      {
        ...{ mode: 'offload', rounds: 5, seconds: 9, workloads: ['tcp1', 'idle'], candidates: ['vxlan', 'flannel0'] },
        ...{ flannel0Flags: ['--a=1', '--b'], variants: [{ name: 'x', flags: ['--c', '2'] }], udpSenders: 2 },
        ...{ congestionControl: 'cubic', save: false, partial: true },
      },
    );
  });

  test.each([
    ['--mode', 'both'],
    ['--rounds', '0'],
    ['--seconds', '1.5'],
    ['--seconds', '-1'],
    ['--only', 'tcp1,tcp2'],
    ['--candidates', ''],
    ['--variant', 'noflags'],
    ['--nonsense', '1'],
    ['stray', 'word'],
  ])('%s %s is refused', (...argv) => {
    expect(() => parseOptions(argv)).toThrow(UsageError);
  });
});

describe('plan', () => {
  const plan = (...argv: string[]) =>
    planRound(parseOptions(argv), { referenceFlanneld: undefined }).map(({ candidate, workloads }) => ({
      name: candidate.name,
      workloads,
    }));

  test('a quick run measures ours and vxlan, and host-gw for what the generator can do', () => {
    const rows = ['tcp1', 'tcp4', 'udp64', 'pingpong'];
    expect(plan('--quick')).toEqual([
      { name: 'flannel0', workloads: rows },
      { name: 'vxlan', workloads: rows },
      { name: 'host-gw', workloads: ['udp64', 'generator'] },
    ]);
  });

  test('variants stand beside ours, and the model where there is no reference', () => {
    const names = plan('--variant', 'polling=--x').map(({ name }) => name);
    expect(names.slice(0, 4)).toEqual(['flannel0', 'flannel0:polling', 'vxlan', 'host-gw']);
    expect(names).toContain('flanneld-model');
    expect(names).not.toContain('flanneld');
  });

  test('only ours is loaded with routes', () => {
    const turns = plan('--candidates', 'flannel0,vxlan', '--only', 'tcp1,routes10k');
    expect(turns.map(({ workloads }) => workloads)).toEqual([['tcp1', 'routes10k'], ['tcp1']]);
  });

  test('what is asked for has to be there', () => {
    expect(() => plan('--candidates', 'flanneld')).toThrow('flanneld is not installed');
    expect(() => planRound(parseOptions([]), { referenceFlanneld: '/nonexistent/flanneld' })).toThrow(UsageError);
  });
});

test('the command can be typed again', () => {
  expect(commandLine([])).toBe('npm run bench');
  expect(commandLine(['--flannel0-flags', `--a=1 --b='x'`])).toBe(
    `npm run bench -- --flannel0-flags '--a=1 --b='\\''x'\\'''`,
  );
});
