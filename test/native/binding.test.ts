/** The boundary alone: what each native function refuses, and that refusing is all it does. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { ForwarderHandle, ForwarderOptions, NativeAddon, NetlinkMonitorHandle } from '../../src/native/addon.ts';
import { loadNative } from '../../src/native/load.ts';

const native = loadNative();
/** As JavaScript would call it. */
const untyped = native as unknown as Record<keyof NativeAddon, (...values: unknown[]) => unknown>;

const LOOPBACK = new Uint8Array([127, 0, 0, 1]);
const NO_FD = 1_000_000;

const udpOptions = {
  address: LOOPBACK,
  port: 0,
  reusePort: false,
  receiveBufferBytes: 65_536,
  sendBufferBytes: 65_536,
  segmentation: true,
  coalescing: true,
};
const tunOffloads = { vnetHeader: false, checksum: false, tcp: false, udp: false };
const tunOptions = { name: 'fl0-none', exclusive: true, multiQueue: false, offloads: tunOffloads };
const forwarderOptions: ForwarderOptions = {
  tunFds: [],
  udpFds: [],
  tunOffloads,
  udpSegmentation: true,
  udpCoalescing: true,
  pollMicroseconds: 0,
  deviceAddress: LOOPBACK,
  onEvent: () => {},
};
const route = { destination: new Uint8Array([10, 5, 1, 0]), length: 24, nextHop: LOOPBACK, port: 8285 };

const makeForwarder = (): ForwarderHandle => native.createForwarder(forwarderOptions);

function makeMonitor(): NetlinkMonitorHandle {
  const monitor = native.startNetlinkMonitor(0, () => {});
  native.stopNetlinkMonitor(monitor);
  return monitor;
}

const forwarder = makeForwarder();
const monitor = makeMonitor();
const detached = new Uint8Array(4);
structuredClone(detached.buffer, { transfer: [detached.buffer] });

/** A length that takes no memory in JavaScript and 16 GiB where it is believed. */
const endless: unknown[] = [];
endless.length = 2 ** 32 - 1;

/** Values of every kind; each function below takes none of them in any place. */
const WRONG: readonly unknown[] = [
  undefined,
  null,
  Number.NaN,
  Number.POSITIVE_INFINITY,
  -1.5,
  2 ** 31,
  -(2 ** 31) - 1,
  1n,
  Symbol('wrong'),
  new Date(0),
  new Uint16Array(4),
  new Uint8Array(5),
  new DataView(new ArrayBuffer(4)),
  new ArrayBuffer(4),
  endless,
  [undefined],
  [null],
  [[]],
  [1n],
  [new Uint8Array(3)],
  { length: 4 },
  new Proxy({}, {}),
  new Proxy([], {}),
  Object.create(null),
  makeMonitor,
  detached,
];

type Arguments = readonly unknown[];
const replaced = (values: Arguments, at: number, value: unknown): Arguments =>
  values.map((old, index) => (index === at ? value : old));
const withProperty = (object: object, key: string, value: unknown) => ({ ...object, [key]: value });

/** Right arguments of each function that takes any. */
const CALLS: readonly { readonly name: keyof NativeAddon; readonly right: Arguments }[] = [
  { name: 'openTunQueue', right: [tunOptions] },
  { name: 'openUdpSocket', right: [udpOptions] },
  { name: 'closeFd', right: [NO_FD] },
  { name: 'acquireLock', right: ['flannel0-binding-test'] },
  { name: 'netlinkRequest', right: [0, new Uint8Array(3)] },
  { name: 'stopNetlinkMonitor', right: [monitor] },
  { name: 'createForwarder', right: [forwarderOptions] },
  { name: 'startForwarder', right: [forwarder] },
  { name: 'stopForwarder', right: [forwarder] },
  { name: 'applyRoutes', right: [forwarder, [route]] },
  { name: 'setLocalAddresses', right: [forwarder, [LOOPBACK]] },
  { name: 'forwarderCounters', right: [forwarder] },
  { name: 'forwarderUsesSegmentation', right: [forwarder] },
  { name: 'evaluate', right: [forwarder, 0, new Uint8Array(20)] },
  { name: 'startNetlinkMonitor', right: [0, () => {}] },
  { name: 'sdNotify', right: ['@flannel0-binding-test', 'READY=1'] },
];

