import { expect, it } from 'vitest';
import { followLocalAddresses } from '../../src/daemon/local-addresses.ts';
import { formatAddress, type IpAddress, parseAddress } from '../../src/ip/ip.ts';
import type { NetlinkMonitorHandle } from '../../src/native/addon.ts';
import type { Address } from '../../src/rtnetlink/rtnetlink.ts';
import { ManualClock } from '../support/manual-clock.ts';

function setup(readings: (readonly string[] | Error)[]) {
  let notify = () => {};
  let isMonitored = false;
  const clock = new ManualClock();
  const sets: string[][] = [];
  const warnings: string[] = [];
  const stop = followLocalAddresses({
    native: {
      startNetlinkMonitor(_groups, onMessages) {
        isMonitored = true;
        notify = () => onMessages([]);
        return {} as NetlinkMonitorHandle;
      },
      stopNetlinkMonitor() {
        isMonitored = false;
      },
    },
    rtnetlink: {
      addresses() {
        const reading = readings.shift() ?? [];
        if (reading instanceof Error) throw reading;
        return reading.map((text) => ({ address: parseAddress(text) as IpAddress }) as Address);
      },
    },
    forwarder: { setLocalAddresses: (addresses) => void sets.push(addresses.map(formatAddress)) },
    clock,
    logger: { debug() {}, info() {}, warn: (_fields, message) => void warnings.push(message), error() {} },
  });
  return { sets, warnings, clock, stop, notify: () => notify(), isMonitored: () => isMonitored };
}

it('reads at start and at every change', () => {
  const { sets, notify, stop, isMonitored } = setup([['10.0.0.1'], ['10.0.0.1', '10.5.21.1']]);
  notify();
  expect(sets).toEqual([['10.0.0.1'], ['10.0.0.1', '10.5.21.1']]);
  stop();
  expect(isMonitored()).toBe(false);
});

it('keeps what it knew where the kernel cannot be asked, warns once, and tries again', async () => {
  const { sets, warnings, clock } = setup([new Error('EMFILE'), new Error('EMFILE'), ['10.0.0.1']]);
  await clock.advance(1_000);
  expect(sets).toEqual([]);
  await clock.advance(1_000);
  expect(sets).toEqual([['10.0.0.1']]);
  expect(warnings).toHaveLength(1);
});

it('reads no more after the stop', async () => {
  const { sets, clock, stop } = setup([new Error('EMFILE'), ['10.0.0.1']]);
  stop();
  await clock.advance(10_000);
  expect(sets).toEqual([]);
});
