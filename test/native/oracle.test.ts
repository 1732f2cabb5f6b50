/**
 * The native core against the oracle in plain TypeScript: the same verdict, reason, bytes and next hop for the same
 * packet, routes and local addresses. No worker runs; `evaluate` calls what the workers call.
 */
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { encodeIpv4 } from '../../src/encap/ipv4-header.ts';
import { tunToUdp } from '../../src/encap/tun-to-udp.ts';
import { udpToTun } from '../../src/encap/udp-to-tun.ts';
import { DROP_REASONS, VERDICTS } from '../../src/encap/verdict.ts';
import { addressFromBytes, addressToBytes, baseAddress, formatAddress, lastAddress } from '../../src/ip/ip.ts';
import type { ForwarderHandle, NativeRouteChange } from '../../src/native/addon.ts';
import { loadNative } from '../../src/native/load.ts';
import type { NextHop, RouteChange } from '../../src/routing-table/route.ts';
import { destinationOf, RoutingTable } from '../../src/routing-table/routing-table.ts';
import { anyAddress, anyPacket, ipv4, ipv4Fields, payload } from '../support/packets.ts';
import { ipPacketOf, readCapture } from '../support/pcap.ts';
import { changesIn } from '../support/routes.ts';

const native = loadNative();
const DEVICE = ipv4('10.5.0.0');
const TUN_TO_UDP = 0;
const UDP_TO_TUN = 1;

/** Either side's result, in words that compare and print well. */
interface Outcome {
  readonly verdict: string;
  readonly reason: string;
  readonly output: string;
  readonly nextHop: string | undefined;
}

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');
const textOf = (hop: NextHop) => `${formatAddress(hop.address)} ${hop.port}`;
const bytesOf = (address: number) => addressToBytes({ family: 4, value: BigInt(address) });

function makeForwarder(): ForwarderHandle {
  const onEvent = () => {
    throw new Error('an event, though no worker runs');
  };
  return native.createForwarder({
    tunFds: [],
    udpFds: [],
    tunOffloads: { vnetHeader: false, checksum: false, tcp: false, udp: false },
    udpSegmentation: false,
    udpCoalescing: false,
    pollMicroseconds: 0,
    deviceAddress: bytesOf(DEVICE),
    onEvent,
  });
}

function toNative(change: RouteChange): NativeRouteChange {
  const prefix = destinationOf(change);
  const destination = addressToBytes(baseAddress(prefix));
  if (change.kind === 'delete') return { destination, length: prefix.length };
  const { address, port } = change.route.nextHop;
  return { destination, length: prefix.length, nextHop: addressToBytes(address), port };
}

function nativeOutcome(forwarder: ForwarderHandle, direction: 0 | 1, packet: Uint8Array): Outcome {
  const before = hex(packet);
  const { verdict, reason, output, nextHop, port } = native.evaluate(forwarder, direction, packet);
  expect(hex(packet)).toBe(before);
  const hop = nextHop && port !== undefined ? textOf({ address: addressFromBytes(nextHop), port }) : undefined;
  return {
    verdict: native.verdictNames()[verdict] ?? `verdict ${verdict}`,
    reason: native.dropReasonNames()[reason] ?? `reason ${reason}`,
    output: hex(output),
    nextHop: hop,
  };
}

function tunOracle(packet: Uint8Array, table: RoutingTable): Outcome {
  const lookup = (destination: number) => table.lookup({ family: 4, value: BigInt(destination) })?.nextHop;
  const result = tunToUdp(packet, lookup, DEVICE);
  const none = { reason: 'none', output: '', nextHop: undefined };
  if (result.verdict === 'drop') return { ...none, ...result };
  if (result.verdict === 'answer') return { ...none, verdict: 'answer', output: hex(result.packet) };
  return { ...none, verdict: 'forward', output: hex(result.datagram), nextHop: textOf(result.nextHop) };
}

function udpOracle(datagram: Uint8Array, local: ReadonlySet<number>): Outcome {
  const result = udpToTun(datagram, local);
  const none = { reason: 'none', output: '', nextHop: undefined };
  return result.verdict === 'drop'
    ? { ...none, ...result }
    : { ...none, verdict: 'forward', output: hex(result.packet) };
}

