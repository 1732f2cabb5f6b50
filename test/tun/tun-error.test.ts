/** The shell with a scripted addon and kernel: what goes wrong, in words, and what is left behind. */
import { describe, expect, it } from 'vitest';
import { OperatorError } from '../../src/errors/errors.ts';
import { type Logger, silentLogger } from '../../src/log/log.ts';
import type { TunQueueOptions } from '../../src/native/addon.ts';
import type { Link, LinkChange, Rtnetlink } from '../../src/rtnetlink/rtnetlink.ts';
import { TUN_ALIAS, type TunDesiredState } from '../../src/tun/tun.ts';
import { openTun } from '../../src/tun/tun-device.ts';
import { FRESH, DESIRED as ONE_QUEUE } from './device.ts';

const DESIRED: TunDesiredState = { ...ONE_QUEUE, queues: 2 };
/** Without what only a tun device has. */
const { tun: _tun, ...LINK } = FRESH;

function errno(code: string): Error {
  return Object.assign(new Error(`scripted: ${code}`), { code });
}

/** `opens[i]` is the errno that open number i answers; the rest succeed. */
function host(script: { opens?: (string | undefined)[]; link?: Link; kernel?: Partial<Rtnetlink> } = {}) {
  const opened: TunQueueOptions[] = [];
  const open = new Set<number>();
  let device: Link | undefined = script.link ?? LINK;
  const deleted: number[] = [];
  const rtnetlink: Rtnetlink = {
    links: () => (device === undefined ? [] : [device]),
    addresses: () => [],
    routes: () => [],
    routeTo: () => undefined,
    setLink() {},
    deleteLink(index) {
      deleted.push(index);
      device = LINK;
    },
    addAddress() {},
    deleteAddress() {},
    addRoute() {},
    replaceRoute() {},
    deleteRoute() {},
    ...script.kernel,
  };
  const native = {
    openTunQueue(options: TunQueueOptions) {
      const code = script.opens?.[opened.length];
      opened.push(options);
      if (code !== undefined) throw errno(code);
      open.add(100 + opened.length);
      return { fd: 100 + opened.length, offloads: options.offloads };
    },
    closeFd(fd: number) {
      if (!open.delete(fd)) throw new Error(`fd ${fd} closed twice`);
    },
  };
  const start = (desired: Partial<TunDesiredState> = {}, logger: Logger = silentLogger) =>
    openTun(native, rtnetlink, { ...DESIRED, ...desired }, logger, () => {});
  const failure = (desired: Partial<TunDesiredState> = {}): OperatorError => {
    try {
      start(desired);
    } catch (error) {
      if (error instanceof OperatorError) return error;
      throw error;
    }
    throw new Error('it opened');
  };
  return { opened, open, deleted, start, failure };
}

describe('opening', () => {
  it('opens the first queue exclusively and the rest beside it', () => {
    const { opened, open, start } = host();
    const device = start({ queues: 3 });
    expect(opened.map((each) => each.exclusive)).toEqual([true, false, false]);
    expect(opened.every((each) => each.multiQueue && each.name === 'flannel0')).toBe(true);
    expect([...open]).toEqual([...device.fds]);
  });

  it('makes a plain device for one queue', () => {
    const { opened, start } = host();
    start({ queues: 1 });
    expect(opened).toEqual([{ name: 'flannel0', exclusive: true, multiQueue: false, offloads: DESIRED.offloads }]);
  });

  it.each([
    ['EPERM', 'privileges', 'CAP_NET_ADMIN'],
    ['EACCES', 'privileges', 'CAP_NET_ADMIN'],
    ['ENOENT', 'host', '--device=/dev/net/tun'],
    ['ENODEV', 'host', 'modprobe tun'],
    ['ENXIO', 'host', 'mknod'],
    ['EMFILE', 'host', 'EMFILE'],
  ])('answers %s with one line and exit "%s"', (code, exit, text) => {
    const { failure } = host({ opens: [code] });
    const error = failure();
    expect(error.exit).toBe(exit);
    expect(error.message).toContain(text);
    expect(error.message).not.toContain('\n');
  });

  it('closes the first queues where a later one fails', () => {
    const { open, failure } = host({ opens: [undefined, undefined, 'EMFILE'] });
    expect(failure({ queues: 4 }).exit).toBe('host');
    expect(open.size).toBe(0);
  });

  it('refuses a bad name before it opens anything', () => {
    const { opened, failure } = host();
    expect(failure({ name: 'a/b' }).exit).toBe('usage');
    expect(opened).toEqual([]);
  });
});

