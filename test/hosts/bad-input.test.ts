/**
 * Every wrong way to start ends in one clear line and its exit status, and leaves the host and etcd as they were. What
 * is wrong with the configuration in etcd does not end the daemon: it waits for it to be mended.
 */
import { existsSync, rmSync } from 'node:fs';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { EXIT, type ExitName } from '../../src/errors/errors.ts';
import {
  createLab,
  ETCD_PREFIX,
  type Lab,
  type LabHost,
  type LabProcess,
  NETWORK_CONFIG,
  waitFor,
} from '../lab/lab.ts';
import { lastWord } from './support.ts';

let lab: Lab;
let host: LabHost;
beforeAll(async () => {
  lab = await createLab({ hostCount: 1, containersPerHost: 0 });
  host = lab.host(0);
});
afterAll(() => lab?.close());
const running = new Set<LabProcess>();
function start(flags?: readonly string[]): LabProcess {
  const daemon = lab.startFlanneld(host, flags);
  running.add(daemon);
  return daemon;
}

/** Stops what a failed test left running, and removes what a daemon keeps on purpose: rules, subnet.env. */
afterEach(async () => {
  await Promise.all([...running].map((daemon) => daemon.stop()));
  running.clear();
  await lab.exec(host, ['sh', '-c', 'iptables -w -F; iptables -w -X; iptables -w -t nat -F; iptables -w -t nat -X']);
  rmSync(host.subnetFile, { force: true });
});
beforeEach(async () => {
  await lab.etcdctl('del', '--prefix', ETCD_PREFIX);
  await lab.putConfig(NETWORK_CONFIG);
});

/** All that a daemon could have left behind. */
async function traces(): Promise<Record<string, string>> {
  const on = async (...argv: string[]) => (await lab.exec(host, argv)).stdout;
  const rules = (await on('iptables-save')).split('\n').filter((line) => /^-A|^:FLANNEL/.test(line));
  return {
    links: (await on('ip', '-br', 'link')).replaceAll(/@\S+/g, ''),
    routes: await on('ip', '-4', 'route', 'show', 'table', 'all'),
    rules: await on('ip', 'rule'),
    addresses: await on('ip', '-br', '-4', 'addr'),
    firewall: rules.join('\n'),
    sockets: await on('ss', '-Huna'),
    keys: await lab.etcdctl('get', '--prefix', `${ETCD_PREFIX}/subnets`),
    subnetFile: String(existsSync(host.subnetFile)),
  };
}

interface BadStart {
  readonly what: string;
  readonly flags?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly exit: ExitName;
  /** What the line must name. */
  readonly says: RegExp;
  /** Prepares the host or etcd, before the traces are taken. @returns what undoes it. */
  readonly before?: () => Promise<() => Promise<unknown>>;
  /** Runs before the daemon, in its process: `unshare -m sh -c ... flanneld`. */
  readonly wrapper?: readonly string[];
}