/** Wrong in general, right here: bytes of any length, any function. */
function isFine(name: keyof NativeAddon, at: number, value: unknown): boolean {
  if ((name === 'netlinkRequest' && at === 1) || (name === 'evaluate' && at === 2)) return value instanceof Uint8Array;
  return name === 'startNetlinkMonitor' && at === 1 && typeof value === 'function';
}

describe('wrong arguments', () => {
  it.each(CALLS)('of $name are a TypeError in every place', ({ name, right }) => {
    for (let at = 0; at < right.length; at++) {
      for (const value of [...WRONG, 'text\0with NUL', monitor === right[at] ? forwarder : monitor]) {
        if (isFine(name, at, value)) continue;
        expect(() => untyped[name](...replaced(right, at, value)), `${name}, argument ${at}`).toThrow(TypeError);
      }
      expect(() => untyped[name](...right.slice(0, at)), `${name}, ${at} arguments`).toThrow(TypeError);
    }
  });

  it.each([
    ['openTunQueue', [], tunOptions],
    ['openUdpSocket', [], udpOptions],
    ['createForwarder', [], forwarderOptions],
  ] as const)('of %s are a TypeError in every property', (name, before, options) => {
    for (const key of Object.keys(options)) {
      for (const value of [...WRONG, 'text\0with NUL']) {
        if (key === 'onEvent' && typeof value === 'function') continue;
        const wrong = withProperty(options, key, value);
        expect(() => untyped[name](...before, wrong), `${name}: ${key}`).toThrow(TypeError);
      }
    }
  });

  it.each([
    ['destination', undefined],
    ['destination', new Uint8Array(16)],
    ['destination', new Uint8Array([10, 5, 1, 1])],
    ['length', -1],
    ['length', 33],
    ['length', 23],
    ['length', undefined],
    ['nextHop', null],
    ['nextHop', new Uint8Array(5)],
    ['nextHop', new Uint8Array(0)],
    ['port', undefined],
    ['port', 0],
    ['port', 65_536],
  ])('a route whose %s is %o is refused, and with it the whole batch', (key, value) => {
    const fresh = makeForwarder();
    const good = { ...route, destination: new Uint8Array([10, 6, 1, 0]) };
    expect(() => untyped.applyRoutes(fresh, [good, withProperty(route, key, value)])).toThrow(TypeError);
    const packet = new Uint8Array([0x45, 0, 0, 20, 0, 0, 0, 0, 64, 17, 0, 0, 10, 6, 1, 1, 10, 6, 1, 1]);
    expect(native.evaluate(fresh, 0, packet).nextHop).toBeUndefined();
  });

  it('any values at all end in an Error or a result', () => {
    // Calls that would do something with a value that happens to be right.
    const harmless = CALLS.filter(
      ({ name }) => name !== 'closeFd' && name !== 'openTunQueue' && name !== 'acquireLock',
    );
    fc.assert(
      fc.property(fc.constantFrom(...harmless), fc.array(fc.anything(), { maxLength: 4 }), ({ name }, values) => {
        try {
          untyped[name](...values);
        } catch (error) {
          expect(error).toBeInstanceOf(Error);
        }
      }),
      { numRuns: 2000 },
    );
  });
});

describe('getters', () => {
  it('that throw are heard', () => {
    const evil = {
      get tunFds(): never {
        throw new RangeError('from the getter');
      },
    };
    expect(() => untyped.createForwarder(evil)).toThrow(new RangeError('from the getter'));
  });

  it('that detach bytes which were read before cannot make them be used', () => {
    const address = new Uint8Array(LOOPBACK);
    const evil = {
      ...udpOptions,
      address,
      get sendBufferBytes() {
        structuredClone(address.buffer, { transfer: [address.buffer] });
        return 65_536;
      },
    };
    expect(() => native.openUdpSocket(evil)).toThrow(TypeError);
  });

  it('that use the same forwarder meanwhile change nothing of the call', () => {
    const own = makeForwarder();
    const evil = {
      ...route,
      get length() {
        native.applyRoutes(own, [{ destination: new Uint8Array(4), length: 0, nextHop: LOOPBACK, port: 1 }]);
        native.stopForwarder(own);
        return 24;
      },
    };
    native.applyRoutes(own, [evil, { destination: new Uint8Array(4), length: 0 }]);
    const packet = new Uint8Array([0x45, 0, 0, 20, 0, 0, 0, 0, 64, 17, 0, 0, 10, 6, 1, 1, 10, 5, 1, 9]);
    expect(native.evaluate(own, 0, packet).port).toBe(8285);
    packet[17] = 9;
    expect(native.evaluate(own, 0, packet).nextHop).toBeUndefined();
  });
});

