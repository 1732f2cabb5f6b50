import type { SubnetEnv } from '../test/lab/lab.ts';

/** What the picture shows of one host. */
export interface HostView {
  readonly name: string;
  readonly underlayAddress: string;
  readonly containerAddress: string;
  readonly env: SubnetEnv;
}

const COLUMN = 34;

function column(text: string): string {
  return text.padEnd(COLUMN);
}

function hostLines({ name, underlayAddress, containerAddress, env }: HostView): string[] {
  const base = env.subnet.replace(/[0-9]+\/[0-9]+$/, '0');
  const box = (text: string) => `│ ${text.padEnd(COLUMN - 6)} │  `;
  const rule = (left: string, right: string) => `${left}${'─'.repeat(COLUMN - 4)}${right}  `;
  return [
    column(`  container ${name}c1  ${containerAddress}`),
    column(`        │ mtu ${env.mtuBytes}`),
    rule('┌', '┐'),
    box(`docker0   ${env.subnet}`),
    box('   │ kernel routes the packet'),
    box(`flannel0  ${base}/32`),
    box('   │ flanneld wraps it in UDP'),
    box(`eth0      ${underlayAddress}:8285`),
    rule('└', '┘'),
    column('        │ mtu 1500'),
  ];
}

/** Two hosts side by side, with the addresses that this run was given. */
export function drawPicture(left: HostView, right: HostView): string {
  const rightLines = hostLines(right);
  const rows = hostLines(left).map((line, i) => `  ${line}${rightLines[i] ?? ''}`.trimEnd());
  const wire = `  ${'        └'.padEnd(COLUMN + 8, '─')}┘   etcd: 172.31.0.100:2379`;
  return [...rows, wire].join('\n');
}
