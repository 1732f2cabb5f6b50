import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  type Metric,
  type Mode,
  type Results,
  type Sample,
  WORKLOADS,
  type WorkloadName,
} from '../../bench/measurement.ts';
import { chartSvg, escapeXml } from '../../bench/report/chart.ts';
import { resultsDocument } from '../../bench/report/results-file.ts';
import { ROWS, rowOf } from '../../bench/report/rows.ts';
import { ratioOf, summarise, summaryOf } from '../../bench/report/statistics.ts';
import { align, figure, reportText } from '../../bench/report/table.ts';
import { flanneldCandidate, judge, TARGETS } from '../../bench/report/targets.ts';

function samplesOf(candidate: string, workload: WorkloadName, metric: Metric, values: readonly number[]): Sample[] {
  return values.map((value, index) => ({ candidate, workload, round: index + 1, measured: { [metric]: value } }));
}

function resultsOf(samples: readonly Sample[], names: readonly string[], mode: Mode = 'wire'): Results {
  return {
    circumstances: {
      date: '2026-01-02T03:04:05Z',
      commit: '0123456789ab',
      command: 'npm run bench',
      cpu: 'A & B <CPU>',
      cores: 2,
      kernel: '6.18.0',
      congestionControl: 'cubic',
      mode,
      rounds: 3,
      secondsPerWorkload: 5,
      busyBefore: 0,
    },
    candidates: names.map((name) => ({ name, description: `${name} it is`, mtuBytes: 1472 })),
    samples,
    failures: [],
  };
}

describe('statistics', () => {
  test('median, least and most of odd and even counts', () => {
    expect(summarise([3, 1, 2])).toEqual({ median: 2, least: 1, most: 3, count: 3 });
    expect(summarise([4, 1, 2, 3])).toEqual({ median: 2.5, least: 1, most: 4, count: 4 });
    expect(summarise([10, 9])).toEqual({ median: 9.5, least: 9, most: 10, count: 2 });
    expect(summarise([])).toBeUndefined();
  });

  test('as many values lie below the median as above, in whatever order they come', () => {
    fc.assert(
      fc.property(fc.array(fc.integer(), { minLength: 1 }), (values) => {
        const summary = summarise(values);
        if (summary === undefined) throw new Error('no summary');
        const half = values.length / 2;
        expect(values.filter((value) => value < summary.median).length).toBeLessThanOrEqual(half);
        expect(values.filter((value) => value > summary.median).length).toBeLessThanOrEqual(half);
        expect(summary.least).toBe(values.reduce((a, b) => Math.min(a, b)));
        expect(summary.most).toBe(values.reduce((a, b) => Math.max(a, b)));
      }),
    );
  });

  test('one candidate, workload and metric at a time', () => {
    const samples = [
      ...samplesOf('vxlan', 'tcp1', 'bitsPerSecond', [1, 2, 3]),
      ...samplesOf('vxlan', 'tcp4', 'bitsPerSecond', [100]),
      ...samplesOf('host-gw', 'tcp1', 'bitsPerSecond', [200]),
    ];
    expect(summaryOf(samples, 'vxlan', 'tcp1', 'bitsPerSecond')?.median).toBe(2);
    expect(summaryOf(samples, 'vxlan', 'tcp1', 'cpuSecondsPerGb')).toBeUndefined();
  });

  test('no ratio to nothing', () => {
    expect(ratioOf(summarise([6]), summarise([3]))).toBe(2);
    expect(ratioOf(summarise([6]), summarise([0]))).toBeUndefined();
    expect(ratioOf(undefined, summarise([3]))).toBeUndefined();
    expect(ratioOf(summarise([6]), undefined)).toBeUndefined();
  });
});

