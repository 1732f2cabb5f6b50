import { expect, it } from 'vitest';
import { requireNetAdmin } from '../../src/daemon/preflight.ts';

it.each([
  ['all', '000001ffffffffff'],
  ['CAP_NET_ADMIN alone', '0000000000001000'],
])('is content with %s', (_what, mask) => {
  expect(() => requireNetAdmin(`Name:\tnode\nCapEff:\t${mask}\n`)).not.toThrow();
});

it.each([
  ['none', '0000000000000000'],
  ['all others', '000001ffffffefff'],
])('refuses %s', (_what, mask) => {
  expect(() => requireNetAdmin(`CapEff:\t${mask}\n`)).toThrow(/CAP_NET_ADMIN/);
});
