import { afterEach, describe, expect, test } from 'vitest';
import { createLab, type Lab, waitFor } from '../lab/lab.ts';
import { destinationOf, formNetwork, sourceOf, startCapture, tool } from './support.ts';

const NOBODYS_ADDRESS = '10.5.250.9';

let lab: Lab | undefined;
afterEach(() => lab?.close());

/** The configured network leaves 10.5.250.0/24 to nobody. */
const CONFIG = '{"Network":"10.5.0.0/16","SubnetMax":"10.5.99.0","Backend":{"Type":"udp"}}';

describe.each([0, 1] as const)('a destination that nobody leases, rp_filter=%i', (reversePathFilter) => {
  test('the container that sent the packet gets "net unreachable"', { timeout: 60_000 }, async () => {
    lab = await createLab({ reversePathFilter, networkConfig: CONFIG });
    const { envs } = await formNetwork(lab, ['flannel0', 'flannel0']);
    const container = lab.container(0);
    const capture = await startCapture(lab, container, 'eth0', 'icmp');
    const { stdout } = await lab.exec(container, [process.execPath, tool('tcp-connect.mjs'), NOBODYS_ADDRESS, '7777']);
    expect(stdout).toBe('ENETUNREACH\n');

    await waitFor(() => capture.packets().length > 0, 5_000, 'the answer in the capture');
    const [answer = new Uint8Array()] = await capture.stop();
    const base = (envs[0]?.subnet ?? '').replace(/1\/24$/, '0');
    expect([sourceOf(answer), destinationOf(answer)]).toEqual([base, container.address]);
    // TTL 8 less the kernel's hop; type 3, code 0; the quoted packet is ours.
    expect([answer[8], answer[20], answer[21]]).toEqual([7, 3, 0]);
    expect([sourceOf(answer.subarray(28)), destinationOf(answer.subarray(28))]).toEqual([
      container.address,
      NOBODYS_ADDRESS,
    ]);
  });
});

test('a real flanneld does not manage that: the model shows why a container behind it waits', {
  timeout: 60_000,
}, async () => {
  lab = await createLab({ networkConfig: CONFIG });
  await formNetwork(lab, ['model peer', 'model peer']);
  const onDevice = await startCapture(lab, lab.host(0), 'flannel0', 'icmp[icmptype] == icmp-unreach');
  const inContainer = await startCapture(lab, lab.container(0), 'eth0', 'icmp');
  const send = [process.execPath, tool('udp-echo.mjs'), 'check', NOBODYS_ADDRESS, '7777', '10'];
  const { status } = await lab.exec(lab.container(0), send, { anyStatus: true });
  expect(status).toBe(1);
  expect((await onDevice.stop()).length).toBeGreaterThan(0);
  expect(await inContainer.stop()).toEqual([]);
});
