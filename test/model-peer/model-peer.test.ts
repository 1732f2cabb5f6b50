import { afterAll, beforeAll, expect, test } from 'vitest';
import { createLab, type Lab, waitFor } from '../lab/lab.ts';

let lab: Lab;
beforeAll(async () => {
  lab = await createLab();
});
afterAll(() => lab?.close());

test('two model peers form a network, and a third place shows what they left', async () => {
  const peers = lab.hosts.map((host) => lab.startModelPeer(host, ['--ip-masq']));
  for (const [i, peer] of peers.entries()) await lab.joinContainers(lab.host(i), peer);
  const target = lab.container(1).address ?? '';
  await waitFor(() => lab.exec(lab.container(0), ['ping', '-c1', '-W1', '-q', target]), 10_000, 'ping');
  const server = lab.spawn(lab.container(1), ['iperf3', '-s', '-1', '--forceflush']);
  await waitFor(() => server.stdout().includes('listening'), 5000, 'iperf3 server');
  const { stdout } = await lab.exec(lab.container(0), ['iperf3', '-c', target, '-t', '2', '-J']);
  const bitsPerSecond = JSON.parse(stdout).end.sum_received.bits_per_second;
  console.log('iperf3 Mbit/s', bitsPerSecond / 1e6);
  expect(bitsPerSecond).toBeGreaterThan(0);
});
