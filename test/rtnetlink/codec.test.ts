import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseAddress, parsePrefix, sameAddress } from '../../src/ip/ip.ts';
import { decodeAddress, encodeDeleteAddress, encodeNewAddress } from '../../src/rtnetlink/address.ts';
import { decodeLink, encodeSetLink } from '../../src/rtnetlink/link.ts';
import {
  decodeAttributes,
  decodeMessage,
  encodeBytes,
  encodeMessage,
  encodeNested,
  encodeText,
  encodeU8,
  encodeU32,
  LITTLE_ENDIAN,
  type Message,
  NetlinkFormatError,
} from '../../src/rtnetlink/message.ts';
import { decodeRoute, encodeAddRoute, encodeDeleteRoute, encodeReplaceRoute } from '../../src/rtnetlink/route.ts';
import { addressSpec, route, u8, u32 } from './arbitraries.ts';

function bytes(hex: string): Uint8Array {
  return new Uint8Array(Buffer.from(hex.replaceAll(/\s/g, ''), 'hex'));
}

function hexOf(data: Uint8Array): string {
  return Buffer.from(data).toString('hex');
}

function defined<T>(value: T | undefined): T {
  if (value === undefined) throw new Error('undefined');
  return value;
}

describe('message', () => {
  it('round-trips type, flags and attributes of any size', () => {
    const attribute = fc.tuple(fc.integer({ min: 0, max: 0x3fff }), fc.uint8Array({ maxLength: 40 }));
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 0xffff }), fc.array(attribute, { maxLength: 8 }), (type, list) => {
        const encoded = encodeMessage(type, 0x600, [...list.map(([each, value]) => encodeBytes(each, value))]);
        expect(encoded.length % 4).toBe(0);
        const message = decodeMessage(encoded);
        expect(message.type).toBe(type);
        expect(message.flags).toBe(0x601);
        expect(decodeAttributes(message.body)).toEqual(new Map(list));
      }),
    );
  });

  it.runIf(LITTLE_ENDIAN)('has the layout of nlmsghdr and rtattr', () => {
    const encoded = encodeMessage(0x1a, 0x300, [bytes('02000000'), encodeBytes(1, bytes('0a050007 ff'))]);
    expect(hexOf(encoded)).toBe('200000001a000103' + '0000000000000000' + '02000000' + '090001000a050007ff000000');
  });

  it.each([
    ['no header', '0000'],
    ['length below the header', '0f000000 1000 0000 00000000 00000000'],
    ['length beyond the bytes', '14000000 1000 0000 00000000 00000000'],
    ['length of 4 GiB', 'ffffffff 1000 0000 00000000 00000000'],
  ])('refuses a message with %s', (_what, hex) => {
    expect(() => decodeMessage(bytes(hex))).toThrow(NetlinkFormatError);
  });

  it.each([
    ['attribute of length 0', '0000 0100'],
    ['attribute shorter than its header', '0300 0100'],
    ['attribute beyond the bytes', '0900 0100 01020304'],
    ['half an attribute header', '0400 0100 0500'],
  ])('refuses %s', (_what, hex) => {
    if (!LITTLE_ENDIAN) return;
    expect(() => decodeAttributes(bytes(hex))).toThrow(NetlinkFormatError);
  });

  it('takes the last attribute of a type, without its nesting bits', () => {
    const list = [encodeU32(0x8007, 1), encodeU32(0x4007, 2)];
    expect(decodeAttributes(new Uint8Array(list.flatMap((each) => [...each])))).toEqual(
      new Map([[7, encodeU32(7, 2).subarray(4)]]),
    );
  });

  it('refuses to encode what the length field cannot hold', () => {
    expect(() => encodeBytes(1, new Uint8Array(0x10000))).toThrow(RangeError);
  });
});

