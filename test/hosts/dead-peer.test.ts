/** What the network says about one peer is no other peer's business: see "Errors belong to their peer" in the docs. */
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createLab, type Lab, type LabProcess, waitFor } from '../lab/lab.ts';
import { formNetwork, tool } from './support.ts';

const DATAGRAMS = 20_000;
const STREAMS = 2;
const STREAM_BYTES = 4 * 1024 * 1024;
/** Enough ICMP errors for hundreds of sends to meet one. */
const LEAST_ERRORS = 1000;
/** Well below what a worker moves, so that no queue overflows; the others have to do with errors only. */
const FLOOD_PER_MILLISECOND = 24;

let lab: Lab;
let daemons: LabProcess[];
beforeAll(async () => {
  lab = await createLab({ hostCount: 3 });
  // One worker: flood and good traffic share its socket, and with it the errors.
  ({ daemons } = await formNetwork(lab, ['flannel0', 'flannel0', 'flannel0'], ['--workers=1']));
});
afterAll(() => lab?.close());

/** ICMP "destination unreachable" messages that the host of this daemon has received. */
function unreachables(daemon: LabProcess): number {
  const [names, values] = readFileSync(`/proc/${daemon.pid}/net/snmp`, 'utf8')
    .split('\n')
    .filter((line) => line.startsWith('Icmp:'))
    .map((line) => line.split(' '));
  return Number(values?.[names?.indexOf('InDestUnreachs') ?? -1]);
}

test('one dead peer costs the others nothing', { timeout: 120_000 }, async () => {
  const [sender, receiver, dead] = [lab.container(0), lab.container(1), lab.container(2)];
  const host = daemons[0] as LabProcess;
  await daemons[2]?.stop('SIGKILL');
  // Its kernel shall tell about each datagram.
  await lab.exec(lab.host(2), ['sysctl', '-q', '-w', 'net.ipv4.icmp_ratelimit=0']);

  const stream = [process.execPath, tool('udp-stream.mjs')];
  const tcp = [process.execPath, tool('tcp-streams.mjs')];
  const flood = lab.spawn(sender, [...stream, 'flood', dead.address ?? '', '9', String(FLOOD_PER_MILLISECOND)]);
  const udpListener = lab.spawn(receiver, [...stream, 'receive', '7000', String(DATAGRAMS)]);
  const tcpListener = lab.spawn(receiver, [...tcp, 'listen', '7777', String(STREAMS)]);
  for (const listener of [udpListener, tcpListener]) {
    await lab.waitWhileRunning(listener, () => listener.stdout().includes('listening'), 10_000, 'a listener');
  }
  const before = unreachables(host);
  await waitFor(() => unreachables(host) > before, 10_000, 'ICMP errors about the dead peer');

  const target = receiver.address ?? '';
  const [, connected] = await Promise.all([
    lab.exec(sender, [...stream, 'send', target, '7000', String(DATAGRAMS), '200'], { deadlineMs: 90_000 }),
    lab.exec(sender, [...tcp, 'connect', target, '7777', String(STREAMS), String(STREAM_BYTES)], {
      deadlineMs: 90_000,
    }),
  ]);
  await Promise.all([udpListener.exited, tcpListener.exited]);
  expect(udpListener.stdout()).toBe(`listening\n{"received":${DATAGRAMS},"outOfOrder":0}\n`);
  expect(tcpListener.stdout()).toBe(`listening\n${connected.stdout}`);

  await waitFor(() => unreachables(host) - before >= LEAST_ERRORS, 20_000, `${LEAST_ERRORS} ICMP errors`);
  expect(flood.exitStatus()).toBeUndefined();
  expect(host.exitStatus()).toBeUndefined();
});
