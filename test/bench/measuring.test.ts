import { spawnSync } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { cpuSeconds, parseProcStat, parseStatusField, rssMib, threadWakes } from '../../bench/processor.ts';
import { parseSender, parseSink } from '../../bench/tool-output.ts';
import { proveCrossing } from '../../bench/underlay.ts';
import { leasedSubnet } from '../../bench/workloads/many-routes.ts';
import { buildGenerator, udpOutcome } from '../../bench/workloads/udp.ts';
import { REPOSITORY, waitFor } from '../lab/lab.ts';
import { startProcess } from '../lab/process.ts';

describe('processor', () => {
  test('busy is all but idle, waiting and stolen', () => {
    const text = 'cpu  100 20 300 4000 500 60 70 8000 9 9\ncpu0 1 1 1 1 1 1 1 1 0 0\n';
    expect(parseProcStat(text)).toEqual({ busy: 5.5, idle: 45 });
    expect(() => parseProcStat('cpu0 1 2 3')).toThrow('no cpu line');
  });

  test('fields of a status file', () => {
    expect(parseStatusField('Name:\tx\nVmRSS:\t  2048 kB\n', 'VmRSS')).toBe(2048);
    expect(() => parseStatusField('Name:\tx\n', 'VmRSS')).toThrow('no VmRSS');
  });

  test('this machine and this process have some', () => {
    expect(cpuSeconds().busy).toBeGreaterThan(0);
    expect(rssMib(process.pid)).toBeGreaterThan(1);
    expect(threadWakes(process.pid, '')).toBeGreaterThan(0);
    expect(threadWakes(process.pid, 'no-such-thread')).toBeUndefined();
  });
});

describe('proof of the path', () => {
  const whole = { arrived: { bytes: 15_000, packets: 1 }, wire: { bytes: 15_140, packets: 10 } };

  test('single packets on the wire, and all bytes through the device', () => {
    expect(() => proveCrossing(whole, 15_000, 'flannel0', 'wire')).not.toThrow();
  });

  test('what did not come through the device is not its figure', () => {
    expect(() => proveCrossing(whole, 15_001, 'flannel0', 'wire')).toThrow('only 15000 came through flannel0');
    const elsewhere = { arrived: whole.arrived, wire: { bytes: 100, packets: 1 } };
    expect(() => proveCrossing(elsewhere, 15_000, 'flannel0', 'wire')).toThrow('crossed the wire');
  });

  test('super-packets are no wire', () => {
    const packed = { ...whole, wire: { bytes: 15_140, packets: 9 } };
    expect(() => proveCrossing(packed, 15_000, 'flannel0', 'wire')).toThrow('wire mode, yet');
    expect(() => proveCrossing(packed, 15_000, 'flannel0', 'offload')).not.toThrow();
  });
});

describe('UDP flood', () => {
  test('delivered, offered, lost, CPU', () => {
    const sent = { sent: 1000, seconds: 2 };
    expect(udpOutcome(sent, { received: 800, foreign: 0, seconds: 1.9 }, 64, 0.004)).toEqual({
      measured: {
        packetsPerSecond: 400,
        offeredPacketsPerSecond: 500,
        lossRatio: 1 - 800 / 1000,
        cpuMicrosPerPacket: 5,
      },
      payloadBytes: 51_200,
    });
  });

  test('what drains from queues afterwards takes its time', () => {
    const { measured } = udpOutcome({ sent: 1000, seconds: 2 }, { received: 800, foreign: 0, seconds: 4 }, 64, 1);
    expect(measured.packetsPerSecond).toBe(200);
  });

  test('none, or more than were sent, is no result', () => {
    const sent = { sent: 10, seconds: 1 };
    expect(() => udpOutcome(sent, { received: 0, foreign: 0, seconds: 0 }, 64, 1)).toThrow('none of 10');
    expect(() => udpOutcome(sent, { received: 11, foreign: 0, seconds: 1 }, 64, 1)).toThrow('11 datagrams arrived');
  });
});

test('10,000 leases have 10,000 subnets of their own', () => {
  const subnets = Array.from({ length: 10_000 }, (_, index) => leasedSubnet(index));
  expect(new Set(subnets).size).toBe(10_000);
  expect(subnets[0]).toBe('10.1.0.0');
  expect(subnets.at(-1)).toBe('10.40.15.0');
});

describe('udp-blast', () => {
  const program = join(REPOSITORY, 'bench', 'tools', 'build', 'udp-blast');

  test('a paced sender keeps its rate, and the sink counts what is its own and nothing else', async () => {
    buildGenerator();
    const port = String(20_000 + (process.pid % 20_000));
    const sink = startProcess([program, 'sink', '127.0.0.1', port, '64'], undefined);
    try {
      await waitFor(() => sink.stdout().includes('ready'), 5_000, 'sink');
      const foreign = createSocket('udp4');
      for (const bytes of [0, 1, 64, 65, 1400]) {
        await new Promise((resolve) => foreign.send(Buffer.alloc(bytes), Number(port), '127.0.0.1', resolve));
      }
      foreign.close();
      const { stdout } = spawnSync(program, ['send', '127.0.0.1', port, '64', '1', '2', '5000'], { encoding: 'utf8' });
      const { sent } = parseSender(stdout);
      expect(sent).toBeGreaterThan(0);
      // Never faster than asked; how much slower is the machine's affair.
      expect(sent).toBeLessThanOrEqual(5_000);
      await sink.stop('SIGTERM');
      expect(parseSink(sink.stdout())).toMatchObject({ received: sent, foreign: 5 });
    } finally {
      await sink.stop('SIGKILL');
    }
  });

  test.each([
    [[]],
    [['sink', '127.0.0.1', '0', '64']],
    [['sink', 'localhost', '1', '64']],
    [['send', '::1', '1', '64', '1']],
    [['sink', '127.0.0.1', '1', '15']],
    [['send', '127.0.0.1', '1', '64', '1x']],
  ])('%j is refused', (argv) => {
    buildGenerator();
    const { status, stderr } = spawnSync(program, argv, { encoding: 'utf8' });
    expect(status).toBe(2);
    expect(stderr).not.toBe('');
  });
});
