import { parseSockperf } from '../tool-output.ts';
import { addressOf, GRACE_MS, type Workload } from './workload.ts';

const PORT = '11111';
/** sockperf's smallest and default message. */
const MESSAGE_BYTES = 14;
const LOADED_MESSAGES_PER_SECOND = 10_000;
/** Every tenth message is answered: enough observations for a p99, little load on the way back. */
const REPLY_EVERY = 10;

/** One message at a time. */
export const pingPong: Workload = sockperf(['ping-pong']);

/** Messages at a steady rate; the latency of those that are answered. */
export const underLoad: Workload = sockperf([
  'under-load',
  ...['--mps', String(LOADED_MESSAGES_PER_SECOND), '--reply-every', String(REPLY_EVERY)],
]);

function sockperf(what: readonly string[]): Workload {
  return async ({ lab, seconds }) => {
    const target = ['-i', addressOf(lab, 1), '-p', PORT];
    const server = lab.spawn(lab.container(1), ['sockperf', 'server', ...target]);
    try {
      const listens = async () => (await lab.exec(lab.container(1), ['ss', '-Hlun', `sport = :${PORT}`])).stdout;
      await lab.waitWhileRunning(server, listens, 5_000, 'sockperf server');
      const client = ['sockperf', ...what, ...target, '-t', String(seconds)];
      const { stdout } = await lab.exec(lab.container(0), client, { deadlineMs: seconds * 1000 + GRACE_MS });
      const { p50Micros, p99Micros, observations } = parseSockperf(stdout);
      return { measured: { p50Micros, p99Micros }, payloadBytes: observations * MESSAGE_BYTES };
    } finally {
      // Its handler of SIGTERM waits for a message that never comes.
      await server.stop('SIGKILL');
    }
  };
}
