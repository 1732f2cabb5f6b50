/** Reads what the load generators print. Pure; each function throws an Error that names the tool and what is missing. */

export interface TcpFlow {
  readonly bytesReceived: number;
  readonly bitsPerSecond: number;
}

/** `iperf3 -J`: the sum over all streams of what the receiver got. */
export function parseIperf3(text: string): TcpFlow {
  const document = JSON.parse(text) as {
    error?: string;
    end?: { sum_received?: { bytes?: number; bits_per_second?: number } };
  };
  if (document.error !== undefined) throw new Error(`iperf3: ${document.error}`);
  const { bytes, bits_per_second: bitsPerSecond } = document.end?.sum_received ?? {};
  if (bytes === undefined || bitsPerSecond === undefined) throw new Error('iperf3: no end.sum_received in its output');
  if (bytes === 0) throw new Error('iperf3: nothing arrived');
  return { bytesReceived: bytes, bitsPerSecond };
}

export interface Latency {
  readonly p50Micros: number;
  readonly p99Micros: number;
  readonly observations: number;
  readonly dropped: number;
}

/** sockperf's text: one-way latency, which is half of the round trip it measures. */
export function parseSockperf(text: string): Latency {
  const value = (what: string, pattern: RegExp) => {
    const found = pattern.exec(text)?.[1];
    if (found === undefined) throw new Error(`sockperf: no ${what} in its output: ${text.trim().slice(-300)}`);
    return Number(found);
  };
  return {
    p50Micros: value('percentile 50', /percentile 50\.000 =\s*([0-9.]+)/),
    p99Micros: value('percentile 99', /percentile 99\.000 =\s*([0-9.]+)/),
    observations: value('observations', /Total ([0-9]+) observations/),
    dropped: value('dropped messages', /# dropped messages = ([0-9]+)/),
  };
}

export interface SinkCount {
  readonly received: number;
  readonly foreign: number;
  readonly seconds: number;
}

export function parseSink(text: string): SinkCount {
  const count = lastJsonLine(text, 'udp-blast sink');
  return {
    received: numberIn(count, 'received'),
    foreign: numberIn(count, 'foreign'),
    seconds: numberIn(count, 'seconds'),
  };
}

export interface SenderCount {
  readonly sent: number;
  readonly seconds: number;
}

export function parseSender(text: string): SenderCount {
  const count = lastJsonLine(text, 'udp-blast send');
  return { sent: numberIn(count, 'sent'), seconds: numberIn(count, 'seconds') };
}

function lastJsonLine(text: string, tool: string): Record<string, unknown> {
  const line = text.trim().split('\n').at(-1) ?? '';
  if (!line.startsWith('{')) throw new Error(`${tool}: printed no result`);
  return JSON.parse(line) as Record<string, unknown>;
}

function numberIn(object: Record<string, unknown>, name: string): number {
  const value = object[name];
  if (typeof value !== 'number') throw new Error(`udp-blast: no ${name} in its result`);
  return value;
}
