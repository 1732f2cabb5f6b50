import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { OFFLOADS } from '../../src/backend/offloads.ts';
import { type Environment, flagsFromEnvironment, mergeFlags } from '../../src/cli/environment.ts';
import { ignoredFlags, readDaemonOptions, readLogLevel } from '../../src/cli/options.ts';
import { parseInvocation } from '../../src/cli/program.ts';
import { parseAddress } from '../../src/ip/ip.ts';

function flagsOf(argv: readonly string[], env: Environment = {}) {
  const invocation = parseInvocation(argv);
  if (invocation.kind !== 'daemon') throw new Error(invocation.kind);
  return mergeFlags(invocation.flags, flagsFromEnvironment(env));
}

const options = (argv: readonly string[], env?: Environment) => readDaemonOptions(flagsOf(argv, env), 2);

const folder = mkdtempSync(join(tmpdir(), 'fl0-cli-'));
afterAll(() => rmSync(folder, { recursive: true }));
const pem = join(folder, 'a.pem');
writeFileSync(pem, '-----BEGIN CERTIFICATE-----\n');
const notPem = join(folder, 'b.pem');
writeFileSync(notPem, 'hello');

const defaults = {
  etcd: { endpoints: ['http://127.0.0.1:4001', 'http://127.0.0.1:2379'], prefix: '/coreos.com/network', tls: {} },
  externalInterface: { iface: [], ifaceRegex: [] },
  subnetFile: '/run/flannel/subnet.env',
  renewMarginMs: 3_600_000,
  firewall: { ipMasq: false, randomFully: true, forwardRules: true, resyncMs: 5000 },
  ipBlackholeRoute: false,
  packetPath: { workers: 1, sourcePorts: 1, pollMicroseconds: 0, offloads: new Set(OFFLOADS) },
};

