/**
 * One stage of the addon's life in a process of its own: `node --expose-gc life-child.mjs ADDON STAGE`. Plain
 * JavaScript, so that any Node runs it, in a worker thread as well. Prints one line of JSON; life.test.ts judges it and
 * how the process ends.
 */
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';

const SELF = fileURLToPath(import.meta.url);
const [addonPath, stage] = isMainThread ? process.argv.slice(2) : [workerData.addonPath, 'in-worker'];
const native = createRequire(import.meta.url)(addonPath);

const LOOPBACK = new Uint8Array([127, 0, 0, 1]);
const NO_FD = 1_000_000;
const IPV4_ADDRESSES = 0x10;

const SOCKET_OPTIONS = {
  receiveBufferBytes: 1 << 16,
  sendBufferBytes: 1 << 16,
  segmentation: true,
  coalescing: true,
};
const PATH_OPTIONS = {
  tunOffloads: { vnetHeader: false, checksum: false, tcp: false, udp: false },
  udpSegmentation: true,
  udpCoalescing: true,
  pollMicroseconds: 0,
  deviceAddress: LOOPBACK,
};
const openSocket = () => native.openUdpSocket({ address: LOOPBACK, port: 0, reusePort: false, ...SOCKET_OPTIONS }).fd;

/** Sockets stand for the TUN queues: they wait for packets as well, and none comes. */
function create(workers = 2) {
  const sockets = () => Array.from({ length: workers }, openSocket);
  const udpFds = sockets().map((fd) => [fd]);
  return native.createForwarder({ ...PATH_OPTIONS, tunFds: sockets(), udpFds, onEvent: say });
}

/** A thread gives itself its name some time after it was made; the bound only turns a defect into a failure. */
function untilNamed(count) {
  for (let i = 0; i < 100_000 && threads().length < count; i++);
}

function started(workers = 2) {
  const forwarder = create(workers);
  native.startForwarder(forwarder);
  untilNamed(workers);
  return forwarder;
}

/** Its workers meet EBADF at once. */
const createBroken = (onEvent) =>
  native.createForwarder({ ...PATH_OPTIONS, tunFds: [NO_FD], udpFds: [[NO_FD]], onEvent });

function threads() {
  const names = readdirSync('/proc/self/task').map((task) => {
    try {
      return readFileSync(`/proc/self/task/${task}/comm`, 'utf8').trim();
    } catch {
      return '';
    }
  });
  return names.filter((name) => name.startsWith('fl0-')).sort();
}

const say = (value) => process.stdout.write(`${JSON.stringify(value)}\n`);
const turn = () => new Promise((resolve) => setTimeout(resolve, 1));

/** Collects garbage until `condition` holds; the limit only turns a defect into a failure. */
async function collectUntil(condition) {
  for (let i = 0; i < 2000 && !condition(); i++) {
    globalThis.gc();
    await turn();
  }
}

async function waitUntil(condition) {
  for (let i = 0; i < 5000 && !condition(); i++) await turn();
}

const changeAddress = (verb, address) => execFileSync('ip', ['address', verb, `${address}/32`, 'dev', 'lo']);

/** The listener's thread stands still while far more notifications come than may wait for it. */
function floodAddresses(count) {
  const lines = Array.from({ length: count }, (_, n) => `address add 127.1.${n >> 8}.${n & 255}/32 dev lo\n`);
  execFileSync('ip', ['-batch', '-'], { input: lines.join('') });
}

function catchUncaught() {
  const caught = [];
  process.on('uncaughtException', (error) => caught.push(error.message));
  return caught;
}

/** What must stay reachable until the process ends. */
const kept = [];