/** A packet of nothing but a header, to ask for the route of one address. */
const probe = (destination: bigint) =>
  encodeIpv4(
    {
      tos: 0,
      identification: 0,
      reservedFlag: false,
      dontFragment: false,
      moreFragments: false,
      fragmentOffsetBytes: 0,
      ttl: 64,
      protocol: 17,
      source: ipv4('10.5.0.2'),
      destination: Number(destination),
      options: new Uint8Array(0),
    },
    new Uint8Array(0),
  );

/** Both ends of each prefix that was ever touched, and their neighbours outside. */
function edgesOf(changes: readonly RouteChange[]): bigint[] {
  return changes.flatMap((change) => {
    const prefix = destinationOf(change);
    const first = baseAddress(prefix).value;
    const last = lastAddress(prefix).value;
    return [first - 1n, first, last, last + 1n].filter((value) => value >= 0n && value < 1n << 32n);
  });
}

describe('names', () => {
  it('of verdicts and drop reasons are the same on both sides, in order', () => {
    expect(native.verdictNames()).toEqual([...VERDICTS]);
    expect(native.dropReasonNames()).toEqual(DROP_REASONS.map(({ name }) => name));
  });
});

describe('tunToUdp', () => {
  it('decides as the oracle, for any packet, after any changes of the routes', () => {
    const seen = new Set<string>();
    const step = fc.record({ changes: changesIn(4, 8), packets: fc.array(anyPacket, { minLength: 1, maxLength: 8 }) });
    fc.assert(
      fc.property(fc.array(step, { minLength: 1, maxLength: 4 }), (steps) => {
        const forwarder = makeForwarder();
        const table = new RoutingTable();
        for (const { changes, packets } of steps) {
          table.apply(changes);
          native.applyRoutes(forwarder, changes.map(toNative));
          for (const packet of packets) {
            const expected = tunOracle(packet, table);
            expect(nativeOutcome(forwarder, TUN_TO_UDP, packet)).toEqual(expected);
            seen.add(expected.verdict === 'drop' ? expected.reason : expected.verdict);
          }
        }
      }),
      { numRuns: 400 },
    );
    // The generators reach every end that this path has.
    const malformed = ['truncated', 'badVersion', 'badHeaderLength', 'badTotalLength', 'ipv6Unsupported'];
    const all = ['forward', 'answer', 'noRoute', 'ttlZero', 'ttlExpired', ...malformed];
    expect([...seen].toSorted()).toEqual(all.toSorted());
  });

  it('finds the longest prefix while routes are set, replaced and deleted', () => {
    fc.assert(
      fc.property(fc.array(changesIn(4, 15), { minLength: 1, maxLength: 6 }), (batches) => {
        const forwarder = makeForwarder();
        const table = new RoutingTable();
        const touched: RouteChange[] = [];
        for (const batch of batches) {
          table.apply(batch);
          native.applyRoutes(forwarder, batch.map(toNative));
          touched.push(...batch);
          for (const address of new Set(edgesOf(touched))) {
            const packet = probe(address);
            expect(nativeOutcome(forwarder, TUN_TO_UDP, packet)).toEqual(tunOracle(packet, table));
          }
        }
      }),
    );
  });

  it('finds each of 10,000 subnets, before and after one of them changes', () => {
    const forwarder = makeForwarder();
    const table = new RoutingTable();
    const set = (n: number, hop: number): RouteChange => ({
      kind: 'set',
      route: {
        destination: { family: 4, base: 0x0a000000n + BigInt(n) * 256n, length: 24 },
        nextHop: { address: { family: 4, value: 0xac1f0000n + BigInt(hop) }, port: 8285 },
      },
    });
    const apply = (changes: RouteChange[]) => native.applyRoutes(forwarder, table.apply(changes).map(toNative));
    const agree = () => {
      for (let n = -1; n <= 10_000; n++) {
        const packet = probe(0x0a000000n + BigInt(n) * 256n + BigInt(n & 0xff));
        const { nextHop, verdict } = native.evaluate(forwarder, TUN_TO_UDP, packet);
        const expected = tunOracle(packet, table);
        const hop = nextHop && textOf({ address: addressFromBytes(nextHop), port: 8285 });
        if (hop !== expected.nextHop || VERDICTS[verdict] !== expected.verdict) throw new Error(`subnet ${n}: ${hop}`);
      }
    };
    apply(Array.from({ length: 10_000 }, (_, n) => set(n, n)));
    agree();
    apply([set(4_711, 12_345)]);
    apply([{ kind: 'delete', destination: destinationOf(set(9_999, 0)) }]);
    agree();
    expect(table.size).toBe(9_999);
  });

  it('decides as the oracle on packets as large as IP allows', () => {
    const forwarder = makeForwarder();
    const table = new RoutingTable();
    const hop: NextHop = { address: { family: 4, value: 0xac1f0002n }, port: 8285 };
    const destination = { family: 4 as const, base: 0x0a050100n, length: 24 };
    native.applyRoutes(forwarder, table.apply([{ kind: 'set', route: { destination, nextHop: hop } }]).map(toNative));
    for (const size of [1471, 1472, 1473, 9000, 32_768, 65_507, 65_508, 65_534, 65_535]) {
      for (const [target, verdict] of [
        ['10.5.1.2', 'forward'],
        ['10.5.2.2', 'answer'],
      ] as const) {
        const whole = new Uint8Array(size).fill(0xa5);
        whole.set(probe(BigInt(ipv4(target))));
        new DataView(whole.buffer).setUint16(2, size);
        const outcome = nativeOutcome(forwarder, TUN_TO_UDP, whole);
        expect(outcome).toEqual(tunOracle(whole, table));
        expect([size, outcome.verdict]).toEqual([size, verdict]);
      }
    }
  });
});

