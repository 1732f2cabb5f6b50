import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { decodeGeneration, readRulesetGeneration } from '../../src/firewall/ruleset-generation.ts';
import { createNamespace, type Namespace } from '../rtnetlink/namespace.ts';

/** nlmsghdr, nfgenmsg, NFTA_GEN_ID = 7, NFTA_GEN_PROC_PID, as Linux 6.18 answers. */
const ANSWER = Uint8Array.from([
  36, 0, 0, 0, 15, 10, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7, 8, 0, 1, 0, 0, 0, 0, 7, 8, 0, 2, 0, 0, 0, 1, 2,
]);

describe('decodeGeneration', () => {
  it('finds the number', () => {
    expect(decodeGeneration(ANSWER)).toBe(7);
  });

  it('reads nothing outside of any bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), fc.nat(63), fc.nat(255), (noise, at, value) => {
        decodeGeneration(noise);
        const damaged = Uint8Array.from(ANSWER);
        damaged[at % damaged.length] = value;
        decodeGeneration(damaged);
        decodeGeneration(damaged.subarray(0, at % damaged.length));
      }),
    );
  });

  it('is undefined where the kernel refuses', () => {
    const refuse = () => {
      throw Object.assign(new Error('no nftables'), { code: 'EPROTONOSUPPORT' });
    };
    expect(readRulesetGeneration({ netlinkRequest: refuse })).toBeUndefined();
  });
});

describe('with the kernel', () => {
  let namespace: Namespace;
  beforeEach(() => {
    namespace = createNamespace();
  });
  afterEach(() => namespace.close());
  const start = () => namespace.child(new URL('firewall-child.ts', import.meta.url));

  it('rises with every change of any rule', async () => {
    const child = start();
    const before = (await child.call('generation')) as number;
    namespace.run('iptables-nft', '-A', 'INPUT', '-s', '192.0.2.1', '-j', 'DROP');
    expect(await child.call('generation')).toBeGreaterThan(before);
  });

  it('spares the programs while nothing changes, and nothing else', async () => {
    const child = start();
    await child.call('install');
    expect(await child.call('resync')).toEqual({ mended: 0, programs: 2 });
    expect(await child.call('resync')).toEqual({ mended: 0, programs: 0 });
    namespace.run('iptables-nft', '-A', 'INPUT', '-s', '192.0.2.1', '-j', 'DROP');
    expect(await child.call('resync')).toEqual({ mended: 0, programs: 2 });
    expect(await child.call('resync')).toEqual({ mended: 0, programs: 0 });
    namespace.run('iptables-nft', '-F', 'FLANNEL-FWD');
    expect(await child.call('resync')).toMatchObject({ mended: 1 });
    expect(await child.call('resync')).toMatchObject({ mended: 0, programs: 2 });
    expect(await child.call('resync')).toEqual({ mended: 0, programs: 0 });
  });
});
