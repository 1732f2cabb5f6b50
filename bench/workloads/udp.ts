import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { REPOSITORY } from '../../test/lab/lab.ts';
import { withCpu } from '../processor.ts';
import { parseSender, parseSink, type SenderCount, type SinkCount } from '../tool-output.ts';
import { addressOf, GRACE_MS, type Outcome, type Workload } from './workload.ts';

const TOOLS = join(REPOSITORY, 'bench', 'tools');
const UDP_BLAST = join(TOOLS, 'build', 'udp-blast');
const PORT = '5300';

/** Compiles the generator where it is not up to date. @throws Error with the compiler's words. */
export function buildGenerator(): void {
  const { status, stderr } = spawnSync('make', ['-s', '-C', TOOLS], { encoding: 'utf8' });
  if (status !== 0) throw new Error(`cannot build bench/tools: ${stderr}`);
}

/** Datagrams of `payloadBytes` as fast as the sender can: what arrives is what the path carries under a flood. */
export function udpFlood(payloadBytes: number): Workload {
  return async ({ lab, seconds, udpSenders }) => {
    const target = [addressOf(lab, 1), PORT, String(payloadBytes)];
    const sink = lab.spawn(lab.container(1), [UDP_BLAST, 'sink', ...target]);
    try {
      await lab.waitWhileRunning(sink, () => sink.stdout().includes('ready'), 5_000, 'udp-blast sink');
      const send = [UDP_BLAST, 'send', ...target, String(seconds), String(udpSenders)];
      const deadlineMs = seconds * 1000 + GRACE_MS;
      const { result, cpuSeconds } = await withCpu(() => lab.exec(lab.container(0), send, { deadlineMs }));
      await sink.stop('SIGTERM');
      return udpOutcome(parseSender(result.stdout), parseSink(sink.stdout()), payloadBytes, cpuSeconds);
    } finally {
      await sink.stop('SIGTERM');
    }
  };
}

/**
 * What the generator does where nothing carries its packets: through a veth, as everywhere, to a MAC address that is
 * nobody's, so that the other end drops them as the first thing.
 */
export const generatorAlone: Workload = async ({ lab, seconds, udpSenders }) => {
  const container = lab.container(0);
  await lab.ip(container, [
    'link add gen0 type veth peer name gen1',
    'addr add 192.0.2.1/24 dev gen0',
    'link set gen0 up',
    'link set gen1 up',
    'neigh replace 192.0.2.2 lladdr 02:00:00:00:00:ff dev gen0 nud permanent',
  ]);
  const send = [UDP_BLAST, 'send', '192.0.2.2', PORT, '64', String(seconds), String(udpSenders)];
  try {
    const { stdout } = await lab.exec(container, send, { deadlineMs: seconds * 1000 + GRACE_MS });
    const { sent, seconds: took } = parseSender(stdout);
    return { measured: { offeredPacketsPerSecond: sent / took }, payloadBytes: 0 };
  } finally {
    await lab.ip(container, ['link del gen0']);
  }
};

/** A path that goes on delivering from its queues after the sender has ended is not credited with that time. */
export function udpOutcome(sent: SenderCount, got: SinkCount, payloadBytes: number, cpuSeconds: number): Outcome {
  if (got.received === 0) throw new Error(`udp-blast: none of ${sent.sent} datagrams arrived`);
  if (got.received > sent.sent) throw new Error(`udp-blast: ${got.received} datagrams arrived of ${sent.sent} sent`);
  return {
    measured: {
      packetsPerSecond: got.received / Math.max(sent.seconds, got.seconds),
      offeredPacketsPerSecond: sent.sent / sent.seconds,
      lossRatio: 1 - got.received / sent.sent,
      cpuMicrosPerPacket: (cpuSeconds * 1e6) / got.received,
    },
    payloadBytes: got.received * payloadBytes,
  };
}
