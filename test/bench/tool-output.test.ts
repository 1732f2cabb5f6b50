import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { parseIperf3, parseSender, parseSink, parseSockperf } from '../../bench/tool-output.ts';

/** Recorded from iperf3 3.12 and sockperf 3.7 on a loopback; iperf3's without what names the machine. */
const sample = (name: string) => readFileSync(join(import.meta.dirname, 'samples', name), 'utf8');

describe('iperf3', () => {
  test('the sum of both streams, as received', () => {
    const text = sample('iperf3-two-streams.json');
    const flow = parseIperf3(text);
    const { streams } = JSON.parse(text).end as { streams: { receiver: { bytes: number } }[] };
    expect(streams).toHaveLength(2);
    expect(flow.bytesReceived).toBe(streams.reduce((sum, { receiver }) => sum + receiver.bytes, 0));
    expect(flow).toEqual({ bytesReceived: 2278031360, bitsPerSecond: 18113955007.95655 });
  });

  test.each([
    ['{"start":{},"error":"unable to connect to server: Connection refused"}', /unable to connect/],
    ['{"end":{}}', /no end.sum_received/],
    ['{"end":{"sum_received":{"bytes":0,"bits_per_second":0}}}', /nothing arrived/],
    ['', /JSON/],
  ])('%s is an error', (text, message) => {
    expect(() => parseIperf3(text)).toThrow(message);
  });
});

describe('sockperf', () => {
  test('ping-pong', () => {
    expect(parseSockperf(sample('sockperf-ping-pong.txt'))).toEqual({
      p50Micros: 5.653,
      p99Micros: 6.474,
      observations: 47282,
      dropped: 0,
    });
  });

  test('under-load, with messages lost', () => {
    expect(parseSockperf(sample('sockperf-under-load.txt'))).toEqual({
      p50Micros: 6.75,
      p99Micros: 23103.643,
      observations: 538,
      dropped: 10,
    });
  });

  test('no messages came back: says what is missing', () => {
    expect(() => parseSockperf('sockperf: No messages were received from the server. Is the server down?')).toThrow(
      /no percentile 50 .*Is the server down/,
    );
  });
});

describe('udp-blast', () => {
  test('the last line counts', () => {
    expect(parseSink('ready\n{"received":7,"foreign":1,"reordered":0,"seconds":1.5}\n')).toEqual({
      received: 7,
      foreign: 1,
      seconds: 1.5,
    });
    expect(parseSender('{"sent":8,"refused":0,"seconds":2}')).toEqual({ sent: 8, seconds: 2 });
  });

  test('nothing, or something else, is an error', () => {
    expect(() => parseSink('ready\n')).toThrow('printed no result');
    expect(() => parseSender('{"sent":"8"}')).toThrow('no sent');
  });
});