const BAD_STARTS: BadStart[] = [
  { what: 'unknown flag', flags: ['--etcd-endpoint=x'], exit: 'usage', says: /etcd-endpoint\b.*--etcd-endpoints/ },
  { what: 'unknown Go flag', flags: ['-nosuch'], exit: 'usage', says: /nosuch/ },
  { what: 'flag without its value', flags: ['--iface'], exit: 'usage', says: /iface/ },
  { what: 'no number', flags: ['--iptables-resync=soon'], exit: 'usage', says: /iptables-resync.*soon/ },
  {
    what: 'margin below 1',
    flags: ['--subnet-lease-renew-margin=0'],
    exit: 'usage',
    says: /subnet-lease-renew-margin/,
  },
  {
    what: 'margin above a day',
    flags: ['--subnet-lease-renew-margin=1440'],
    exit: 'usage',
    says: /renew-margin.*1439/,
  },
  { what: 'no boolean', flags: ['--ip-masq=perhaps'], exit: 'usage', says: /ip-masq.*perhaps/ },
  { what: 'no address', flags: ['--public-ip=172.31.0'], exit: 'usage', says: /public-ip.*172\.31\.0/ },
  { what: 'no endpoint', flags: ['--etcd-endpoints=ftp://h:1'], exit: 'usage', says: /etcd-endpoints.*ftp/ },
  { what: 'unknown level', flags: ['--log-level=loud'], exit: 'usage', says: /log-level.*loud/ },
  { what: 'no regular expression', flags: ['--iface-regex=('], exit: 'usage', says: /iface-regex/ },
  { what: 'stray argument', flags: ['start'], exit: 'usage', says: /start/ },
  {
    what: 'bad value in the environment',
    env: { FLANNELD_IPTABLES_RESYNC: 'x' },
    exit: 'usage',
    says: /FLANNELD_IPTABLES_RESYNC/,
  },
  { what: 'kube flag', flags: ['--kube-subnet-mgr'], exit: 'usage', says: /kube-subnet-mgr.*not/i },
  { what: 'certificate without key', flags: ['--etcd-certfile=/nosuch.pem'], exit: 'usage', says: /etcd-keyfile/ },
  { what: 'no such interface', flags: ['--iface=nosuch0'], exit: 'host', says: /nosuch0/ },
  { what: 'no such address', flags: ['--iface=192.0.2.1'], exit: 'host', says: /192\.0\.2\.1/ },
  {
    what: 'no privileges',
    wrapper: ['setpriv', '--bounding-set=-net_admin', '--inh-caps=-net_admin'],
    exit: 'privileges',
    says: /CAP_NET_ADMIN|root/,
  },
  {
    what: 'no /dev/net/tun',
    wrapper: ['unshare', '--mount', 'sh', '-c', 'mount -t tmpfs none /dev/net && exec "$@"', 'sh'],
    exit: 'host',
    says: /\/dev\/net\/tun/,
  },
  {
    what: 'port taken',
    exit: 'busy',
    says: /8285/,
    before: async () => {
      const script = "require('dgram').createSocket('udp4').bind(8285, '172.31.0.1', () => console.log('bound'))";
      const holder = lab.spawn(host, [process.execPath, '-e', script]);
      await waitFor(() => holder.stdout().includes('bound'), 10_000, 'the socket that holds the port');
      return () => holder.stop();
    },
  },
  {
    what: 'a foreign device in the place of ours',
    exit: 'busy',
    says: /flannel0/,
    before: async () => {
      await lab.ip(host, ['link add flannel0 type bridge']);
      return () => lab.ip(host, ['link del flannel0']);
    },
  },
  {
    what: 'network that overlaps the host',
    exit: 'host',
    says: /172\.31\.0\.0\/16.*(172\.31\.0\.|eth0)/,
    before: async () => {
      await lab.putConfig('{"Network":"172.31.0.0/16"}');
      return async () => {};
    },
  },
  {
    what: 'no free subnet',
    exit: 'subnet',
    says: /10\.5\.1\.0|subnet/,
    before: async () => {
      await lab.putConfig('{"Network":"10.5.0.0/16","SubnetMin":"10.5.1.0","SubnetMax":"10.5.1.0"}');
      await lab.etcdctl('put', `${ETCD_PREFIX}/subnets/10.5.1.0-24`, '{"PublicIP":"172.31.0.9","PublicIPv6":null}');
      return async () => {};
    },
  },
];

test.each(BAD_STARTS)('$what: one line, its exit status, nothing left behind', async (bad) => {
  const undo = await bad.before?.();
  try {
    const before = await traces();
    const daemon = lab.startFlanneld(host, bad.flags, bad.env, bad.wrapper);
    const ended = () => daemon.exitStatus() ?? Promise.reject(new Error(`still running: ${daemon.output()}`));
    const exit = await waitFor(ended, 15_000, 'the end of the daemon').finally(() => daemon.stop('SIGKILL'));
    expect([exit.status, daemon.stderr()]).toEqual([EXIT[bad.exit], expect.anything()]);
    expect(lastWord(daemon)).toMatch(bad.says);
    expect(errorLines(daemon)).toHaveLength(1);
    expect(daemon.stderr()).not.toMatch(/^\s+at /m);
    expect(await traces()).toEqual(before);
  } finally {
    await undo?.();
  }
});

function errorLines(daemon: LabProcess): string[] {
  const isError = (line: string) => line.startsWith('flanneld: ') || line.includes('"level":"error"');
  return daemon.stderr().split('\n').filter(isError);
}

function warnings(daemon: LabProcess): string[] {
  return daemon
    .stderr()
    .split('\n')
    .filter((line) => /"level":"(warn|error)"/.test(line));
}

interface BadConfig {
  readonly what: string;
  /** undefined: no key. */
  readonly text: string | undefined;
  readonly says: RegExp;
}

const BAD_CONFIGS: BadConfig[] = [
  { what: 'missing', text: undefined, says: /\/coreos\.com\/network\/config/ },
  { what: 'malformed', text: '{"Network":"10.5.0.0/16"', says: /config/ },
  { what: 'of the wrong type', text: '{"Network":"10.5.0.0/16","SubnetLen":"24"}', says: /SubnetLen/ },
  { what: 'without a network', text: '{}', says: /Network/ },
  { what: 'no CIDR', text: '{"Network":"10.5.0.0"}', says: /Network.*10\.5\.0\.0/ },
  { what: 'subnets larger than the network', text: '{"Network":"10.5.0.0/16","SubnetLen":12}', says: /SubnetLen/ },
  {
    what: 'minimum above maximum',
    text: '{"Network":"10.5.0.0/16","SubnetMin":"10.5.9.0","SubnetMax":"10.5.8.0"}',
    says: /SubnetMin/,
  },
  { what: 'unaligned minimum', text: '{"Network":"10.5.0.0/16","SubnetMin":"10.5.9.1"}', says: /SubnetMin/ },
  { what: 'port out of range', text: '{"Network":"10.5.0.0/16","Backend":{"Type":"udp","Port":70000}}', says: /Port/ },
  {
    what: 'unknown backend',
    text: '{"Network":"10.5.0.0/16","Backend":{"Type":"carrier-pigeon"}}',
    says: /carrier-pigeon/,
  },
];