describe('readDaemonOptions', () => {
  it('has the defaults of flannel', () => expect(options([])).toEqual(defaults));

  it.each<[string[], object]>([
    [
      ['-etcd-endpoints', 'http://a:1, https://b:2/'],
      { etcd: { ...defaults.etcd, endpoints: ['http://a:1', 'https://b:2'] } },
    ],
    [['-etcd-prefix=//net//x/'], { etcd: { ...defaults.etcd, prefix: '/net/x' } }],
    [
      ['--etcd-username=u', '--etcd-password=p'],
      { etcd: { ...defaults.etcd, credentials: { username: 'u', password: 'p' } } },
    ],
    [['--etcd-cafile', pem], { etcd: { ...defaults.etcd, tls: { caFile: pem } } }],
    [
      ['--etcd-certfile', pem, '--etcd-keyfile', pem],
      { etcd: { ...defaults.etcd, tls: { certFile: pem, keyFile: pem } } },
    ],
    [['-iface', 'eth0', '-iface', '10.0.0.1'], { externalInterface: { iface: ['eth0', '10.0.0.1'], ifaceRegex: [] } }],
    [['-iface='], {}],
    [
      ['--iface-regex', '(?i)^ETH', '--iface-regex', '10\\.0'],
      { externalInterface: { iface: [], ifaceRegex: ['(?i)^ETH', '10\\.0'] } },
    ],
    [
      ['--public-ip=192.0.2.1', '--iface-can-reach', '192.0.2.2'],
      { externalInterface: { iface: [], ifaceRegex: [], publicIp: '192.0.2.1', ifaceCanReach: '192.0.2.2' } },
    ],
    [['--public-ip='], {}],
    [
      ['--workers', '3', '--source-ports=2', '--poll-us', '50'],
      { packetPath: { ...defaults.packetPath, workers: 3, sourcePorts: 2, pollMicroseconds: 50 } },
    ],
    [
      ['--offloads', 'tun-checksum, udp-coalescing'],
      { packetPath: { ...defaults.packetPath, offloads: new Set(['tun-checksum', 'udp-coalescing']) } },
    ],
    [['--offloads=none'], { packetPath: { ...defaults.packetPath, offloads: new Set() } }],
    [['--subnet-file', 'x.env'], { subnetFile: 'x.env' }],
    [['--subnet-lease-renew-margin', '1439'], { renewMarginMs: 1439 * 60_000 }],
    [['--ip-masq', '--ip-masq=0'], {}],
    [['-ip-masq'], { firewall: { ...defaults.firewall, ipMasq: true } }],
    [['-ip-masq-fully-random-disable'], { firewall: { ...defaults.firewall, randomFully: false } }],
    [['-iptables-forward-rules=false'], { firewall: { ...defaults.firewall, forwardRules: false } }],
    [['-iptables-resync=60'], { firewall: { ...defaults.firewall, resyncMs: 60_000 } }],
    [['-ip-blackhole-route'], { ipBlackholeRoute: true }],
    [['-healthz-port', '8080'], { health: { address: parseAddress('0.0.0.0'), port: 8080 } }],
    [['-healthz-port', '1', '-healthz-ip', '::1'], { health: { address: parseAddress('::1'), port: 1 } }],
    [['--kube-subnet-mgr=false', '--kube-api-url=x', '--set-node-network-unavailable=false'], {}],
  ])('%j', (argv, changed) => {
    expect(options(argv)).toEqual({ ...defaults, ...changed });
  });

  it.each<[string[], RegExp]>([
    [['--etcd-endpoints=ftp://a'], /^--etcd-endpoints: "ftp:\/\/a" is not/],
    [['--etcd-endpoints=http://root:hunter2@a:1'], /^--etcd-endpoints: (?!.*hunter2)/],
    [['--etcd-endpoints='], /^--etcd-endpoints: is empty; the default is http/],
    [['--etcd-endpoints=,'], /^--etcd-endpoints: no endpoint given/],
    [['--etcd-prefix=/'], /^--etcd-prefix: "\/" is no key prefix/],
    [['--etcd-prefix=/a/../b'], /^--etcd-prefix: /],
    [['--etcd-prefix=a\u0000b'], /^--etcd-prefix: holds a NUL/],
    [['--etcd-password=hunter2'], /^--etcd-password: needs --etcd-username/],
    [['--etcd-username=u'], /^--etcd-username: needs a password/],
    [['--etcd-certfile', pem], /^--etcd-certfile: needs --etcd-keyfile as well/],
    [['--etcd-keyfile', pem], /^--etcd-keyfile: needs --etcd-certfile as well/],
    [['--etcd-cafile', join(folder, 'none')], /^--etcd-cafile: cannot read .*none: ENOENT/],
    [['--etcd-cafile', notPem], /holds no PEM data/],
    [['--iface=a b'], /^--iface: "a b" is neither an interface name nor an IP address/],
    [['--iface=abcdefghijklmnop'], /^--iface: /],
    [['--iface-regex=eth('], /^--iface-regex: "eth\(" is no regular expression: /],
    [['--iface-can-reach=host'], /^--iface-can-reach: "host" is not an IPv4 address/],
    [['--public-ip=::1'], /^--public-ip: "::1" is not an IPv4 address/],
    [['--public-ip=0.0.0.0'], /^--public-ip: 0.0.0.0 is not an address of one host/],
    [['--public-ip=224.0.0.1'], /is not an address of one host/],
    [['--public-ip=255.255.255.255'], /is not an address of one host/],
    [['--public-ipv6=10.0.0.1'], /^--public-ipv6: "10.0.0.1" is not an IPv6 address/],
    [['--public-ipv6=ff02::1'], /is not an address of one host/],
    [['--subnet-file='], /^--subnet-file: is empty/],
    [['--subnet-file=/run/'], /^--subnet-file: "\/run\/" names a directory/],
    [['--subnet-file=..'], /names a directory/],
    [['--subnet-lease-renew-margin=0'], /^--subnet-lease-renew-margin: "0" is not a whole number from 1 to 1439/],
    [['--subnet-lease-renew-margin=1440'], /from 1 to 1439/],
    [['--subnet-lease-renew-margin=1h'], /from 1 to 1439/],
    [['--subnet-lease-renew-margin=060'], /from 1 to 1439/],
    [['--ip-masq=yes'], /^--ip-masq: "yes" is neither true nor false/],
    [['--iptables-resync=0'], /^--iptables-resync: "0" is not a whole number from 1 to 86400/],
    [['--iptables-resync=-5'], /^--iptables-resync: /],
    [['--healthz-port=65536'], /^--healthz-port: "65536" is not a whole number from 0 to 65535/],
    [['--healthz-ip=localhost'], /^--healthz-ip: "localhost" is not an IP address/],
    [['--kube-subnet-mgr'], /^--kube-subnet-mgr: subnets from Kubernetes are not built yet/],
    [['--set-node-network-unavailable=maybe'], /^--set-node-network-unavailable: /],
  ])('refuses %j', (argv, message) => {
    expect(() => options(argv)).toThrowError(
      expect.objectContaining({ exit: 'usage', message: expect.stringMatching(message) }),
    );
  });
});