describe('targets', () => {
  const verdictOf = (samples: readonly Sample[], title: string, reference: string | undefined, mode: Mode = 'wire') => {
    const names = [...new Set(samples.map(({ candidate }) => candidate))];
    const found = judge(samples, names, mode).find(
      ({ target }) => target.title === title && target.reference === reference,
    );
    if (found === undefined) throw new Error(`no target ${title}`);
    return found;
  };

  test.each([
    [0.84, 'missed'],
    [0.85, 'met'],
    [2, 'met'],
  ])('TCP 1 stream at %d of vxlan is %s', (factor, verdict) => {
    const samples = [
      ...samplesOf('vxlan', 'tcp1', 'bitsPerSecond', [100]),
      ...samplesOf('flannel0', 'tcp1', 'bitsPerSecond', [100 * factor]),
    ];
    expect(verdictOf(samples, 'TCP 1 stream', 'vxlan')).toMatchObject({ verdict, value: factor });
    expect(verdictOf(samples, 'TCP 1 stream', 'flanneld').verdict).toBe('not measured');
  });

  test.each([
    [130, 'met'],
    [131, 'missed'],
  ])('latency is bounded from above: %d of 100 is %s', (ours, verdict) => {
    const samples = [
      ...samplesOf('vxlan', 'pingpong', 'p50Micros', [100]),
      ...samplesOf('flannel0', 'pingpong', 'p50Micros', [ours]),
    ];
    expect(verdictOf(samples, 'ping-pong p50', 'vxlan').verdict).toBe(verdict);
  });

  test.each([
    [10, 'met', 'cpuMicrosPerPacket'],
    [11, 'missed', 'packetsPerSecond'],
  ])('where packets per second miss, CPU per packet may show it: %d of 12 us is %s', (ours, verdict, metric) => {
    const samples = [
      ...samplesOf('vxlan', 'udp64', 'packetsPerSecond', [100]),
      ...samplesOf('flannel0', 'udp64', 'packetsPerSecond', [100]),
      ...samplesOf('vxlan', 'udp64', 'cpuMicrosPerPacket', [12]),
      ...samplesOf('flannel0', 'udp64', 'cpuMicrosPerPacket', [ours]),
    ];
    const judged = verdictOf(samples, 'UDP 64 B delivered, or else CPU per packet', 'vxlan');
    expect(judged).toMatchObject({ verdict, bound: { metric } });
  });

  test('the real flanneld comes before its model', () => {
    expect(flanneldCandidate(['flannel0', 'flanneld', 'flanneld-model'])).toBe('flanneld');
    expect(flanneldCandidate(['flannel0'])).toBe('flanneld-model');
    const samples = [
      ...samplesOf('flanneld', 'tcp1', 'bitsPerSecond', [10]),
      ...samplesOf('flanneld-model', 'tcp1', 'bitsPerSecond', [1]),
      ...samplesOf('flannel0', 'tcp1', 'bitsPerSecond', [50]),
    ];
    expect(verdictOf(samples, 'TCP 1 stream', 'flanneld')).toMatchObject({ value: 5, verdict: 'missed' });
  });

  test('absolute bounds need no reference, and 0 is a value', () => {
    const samples = samplesOf('flannel0', 'idle', 'workerWakesPerSecond', [0, 0, 0]);
    expect(verdictOf(samples, 'idle: wakes of packet workers per second', undefined)).toMatchObject({
      value: 0,
      verdict: 'met',
    });
  });

  test('each mode has its own, and each target has a row', () => {
    expect(judge([], [], 'offload').map(({ target }) => target.workload)).toEqual(['tcp1']);
    for (const target of TARGETS) expect(rowOf(target.workload, target.metric).title).not.toBe('');
  });
});

describe('table', () => {
  test('every workload has a row', () => {
    expect([...new Set(ROWS.map(({ workload }) => workload))].sort()).toEqual([...WORKLOADS].sort());
  });

  test('a figure in its unit, with its spread', () => {
    const row = rowOf('tcp1', 'bitsPerSecond');
    expect(figure(row, summarise([5.5e9, 5.31e9, 5.62e9]))).toBe('5.50 [5.31 to 5.62]');
    expect(figure(row, summarise([5.5e9]))).toBe('5.50');
    expect(figure(row, undefined)).toBe('-');
    expect(figure(rowOf('udp64', 'lossRatio'), summarise([0.125]))).toBe('12.5');
  });

  test('columns line up', () => {
    expect(
      align([
        ['a', '', 'long'],
        ['bb', 'c', '1'],
      ]),
    ).toEqual(['a      long', 'bb  c     1']);
  });

  test('the report shows machine, figures, ratios, targets, failures and other load', () => {
    const samples = [
      ...samplesOf('vxlan', 'tcp1', 'bitsPerSecond', [6.9e9]),
      ...samplesOf('flannel0', 'tcp1', 'bitsPerSecond', [3.45e9]),
      ...samplesOf('vxlan', 'udp64', 'lossRatio', [0.001]),
      ...samplesOf('flannel0', 'udp64', 'lossRatio', [0.5]),
    ];
    const plain = resultsOf(samples, ['flannel0', 'vxlan']);
    const text = reportText({
      ...plain,
      circumstances: { ...plain.circumstances, busyBefore: 0.4 },
      failures: [{ candidate: 'fastd', workload: 'setup', round: 2 }],
    });
    expect(text).toMatch(/A & B <CPU>, 2 cores, Linux 6\.18\.0, TCP cubic/);
    expect(text).toMatch(/TCP 1 stream +Gbit\/s +3\.45 +6\.90/);
    expect(text).toMatch(/TCP 1 stream +higher is better +0\.50/);
    expect(text).toMatch(/TCP 1 stream +at least 0\.85 x vxlan +0\.50 +missed/);
    expect(text).toMatch(/TCP 1 stream +at least 10 x flanneld-model +- +not measured/);
    expect(text).toContain('FAILED: fastd, setup, round 2');
    expect(text).toContain('CAUTION: 40 % of the machine was busy');
    expect(text).toContain('push through: vxlan; compare');
    expect(reportText(plain)).not.toContain('CAUTION');
  });
});