describe('udpToTun', () => {
  it('decides as the oracle, for any packet and any local addresses', () => {
    const seen = new Set<string>();
    const step = fc.record({
      local: fc.array(anyAddress, { maxLength: 40 }),
      packets: fc.array(anyPacket, { minLength: 1, maxLength: 8 }),
    });
    fc.assert(
      fc.property(fc.array(step, { minLength: 1, maxLength: 4 }), (steps) => {
        const forwarder = makeForwarder();
        for (const { local, packets } of steps) {
          native.setLocalAddresses(forwarder, local.map(bytesOf));
          for (const packet of packets) {
            const expected = udpOracle(packet, new Set(local));
            expect(nativeOutcome(forwarder, UDP_TO_TUN, packet)).toEqual(expected);
            seen.add(expected.verdict === 'drop' ? expected.reason : expected.verdict);
          }
        }
      }),
      { numRuns: 400 },
    );
    const malformed = ['truncated', 'badVersion', 'badHeaderLength', 'badTotalLength', 'ipv6Unsupported'];
    const all = ['forward', 'badHeaderChecksum', 'martianSource', 'ttlZero', 'ttlExpired', ...malformed];
    expect([...seen].toSorted()).toEqual(all.toSorted());
  });

  it('keeps the checksum right through every value it can take', () => {
    const forwarder = makeForwarder();
    const [fields] = fc.sample(ipv4Fields, { numRuns: 1, seed: 1 });
    const [data] = fc.sample(payload, { numRuns: 1, seed: 1 });
    if (fields === undefined || data === undefined) throw new Error('no sample');
    // The identification walks the checksum through all of its values, the carries at 0xfeff to 0xffff among them.
    for (let identification = 0; identification < 0x10000; identification++) {
      const packet = encodeIpv4({ ...fields, ttl: 64, source: ipv4('10.5.3.4'), identification }, data);
      const expected = udpToTun(packet, new Set());
      const { output } = native.evaluate(forwarder, UDP_TO_TUN, packet);
      if (expected.verdict !== 'forward' || Buffer.compare(output, expected.packet) !== 0)
        throw new Error(`identification ${identification}: ${hex(output)}`);
    }
  });
});

describe('golden packets', () => {
  it.each(['flannel0-h1', 'flannel0-h2', 'underlay-h1'])('of %s are decided as by the oracle, both ways', (name) => {
    const file = new Uint8Array(readFileSync(new URL(`../golden/udp/${name}.pcap`, import.meta.url)));
    const forwarder = makeForwarder();
    const table = new RoutingTable();
    const hop: NextHop = { address: { family: 4, value: 0xac1f0002n }, port: 8285 };
    const peer: RouteChange = {
      kind: 'set',
      route: { destination: { family: 4, base: 0x0a052d00n, length: 24 }, nextHop: hop },
    };
    native.applyRoutes(forwarder, table.apply([peer]).map(toNative));
    for (const frame of readCapture(file)) {
      const packet = ipPacketOf(frame) ?? new Uint8Array(0);
      expect(nativeOutcome(forwarder, TUN_TO_UDP, packet)).toEqual(tunOracle(packet, table));
      expect(nativeOutcome(forwarder, UDP_TO_TUN, packet)).toEqual(udpOracle(packet, new Set()));
    }
  });
});