describe('environment', () => {
  it('fills in what the command line leaves out', () => {
    const env = { FLANNELD_IFACE: 'eth1', FLANNELD_IP_MASQ: 'true', FLANNELD_SUBNET_FILE: '/a', FLANNELD_V: '' };
    expect(options(['--iface=eth0', '--iface=eth2', '--ip-masq=false'], env)).toEqual({
      ...defaults,
      externalInterface: { iface: ['eth0', 'eth2'], ifaceRegex: [] },
      subnetFile: '/a',
    });
    expect(options([], env).externalInterface.iface).toEqual(['eth1']);
  });

  it('takes a list flag as one value', () => {
    expect(() => options([], { FLANNELD_IFACE: 'eth0,eth 1' })).toThrow(/^FLANNELD_IFACE: "eth0,eth 1"/);
  });

  it.each<[Environment, RegExp]>([
    [{ FLANNELD_SUBNET_LEASE_RENEW_MARGIN: 'soon' }, /^FLANNELD_SUBNET_LEASE_RENEW_MARGIN: "soon"/],
    [{ FLANNELD_ETCD_ENDPOINTS: 'x y' }, /^FLANNELD_ETCD_ENDPOINTS: "x y"/],
    [{ FLANNELD_ETCD_CAFILE: notPem }, /^FLANNELD_ETCD_CAFILE: .* holds no PEM data/],
    [{ FLANNELD_KUBE_SUBNET_MGR: '1' }, /^FLANNELD_KUBE_SUBNET_MGR: /],
  ])('names the variable: %j', (env, message) => {
    expect(() => options([], env)).toThrowError(
      expect.objectContaining({ exit: 'usage', message: expect.stringMatching(message) }),
    );
  });

  it('lets variables of others be', () => {
    expect(options([], { FLANNELD_SERVICE_HOST: '10.0.0.1', FLANNELD_NO_SUCH: 'x', PATH: '/' })).toEqual(defaults);
  });
});

describe('log level', () => {
  it.each<[string[], string]>([
    [[], 'info'],
    [['-v=0'], 'info'],
    [['-v=1'], 'debug'],
    [['-v', '10'], 'debug'],
    [['--log-level=warn', '-v=5'], 'warn'],
    [['--log-level=error'], 'error'],
  ])('%j is %s', (argv, level) => expect(readLogLevel(flagsOf(argv))).toBe(level));

  it.each([['--log-level=loud'], ['--log-level='], ['-v=high'], ['-v=-1']])('refuses %s', (word) => {
    expect(() => readLogLevel(flagsOf([word]))).toThrowError(expect.objectContaining({ exit: 'usage' }));
  });
});

it('knows which flags do nothing', () => {
  expect(ignoredFlags(flagsOf(['--vmodule=a=1', '--public-ipv6=fd00::1', '--ip-masq']))).toEqual([
    { source: '--vmodule', level: 'debug' },
    { source: '--public-ipv6', level: 'warn' },
  ]);
});

it.each([
  [1, 1],
  [4, 1],
  [8, 2],
  [64, 4],
])('on %i cores the default is %i workers', (cores, workers) => {
  expect(readDaemonOptions(flagsOf([]), cores).packetPath.workers).toBe(workers);
});

it.each([
  [['--workers=65'], '--workers'],
  [['--poll-us=-1'], '--poll-us'],
  [['--source-ports=0'], '--source-ports'],
  [['--offloads=tun-tcp,turbo'], 'tun-checksum'],
])('%j is refused with a line that says what would be right', (argv, word) => {
  expect(() => options(argv)).toThrow(
    expect.objectContaining({ exit: 'usage', message: expect.stringContaining(word) }),
  );
});