/** Checks that every element is closed, in order. */
function expectWellFormed(svg: string): void {
  const open: string[] = [];
  for (const [, close, name = '', rest = ''] of svg.matchAll(/<(\/?)([a-z]+)((?:\s+[\w-]+="[^"<>]*"|[^<>"])*)>/g)) {
    if (close === '/') expect(open.pop()).toBe(name);
    else if (!rest.endsWith('/')) open.push(name);
  }
  expect(open).toEqual([]);
  expect(svg.replaceAll(/&#[0-9]+;/g, '')).not.toContain('&');
}

describe('chart', () => {
  const samples = [
    ...samplesOf('vxlan', 'tcp1', 'bitsPerSecond', [6e9, 7e9, 8e9]),
    ...samplesOf('flannel0', 'tcp1', 'bitsPerSecond', [4e9, 3e9, 5e9]),
  ];
  const svg = chartSvg(resultsOf(samples, ['flannel0', 'vxlan', 'fastd']));

  test('is XML, whatever the names are', () => {
    expectWellFormed(svg);
    expect(svg).toContain('A &#38; B &#60;CPU&#62;');
    expect(escapeXml(`<a href="x">'&`)).toBe('&#60;a href=&#34;x&#34;&#62;&#39;&#38;');
  });

  test('bars are as long as the medians, and what was not measured has none', () => {
    const widths = [...svg.matchAll(/<rect class="(ours|bar)" [^>]*width="([0-9.]+)"/g)].map(([, kind, width]) => ({
      kind,
      width: Number(width),
    }));
    expect(widths.map(({ kind }) => kind)).toEqual(['ours', 'bar']);
    expect((widths[0]?.width ?? 0) / (widths[1]?.width ?? 1)).toBeCloseTo(4 / 7, 2);
    expect(svg).not.toContain('fastd');
  });

  test('has colours for light and for dark', () => {
    expect(svg).toContain('prefers-color-scheme: dark');
  });

  test('nothing measured still gives a document', () => {
    expectWellFormed(chartSvg(resultsOf([], ['flannel0'])));
    expectWellFormed(chartSvg(resultsOf(samplesOf('vxlan', 'tcp1', 'bitsPerSecond', [0]), ['vxlan'])));
  });
});

test('the JSON document has samples, summaries and verdicts', () => {
  const samples = [
    ...samplesOf('vxlan', 'tcp1', 'bitsPerSecond', [100, 102, 104]),
    ...samplesOf('flannel0', 'tcp1', 'bitsPerSecond', [102]),
  ];
  const document = JSON.parse(JSON.stringify(resultsDocument(resultsOf(samples, ['flannel0', 'vxlan']))));
  expect(document).toMatchObject({ version: 1, samples, circumstances: { commit: '0123456789ab' } });
  expect(document.summaries).toContainEqual({
    ...{ workload: 'tcp1', metric: 'bitsPerSecond', candidate: 'vxlan' },
    ...{ median: 102, least: 100, most: 104, count: 3 },
  });
  expect(document.targets[0]).toMatchObject({ title: 'TCP 1 stream', reference: 'vxlan', value: 1, verdict: 'met' });
});