const stages = {
  'exit after create': () => {
    kept.push(create());
    process.exit(7);
  },
  'exit while running': () => {
    kept.push(started());
    process.exit(7);
  },
  'exit while running, counters in view': () => {
    const forwarder = started();
    kept.push(forwarder, native.forwarderCounters(forwarder));
    process.exit(7);
  },
  'exit after stop': () => {
    const forwarder = started();
    kept.push(forwarder);
    native.stopForwarder(forwarder);
    process.exit(7);
  },
  'exit while an event waits': async () => {
    const forwarder = createBroken(() => say('too late'));
    kept.push(forwarder);
    native.startForwarder(forwarder);
    const spare = Array.from({ length: 100 }, () => threads());
    process.exit(spare.length === 100 ? 7 : 8);
  },
  'exit while a monitor runs': () => {
    kept.push(native.startNetlinkMonitor(IPV4_ADDRESSES, () => {}));
    process.exit(7);
  },
  'nothing keeps the process alive': () => {
    kept.push(
      started(),
      native.startNetlinkMonitor(IPV4_ADDRESSES, () => {}),
    );
    untilNamed(3);
    say(threads());
  },
  'the collector ends what was forgotten': async () => {
    (() => {
      started();
      native.startNetlinkMonitor(IPV4_ADDRESSES, () => {});
      untilNamed(3);
    })();
    const before = threads();
    await collectUntil(() => threads().length === 0);
    say({ before, after: threads() });
  },
  'counters outlive their forwarder': async () => {
    const view = (() => native.forwarderCounters(started()))();
    kept.push(view);
    const before = threads();
    await collectUntil(() => threads().length === 0);
    say({ before, after: threads(), sum: String(view.reduce((sum, value) => sum + value, 0n)) });
  },
  'a worker thread is terminated': async () => {
    const worker = new Worker(SELF, { workerData: { addonPath } });
    const before = await new Promise((resolve) => worker.once('message', resolve));
    await worker.terminate();
    say({ before, after: threads() });
  },
  'onEvent throws': async () => {
    const caught = catchUncaught();
    const forwarder = createBroken(() => {
      throw new Error('from onEvent');
    });
    native.startForwarder(forwarder);
    await waitUntil(() => caught.length > 0);
    say(caught);
    native.stopForwarder(forwarder);
  },
  'onMessages throws': async () => {
    const caught = catchUncaught();
    const monitor = native.startNetlinkMonitor(IPV4_ADDRESSES, () => {
      throw new Error('from onMessages');
    });
    changeAddress('add', '127.2.0.1');
    await waitUntil(() => caught.length > 0);
    say(caught);
    native.stopNetlinkMonitor(monitor);
  },
  'a stopped monitor is silent': async () => {
    let calls = 0;
    const monitor = native.startNetlinkMonitor(IPV4_ADDRESSES, () => calls++);
    // Blocks this thread, so that the notifications are queued by the time of the stop.
    floodAddresses(50);
    native.stopNetlinkMonitor(monitor);
    native.stopNetlinkMonitor(monitor);
    let other = 0;
    const second = native.startNetlinkMonitor(IPV4_ADDRESSES, () => other++);
    changeAddress('add', '127.2.0.1');
    await waitUntil(() => other > 0);
    native.stopNetlinkMonitor(second);
    say({ calls });
  },
  'a monitor is stopped by its own listener': async () => {
    let calls = 0;
    let monitor = native.startNetlinkMonitor(IPV4_ADDRESSES, () => {
      calls++;
      native.stopNetlinkMonitor(monitor);
      monitor = undefined;
      globalThis.gc();
    });
    floodAddresses(50);
    await waitUntil(() => calls > 0);
    await collectUntil(() => threads().length === 0);
    say({ calls, threads: threads() });
  },
  'a slow listener hears of its losses': async () => {
    const lists = [];
    const monitor = native.startNetlinkMonitor(IPV4_ADDRESSES, (messages) => lists.push(messages.length));
    floodAddresses(3000);
    await waitUntil(() => lists.includes(0));
    say({ lossTold: lists.includes(0), fewerThanSent: lists.length < 3000 });
    native.stopNetlinkMonitor(monitor);
  },
  'in-worker': () => {
    const forwarder = started();
    kept.push(
      forwarder,
      native.forwarderCounters(forwarder),
      native.startNetlinkMonitor(IPV4_ADDRESSES, () => {}),
    );
    untilNamed(3);
    parentPort.postMessage(threads());
    setInterval(() => {}, 1000);
  },
};

await stages[stage]();
