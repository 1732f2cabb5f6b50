import { type Lab, waitFor } from '../../test/lab/lab.ts';
import { withCpu } from '../processor.ts';
import { parseIperf3, type TcpFlow } from '../tool-output.ts';
import { addressOf, GRACE_MS, type Outcome, type Workload, type WorkloadContext } from './workload.ts';

const PORT = 5201;
const BYTES_PER_GB = 1e9;

/** One iperf3 with `streams` connections. */
export function tcpStreams(streams: number): Workload {
  return async (context) => {
    const server = await startServer(context.lab, 1);
    try {
      const { result, cpuSeconds } = await withCpu(() => runClient(context, 0, streams));
      return outcomeOf([result], cpuSeconds, result.bytesReceived);
    } finally {
      await server.stop();
    }
  };
}

/** Two iperf3 pairs at once, one stream each, from either side: one process would share its thread between both. */
export const tcpBothDirections: Workload = async (context) => {
  const servers = [await startServer(context.lab, 0), await startServer(context.lab, 1)];
  try {
    const { result, cpuSeconds } = await withCpu(() =>
      Promise.all([runClient(context, 0, 1), runClient(context, 1, 1)]),
    );
    return outcomeOf(result, cpuSeconds, result[0].bytesReceived);
  } finally {
    await Promise.all(servers.map((server) => server.stop()));
  }
};

function outcomeOf(flows: readonly TcpFlow[], cpuSeconds: number, payloadBytes: number): Outcome {
  const sum = (of: (flow: TcpFlow) => number) => flows.reduce((total, flow) => total + of(flow), 0);
  const gigabytes = sum((flow) => flow.bytesReceived) / BYTES_PER_GB;
  return {
    measured: { bitsPerSecond: sum((flow) => flow.bitsPerSecond), cpuSecondsPerGb: cpuSeconds / gigabytes },
    payloadBytes,
  };
}

async function startServer(lab: Lab, index: number) {
  const server = lab.spawn(lab.container(index), ['iperf3', '-s', '-1', '-p', String(PORT), '--forceflush']);
  await lab.waitWhileRunning(server, () => server.stdout().includes('listening'), 5_000, 'iperf3 server');
  return server;
}

async function runClient({ lab, seconds, congestionControl }: WorkloadContext, from: number, streams: number) {
  const congestion = congestionControl === undefined ? [] : ['-C', congestionControl];
  const target = ['-c', addressOf(lab, 1 - from), '-p', String(PORT)];
  const { stdout } = await lab.exec(
    lab.container(from),
    ['iperf3', ...target, '-J', '-t', String(seconds), '-P', String(streams), ...congestion],
    // iperf3 tells its error in the JSON, with status 1.
    { deadlineMs: seconds * 1000 + GRACE_MS, anyStatus: true },
  );
  return parseIperf3(stdout);
}

/** One answered ping from container to container. */
export async function waitForPing(lab: Lab, deadlineMs: number): Promise<void> {
  const ping = ['ping', '-c', '1', '-W', '1', '-q', addressOf(lab, 1)];
  await waitFor(() => lab.exec(lab.container(0), ping), deadlineMs, 'a ping from container to container');
}
