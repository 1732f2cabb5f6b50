/** fastd, a userspace tunnel in C, as a TUN device without encryption (method null). */
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Lab, LabProcess } from '../../test/lab/lab.ts';
import { type Candidate, UNDERLAY_MTU } from './candidate.ts';
import { joinAll, subnetStem, WITHOUT_ETCD } from './kernel.ts';

const DEVICE = 'fastd0';
const PORT = 10000;
/** Outer IPv4 and UDP headers, and fastd's own byte for the packet type. */
const MTU_BYTES = UNDERLAY_MTU - 29;

interface KeyPair {
  readonly secret: string;
  readonly public: string;
}

export function fastdVersion(): string | undefined {
  const { status, stdout } = spawnSync('fastd', ['--version'], { encoding: 'utf8' });
  return status === 0 ? stdout.trim() : undefined;
}

export function fastd(version: string): Candidate {
  return {
    name: 'fastd',
    description: `${version}, mode tun, method null`,
    mtuBytes: MTU_BYTES,
    labOptions: WITHOUT_ETCD,
    device: DEVICE,
    async start(lab) {
      const keys = [newKeyPair(), newKeyPair()];
      const daemons: LabProcess[] = [];
      for (const index of [0, 1]) daemons.push(await startOne(lab, index, keys));
      await joinAll(lab, MTU_BYTES);
      return { daemons };
    },
  };
}

async function startOne(lab: Lab, index: number, keys: readonly KeyPair[]): Promise<LabProcess> {
  const host = lab.host(index);
  const peer = 1 - index;
  const configFile = join(host.folder, 'fastd.conf');
  const lines = [
    'log level warn;',
    `mode tun; interface "${DEVICE}"; mtu ${MTU_BYTES}; method "null";`,
    `bind ${host.address}:${PORT};`,
    `secret "${keys[index]?.secret}";`,
    `peer "other" { key "${keys[peer]?.public}"; remote ${lab.host(peer).address} port ${PORT}; }`,
  ];
  writeFileSync(configFile, `${lines.join('\n')}\n`, { mode: 0o600 });
  const daemon = lab.spawn(host, ['fastd', '--config', configFile]);
  const appeared = () => lab.exec(host, ['ip', 'link', 'set', DEVICE, 'up']).then(() => true);
  await lab.waitWhileRunning(daemon, appeared, 5_000, `${DEVICE} on ${host.name}`);
  await lab.ip(host, [
    `addr add ${subnetStem(index)}.0/32 dev ${DEVICE}`,
    `route add ${subnetStem(peer)}.0/24 dev ${DEVICE}`,
  ]);
  return daemon;
}

function newKeyPair(): KeyPair {
  const generated = spawnSync('fastd', ['--generate-key', '--machine-readable'], { encoding: 'utf8' });
  const secret = generated.stdout.trim();
  const input = `secret "${secret}";\n`;
  const shown = spawnSync('fastd', ['--show-key', '--machine-readable', '--config', '-'], { encoding: 'utf8', input });
  if (generated.status !== 0 || shown.status !== 0) throw new Error(`fastd makes no keys: ${shown.stderr.trim()}`);
  return { secret, public: shown.stdout.trim() };
}