describe('address', () => {
  it('round-trips', () => {
    fc.assert(
      fc.property(addressSpec, (spec) => {
        const { peer, ...rest } = spec;
        const expected = peer === undefined || sameAddress(peer, spec.address) ? rest : spec;
        for (const encode of [encodeNewAddress, encodeDeleteAddress]) {
          expect(decodeAddress(decodeMessage(encode(spec)))).toEqual({
            ...expected,
            permanent: false,
            deprecated: false,
            temporary: false,
            secondary: false,
            tentative: false,
          });
        }
      }),
    );
  });

  const ifaddrmsg = (addressFamily: number, length: number, flags: number) =>
    new Uint8Array([addressFamily, length, flags, 0, 0, 0, 0, 0]);
  const message = (...parts: Uint8Array[]): Message => decodeMessage(encodeMessage(20, 0, parts));

  it('reads the flags from IFA_FLAGS, and from the header where a kernel sends no IFA_FLAGS', () => {
    const address = encodeBytes(1, bytes('0a000001'));
    expect(decodeAddress(message(ifaddrmsg(2, 8, 0x80 | 0x20), address))).toMatchObject({
      permanent: true,
      deprecated: true,
      secondary: false,
    });
    expect(decodeAddress(message(ifaddrmsg(2, 8, 0x80), address, encodeU32(8, 0x241)))).toMatchObject({
      permanent: false,
      secondary: true,
      temporary: false,
      tentative: true,
    });
    const address6 = encodeBytes(1, new Uint8Array(16));
    expect(decodeAddress(message(ifaddrmsg(10, 64, 0x01), address6))).toMatchObject({
      temporary: true,
      secondary: false,
    });
  });

  it('skips families it does not know, refuses what contradicts its family', () => {
    expect(decodeAddress(message(ifaddrmsg(45, 8, 0)))).toBeUndefined();
    expect(() => decodeAddress(message(ifaddrmsg(2, 33, 0), encodeBytes(1, bytes('0a000001'))))).toThrow(/malformed/);
    expect(() => decodeAddress(message(ifaddrmsg(2, 8, 0), encodeBytes(1, new Uint8Array(16))))).toThrow(/malformed/);
    expect(() => decodeAddress(message(ifaddrmsg(10, 64, 0)))).toThrow(/malformed/);
    expect(() => decodeAddress(message(new Uint8Array(4)))).toThrow(/malformed/);
  });
});

describe('route', () => {
  it('round-trips, multipath, foreign gateways and large tables included', () => {
    fc.assert(
      fc.property(route, (each) => {
        for (const encode of [encodeAddRoute, encodeReplaceRoute, encodeDeleteRoute]) {
          expect(decodeRoute(decodeMessage(encode(each)))).toEqual(each);
        }
      }),
    );
  });

  it('fills in what ip-route(8) fills in', () => {
    const destination = defined(parsePrefix('10.5.0.0/16'));
    expect(decodeRoute(decodeMessage(encodeAddRoute({ destination })))).toEqual({
      destination,
      table: 254,
      type: 1,
      scope: 0,
      protocol: 3,
      typeOfService: 0,
      priority: 0,
      nextHops: [],
    });
  });

  it('never sends the dead flag, which the kernel refuses', () => {
    const destination = defined(parsePrefix('10.5.0.0/16'));
    const nextHops = [{ index: 3, weight: 1, onlink: true, dead: true }];
    expect(decodeRoute(decodeMessage(encodeAddRoute({ destination, nextHops })))?.nextHops).toEqual([
      { index: 3, weight: 1, onlink: true, dead: false },
    ]);
  });

  const rtmsg = (addressFamily: number, length: number) =>
    new Uint8Array([addressFamily, length, 0, 0, 254, 3, 0, 1, 0, 0, 0, 0]);
  const message = (...parts: Uint8Array[]): Message => decodeMessage(encodeMessage(24, 0, parts));

  it.runIf(LITTLE_ENDIAN)('reads the state of next hops', () => {
    const hops = bytes('0800 01 02 07000000' + '1000 04 00 08000000 0800 0500 0a000001');
    expect(decodeRoute(message(rtmsg(2, 0), encodeBytes(9, hops)))?.nextHops).toEqual([
      { index: 7, weight: 3, onlink: false, dead: true },
      { index: 8, weight: 1, onlink: true, dead: false, gateway: parseAddress('10.0.0.1') },
    ]);
  });

  it.each([
    ['a next hop shorter than its header', '0700 00 00 07000000'],
    ['a next hop beyond the bytes', '0900 00 00 07000000'],
    ['half a next hop', '0800 00 00'],
    ['an attribute that leads out of its next hop', '0c00 00 00 07000000 0800 0500'],
  ])('refuses %s', (_what, hex) => {
    if (!LITTLE_ENDIAN) return;
    expect(() => decodeRoute(message(rtmsg(2, 0), encodeBytes(9, bytes(hex))))).toThrow(NetlinkFormatError);
  });

  it('skips other families and refuses impossible values', () => {
    expect(decodeRoute(message(rtmsg(28, 20)))).toBeUndefined();
    expect(() => decodeRoute(message(rtmsg(2, 33)))).toThrow(NetlinkFormatError);
    expect(() => decodeRoute(message(rtmsg(2, 8), encodeBytes(18, bytes('0a00 0102'))))).toThrow(NetlinkFormatError);
    expect(() => decodeRoute(message(rtmsg(2, 8), encodeBytes(4, bytes('01'))))).toThrow(NetlinkFormatError);
  });
});