describe('configuration in etcd', () => {
  test.each(BAD_CONFIGS)(
    '$what: says so once, waits, and starts when it is mended',
    { timeout: 60_000 },
    async (bad) => {
      await lab.etcdctl('del', `${ETCD_PREFIX}/config`);
      if (bad.text !== undefined) await lab.putConfig(bad.text);
      const before = await traces();
      const daemon = start();
      const complaints = () => warnings(daemon).filter((line) => bad.says.test(line));
      await lab.waitWhileRunning(daemon, () => complaints().length > 0, 15_000, `a line about ${bad.says}`);
      expect(await traces()).toEqual(before);
      await lab.putConfig(NETWORK_CONFIG);
      await lab.waitForSubnetEnv(host, daemon);
      expect(complaints()).toHaveLength(1);
      expect(await daemon.stop()).toEqual({ status: 0, signal: undefined });
    },
  );
});

describe('etcd that does not answer', () => {
  test('is named with its cause at once; SIGTERM still stops the daemon', { timeout: 30_000 }, async () => {
    const before = await traces();
    const daemon = start(['--etcd-endpoints=http://172.31.0.100:9']);
    const complaints = () =>
      daemon
        .stderr()
        .split('\n')
        .filter((line) => line.includes('172.31.0.100:9'));
    await lab.waitWhileRunning(
      daemon,
      () => complaints().some((line) => /ECONNREFUSED|refused/i.test(line)),
      10_000,
      'a line',
    );
    expect(await daemon.stop()).toEqual({ status: 0, signal: undefined });
    expect(await traces()).toEqual(before);
  });

  test('is waited for', { timeout: 60_000 }, async () => {
    const late = await createLab({ hostCount: 1, etcd: false });
    try {
      const daemon = late.startFlanneld(late.host(0));
      await late.waitWhileRunning(daemon, () => daemon.stderr().includes(late.etcdEndpoint.slice(7)), 10_000, 'a line');
      await late.startEtcd();
      await late.putConfig(NETWORK_CONFIG);
      await late.waitForSubnetEnv(late.host(0), daemon);
    } finally {
      await late.close();
    }
  });
});

test('foreign and broken keys are reported once and change nothing', { timeout: 60_000 }, async () => {
  await lab.etcdctl('put', `${ETCD_PREFIX}/subnets/10.5.77.0-24`, '{"PublicIP":"172.31.0.77","PublicIPv6":null}');
  await lab.etcdctl('put', `${ETCD_PREFIX}/subnets/notes`, 'remember the milk');
  const daemon = start();
  await lab.waitForSubnetEnv(host, daemon);
  await lab.etcdctl('put', `${ETCD_PREFIX}/subnets/10.5.78.0-24`, '{"PublicIP":');
  const mentions = (key: string) =>
    daemon
      .stderr()
      .split('\n')
      .filter((line) => line.includes(key));
  await lab.waitWhileRunning(
    daemon,
    () => mentions('10.5.78.0-24').length > 0,
    10_000,
    'a line about the broken value',
  );
  await lab.etcdctl('put', `${ETCD_PREFIX}/subnets/10.5.79.0-24`, '{"PublicIP":"172.31.0.79","PublicIPv6":null}');
  await lab.waitWhileRunning(daemon, () => mentions('10.5.79.0').length > 0, 10_000, 'a line about the new route');
  expect(mentions('subnets/notes')).toHaveLength(1);
  expect(mentions('10.5.78.0-24')).toHaveLength(1);
  // The peer that was there before is still there: its packets leave for its host.
  const wire = lab.spawn(host, ['tcpdump', '-lni', 'eth0', 'arp and arp[24:4] == 0xac1f004d']);
  const asksForPeer = async () => {
    await lab.exec(host, ['ping', '-c1', '-W1', '10.5.77.2'], { anyStatus: true });
    return wire.stdout().includes('who-has 172.31.0.77');
  };
  await waitFor(asksForPeer, 15_000, 'a packet for the peer that was there before');
  await wire.stop();
  expect(await daemon.stop()).toEqual({ status: 0, signal: undefined });
});