describe('life of a forwarder', () => {
  function withSockets<T>(use: (fds: { tunFds: number[]; udpFds: number[][] }) => T): T {
    const tunFds = [native.openUdpSocket(udpOptions).fd];
    const udpFds = [[native.openUdpSocket(udpOptions).fd]];
    try {
      return use({ tunFds, udpFds });
    } finally {
      for (const fd of [...tunFds, ...udpFds.flat()]) native.closeFd(fd);
    }
  }

  it('stops twice, starts once, and may be started again and changed at any time', () => {
    withSockets((fds) => {
      const own = native.createForwarder({ ...forwarderOptions, ...fds });
      native.stopForwarder(own);
      native.startForwarder(own);
      expect(() => native.startForwarder(own)).toThrow(expect.objectContaining({ code: 'EALREADY' }));
      native.applyRoutes(own, [route]);
      native.stopForwarder(own);
      native.stopForwarder(own);
      native.applyRoutes(own, [route]);
      native.setLocalAddresses(own, [LOOPBACK, LOOPBACK]);
      native.setLocalAddresses(own, []);
      native.startForwarder(own);
      expect(native.forwarderCounters(own)).toEqual(native.forwarderCounters(own));
      native.stopForwarder(own);
    });
  });

  it('tells of descriptors that are closed, and stops all the same', async () => {
    const events: unknown[] = [];
    const own = native.createForwarder({
      ...forwarderOptions,
      tunFds: [NO_FD],
      udpFds: [[NO_FD]],
      onEvent: (event) => events.push(event),
    });
    native.startForwarder(own);
    await expect.poll(() => events).toHaveLength(1);
    expect(events).toEqual([expect.objectContaining({ kind: 'worker-stopped', worker: 0, code: 'EBADF' })]);
    native.stopForwarder(own);
  });

  it('refuses more workers than a TUN device has queues', () => {
    const fds = Array.from({ length: 257 }, () => NO_FD);
    expect(() => native.createForwarder({ ...forwarderOptions, tunFds: fds, udpFds: fds.map((fd) => [fd]) })).toThrow(
      TypeError,
    );
    expect(() => native.createForwarder({ ...forwarderOptions, tunFds: [NO_FD] })).toThrow(TypeError);
  });
});

describe('system calls that fail', () => {
  it('name the call and the errno', () => {
    expect(() => native.closeFd(NO_FD)).toThrow(
      expect.objectContaining({ code: 'EBADF', errno: 9, syscall: 'close', message: expect.stringContaining('EBADF') }),
    );
    const long = { ...tunOptions, name: 'a-name-of-16-byt' };
    expect(() => native.openTunQueue(long)).toThrow(expect.objectContaining({ code: 'EINVAL', syscall: 'TUNSETIFF' }));
    expect(() => native.netlinkRequest(0, new Uint8Array(15))).toThrow(expect.objectContaining({ code: 'EINVAL' }));
    const nobody = '@flannel0-nobody-listens';
    expect(() => native.sdNotify(nobody, 'X=1')).toThrow(expect.objectContaining({ code: 'ECONNREFUSED' }));
    expect(() => native.sdNotify(`/${'x'.repeat(107)}`, 'X=1')).toThrow(expect.objectContaining({ code: 'EINVAL' }));
  });

  it('acquireLock names its holder, and takes names of 1 to 107 bytes', () => {
    const name = `flannel0-binding-${process.pid}-`.padEnd(107, 'x');
    const fd = native.acquireLock(name);
    const taken = expect.objectContaining({ code: 'EADDRINUSE', holderPid: process.pid });
    expect(() => native.acquireLock(name)).toThrow(taken);
    native.closeFd(fd);
    native.closeFd(native.acquireLock(name));
    for (const wrong of ['', `${name}x`]) {
      expect(() => native.acquireLock(wrong)).toThrow(expect.objectContaining({ code: 'EINVAL' }));
    }
  });
});