describe('link', () => {
  const ifinfomsg = (index: number, flags: number) => {
    const header = new Uint8Array(16);
    const view = new DataView(header.buffer);
    view.setInt32(4, index, LITTLE_ENDIAN);
    view.setUint32(8, flags, LITTLE_ENDIAN);
    return header;
  };
  const message = (...parts: Uint8Array[]): Message => decodeMessage(encodeMessage(16, 0, parts));

  it('round-trips what a request can set', () => {
    const change = { index: 5, mtuBytes: 1472, txQueueLength: 500, up: true, alias: 'flannel0 überlay' };
    const request = decodeMessage(encodeSetLink(change));
    const link = decodeLink({
      ...request,
      body: new Uint8Array([...request.body, ...encodeText(3, 'flannel0'), 0, 0, 0]),
    });
    expect(link).toMatchObject({ ...change, name: 'flannel0' });
  });

  it('touches the up flag only where it is told to', () => {
    const flagsAndMask = (request: Uint8Array) => hexOf(request.subarray(16 + 8, 16 + 16));
    const one = LITTLE_ENDIAN ? '01000000' : '00000001';
    expect(flagsAndMask(encodeSetLink({ index: 1, mtuBytes: 1 }))).toBe('0000000000000000');
    expect(flagsAndMask(encodeSetLink({ index: 1, up: true }))).toBe(one + one);
    expect(flagsAndMask(encodeSetLink({ index: 1, up: false }))).toBe(`00000000${one}`);
  });

  it('refuses an alias that the kernel would cut', () => {
    expect(() => encodeSetLink({ index: 1, alias: 'ä'.repeat(128) })).toThrow(RangeError);
  });

  it('reads the tun driver data', () => {
    fc.assert(
      fc.property(fc.boolean(), fc.boolean(), fc.option(u32), (persistent, multiQueue, queues) => {
        const data = [encodeU8(3, 1), encodeU8(6, persistent ? 1 : 0), encodeU8(7, multiQueue ? 1 : 0)];
        if (queues !== null) data.push(encodeU32(8, queues));
        const info = encodeNested(18, [encodeText(1, 'tun'), encodeNested(2, data)]);
        expect(decodeLink(message(ifinfomsg(3, 0x10001), encodeText(3, 'x'), info))).toMatchObject({
          up: true,
          lowerUp: true,
          loopback: false,
          tun: {
            type: 'tun',
            packetInfo: false,
            vnetHeader: false,
            persistent,
            multiQueue,
            ...(queues !== null && { queues }),
          },
        });
      }),
    );
  });

  it('refuses a link without a name', () => {
    expect(() => decodeLink(message(ifinfomsg(3, 0)))).toThrow(NetlinkFormatError);
  });
});

describe('whatever the bytes', () => {
  const decodeAll = (data: Uint8Array): void => {
    for (const decode of [decodeLink, decodeAddress, decodeRoute]) {
      try {
        decode(decodeMessage(data));
      } catch (error) {
        if (!(error instanceof NetlinkFormatError) || error.code !== 'EBADMSG') throw error;
      }
    }
  };

  it('decoding noise gives a value or the coded error', () => {
    const body = fc.uint8Array({ maxLength: 120 }).map((noise) => encodeMessage(24, 0, [noise]));
    fc.assert(fc.property(fc.oneof(fc.uint8Array({ maxLength: 120 }), body), decodeAll), { numRuns: 2000 });
  });

  it('decoding a damaged message gives a value or the coded error', () => {
    const sound = fc.oneof(
      route.map(encodeAddRoute),
      addressSpec.map(encodeNewAddress),
      fc.constant(
        encodeMessage(16, 0, [
          new Uint8Array(16),
          encodeText(3, 'flannel0'),
          encodeU32(4, 1472),
          encodeNested(18, [encodeText(1, 'tun'), encodeNested(2, [encodeU8(3, 1), encodeU32(8, 2)])]),
          encodeNested(26, [encodeNested(2, [encodeBytes(1, new Uint8Array(132))])]),
        ]),
      ),
    );
    const damage = fc.array(fc.tuple(fc.nat(400), u8), { minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(sound, damage, fc.nat(12), (message, changes, cut) => {
        const data = message.slice(0, message.length - cut);
        for (const [position, value] of changes) data[position % data.length] = value;
        decodeAll(data);
      }),
      { numRuns: 3000 },
    );
  });

  it('never looks beyond the view it was given', () => {
    fc.assert(
      fc.property(route, fc.uint8Array({ minLength: 8, maxLength: 8 }), (each, noise) => {
        const message = encodeAddRoute(each);
        const framed = new Uint8Array([...noise, ...message, ...noise]);
        expect(decodeRoute(decodeMessage(framed.subarray(8, 8 + message.length)))).toEqual(each);
      }),
    );
  });
});