describe('a device of our name', () => {
  const tun = { type: 'tun', packetInfo: false, vnetHeader: false, persistent: true, multiQueue: true } as const;
  const leftover: Link = { ...LINK, index: 5, alias: TUN_ALIAS, lowerUp: false, tun: { ...tun, queues: 0 } };

  it('is taken over where it is our leftover, and deleted at the end', () => {
    const { opened, open, deleted, start } = host({ opens: ['EBUSY'], link: leftover });
    const device = start();
    expect(opened.map((each) => each.exclusive)).toEqual([true, false, false]);
    expect(deleted).toEqual([]);
    device.close();
    device.close();
    expect(deleted).toEqual([5]);
    expect(open.size).toBe(0);
  });

  it('is made anew where it is our leftover with another queue mode', () => {
    const { opened, deleted, start } = host({ opens: ['EBUSY'], link: leftover });
    start({ queues: 1 });
    expect(deleted).toEqual([5]);
    expect(opened.map((each) => each.exclusive)).toEqual([true, true]);
  });

  it('is refused where somebody else is faster at the second open', () => {
    expect(host({ opens: ['EBUSY', 'EBUSY'], link: leftover }).failure().exit).toBe('busy');
  });

  it('is refused where it is not ours; nothing is opened or deleted', () => {
    const { open, deleted, failure } = host({ opens: ['EBUSY'], link: { ...LINK, kind: 'bridge' } });
    const error = failure();
    expect(error.exit).toBe('busy');
    expect(error.message).toContain('device flannel0 exists and is a device of kind bridge');
    expect(open.size + deleted.length).toBe(0);
  });
});

describe('a step that fails', () => {
  const failing = (kernel: Partial<Rtnetlink>) => host({ kernel });
  const refuse = (code: string) => () => {
    throw errno(code);
  };

  it('leaves no descriptor open and says which step it was', () => {
    const { open, failure } = failing({ addAddress: refuse('EINVAL') });
    const error = failure();
    expect(error.exit).toBe('host');
    expect(error.message).toBe('cannot add address 10.5.21.0/32 on device flannel0: scripted: EINVAL');
    expect(open.size).toBe(0);
  });

  it('names missing privileges', () => {
    expect(failing({ addRoute: refuse('EPERM') }).failure()).toMatchObject({ exit: 'privileges' });
  });

  it('warns where accept_local cannot be set, and goes on', () => {
    const warnings: object[] = [];
    const setLink = (change: LinkChange) => {
      if (change.acceptLocal) throw errno('EOPNOTSUPP');
    };
    const logger = { ...silentLogger, warn: (fields: object) => void warnings.push(fields) };
    expect(failing({ setLink }).start({}, logger).index).toBe(7);
    expect(warnings).toEqual([{ device: 'flannel0', cause: 'scripted: EOPNOTSUPP' }]);
  });

  it('takes a route that appeared in between for a conflict', () => {
    const error = failing({ addRoute: refuse('EEXIST') }).failure();
    expect(error.exit).toBe('host');
    expect(error.message).toContain('10.5.0.0/16');
  });

  it('does not mind an address that appeared in between', () => {
    expect(failing({ addAddress: refuse('EEXIST') }).start().index).toBe(7);
  });

  it('cannot be repaired after close', () => {
    const device = host().start();
    device.close();
    expect(() => device.repair()).toThrow(OperatorError);
  });
});
