/**
 * fast-check generators of IPv4 packets: sound ones, sound ones with a few bytes changed, and plain noise. They stay
 * small where nothing depends on size, and lean towards the values where the code decides: TTL 0, 1 and 2, fragments,
 * options, addresses that no host may have.
 */
import fc from 'fast-check';
import { encodeIpv4, type Ipv4Fields, PROTOCOL } from '../../src/encap/ipv4-header.ts';

/** Dotted decimal to the unsigned 32-bit number, for readable tests. */
export function ipv4(text: string): number {
  const octets = text.split('.').map(Number);
  if (octets.length !== 4 || octets.some((octet) => !(octet >= 0 && octet <= 255))) throw new Error(text);
  return octets.reduce((value, octet) => value * 256 + octet, 0);
}

export function hexBytes(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text.replaceAll(/\s/g, ''), 'hex'));
}

const SPECIAL_ADDRESSES = [
  '0.0.0.0',
  '0.0.0.1',
  '127.0.0.1',
  '224.0.0.1',
  '239.255.255.255',
  '240.0.0.1',
  '255.255.255.255',
];

export const specialAddress: fc.Arbitrary<number> = fc.constantFrom(...SPECIAL_ADDRESSES.map(ipv4));

/** Few networks, so that random routes and random packets meet. */
export const overlayAddress: fc.Arbitrary<number> = fc
  .tuple(fc.integer({ min: 0, max: 7 }), fc.constantFrom(0, 1, 2, 127, 128, 254, 255))
  .map(([subnet, host]) => ipv4('10.5.0.0') + subnet * 256 + host);

export const anyAddress: fc.Arbitrary<number> = fc.oneof(
  { weight: 6, arbitrary: overlayAddress },
  { weight: 1, arbitrary: specialAddress },
  { weight: 1, arbitrary: fc.integer({ min: 0, max: 0xffffffff }) },
);

const ttl = fc.oneof(fc.constantFrom(0, 1, 2, 64, 255), fc.integer({ min: 2, max: 255 }));
const protocol = fc.oneof(
  fc.constantFrom<number>(PROTOCOL.icmp, PROTOCOL.tcp, PROTOCOL.udp),
  fc.integer({ min: 0, max: 255 }),
);
const options = fc
  .integer({ min: 0, max: 10 })
  .chain((words) => fc.uint8Array({ minLength: words * 4, maxLength: words * 4 }));
const fragmentOffsetBytes = fc.oneof(
  { weight: 4, arbitrary: fc.constant(0) },
  { weight: 1, arbitrary: fc.integer({ min: 1, max: 0x1fff }).map((units) => units * 8) },
);

export const ipv4Fields: fc.Arbitrary<Ipv4Fields> = fc.record({
  tos: fc.integer({ min: 0, max: 255 }),
  identification: fc.integer({ min: 0, max: 0xffff }),
  reservedFlag: fc.oneof({ weight: 9, arbitrary: fc.constant(false) }, { weight: 1, arbitrary: fc.constant(true) }),
  dontFragment: fc.boolean(),
  moreFragments: fc.boolean(),
  fragmentOffsetBytes,
  ttl,
  protocol,
  source: anyAddress,
  destination: anyAddress,
  options: fc.oneof({ weight: 2, arbitrary: fc.constant(new Uint8Array(0)) }, { weight: 1, arbitrary: options }),
});

/** 0 bytes and around the 8 that an ICMP error quotes are frequent; the first byte is often an ICMP type. */
export const payload: fc.Arbitrary<Uint8Array> = fc.oneof(
  fc.uint8Array({ maxLength: 12 }),
  fc.uint8Array({ maxLength: 200 }),
  fc
    .tuple(fc.constantFrom(0, 3, 4, 5, 8, 11, 12, 13), fc.uint8Array({ maxLength: 20 }))
    .map(([type, rest]) => Uint8Array.of(type, ...rest)),
);

/** A packet whose every field is right. */
export const soundPacket: fc.Arbitrary<Uint8Array> = fc
  .tuple(ipv4Fields, payload)
  .map(([fields, data]) => encodeIpv4(fields, data));

type Mutation =
  | { readonly kind: 'flip'; readonly at: number; readonly mask: number }
  | { readonly kind: 'set'; readonly at: number; readonly value: number }
  | { readonly kind: 'cut'; readonly keep: number }
  | { readonly kind: 'append'; readonly bytes: Uint8Array };

const headerByte = fc.integer({ min: 0, max: 23 });
const mutation: fc.Arbitrary<Mutation> = fc.oneof(
  fc.record({ kind: fc.constant('flip' as const), at: headerByte, mask: fc.integer({ min: 1, max: 255 }) }),
  fc.record({ kind: fc.constant('set' as const), at: headerByte, value: fc.integer({ min: 0, max: 255 }) }),
  fc.record({ kind: fc.constant('cut' as const), keep: fc.integer({ min: 0, max: 90 }) }),
  fc.record({ kind: fc.constant('append' as const), bytes: fc.uint8Array({ minLength: 1, maxLength: 30 }) }),
);

function mutate(packet: Uint8Array, change: Mutation): Uint8Array {
  if (change.kind === 'cut') return packet.slice(0, change.keep);
  if (change.kind === 'append') return Uint8Array.of(...packet, ...change.bytes);
  const copy = packet.slice();
  const old = copy[change.at];
  if (old !== undefined) copy[change.at] = change.kind === 'set' ? change.value : old ^ change.mask;
  return copy;
}

/** A sound packet with one to three changes: mostly in the header, or cut short, or with bytes appended. */
export const mutatedPacket: fc.Arbitrary<Uint8Array> = fc
  .tuple(soundPacket, fc.array(mutation, { minLength: 1, maxLength: 3 }))
  .map(([packet, changes]) => changes.reduce(mutate, packet));

/** Noise, half of it with a first byte that promises IPv4. */
export const randomBytes: fc.Arbitrary<Uint8Array> = fc.oneof(
  fc.uint8Array({ maxLength: 80 }),
  fc
    .tuple(fc.integer({ min: 0x40, max: 0x4f }), fc.uint8Array({ maxLength: 80 }))
    .map(([first, rest]) => Uint8Array.of(first, ...rest)),
);

/** Everything that may come out of a TUN or a socket. */
export const anyPacket: fc.Arbitrary<Uint8Array> = fc.oneof(
  { weight: 4, arbitrary: soundPacket },
  { weight: 4, arbitrary: mutatedPacket },
  { weight: 1, arbitrary: randomBytes },
);
