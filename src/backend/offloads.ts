/** What the kernel may leave to the packet path, and the packet path to the kernel: one name each, for flag and log. */
import type { TunOffloads } from '../native/addon.ts';

export const OFFLOADS = ['tun-checksum', 'tun-tcp', 'tun-udp', 'udp-segmentation', 'udp-coalescing'] as const;
export type OffloadName = (typeof OFFLOADS)[number];
export type OffloadSet = ReadonlySet<OffloadName>;

/**
 * Reads `all`, `none` or a list such as `tun-checksum,udp-segmentation`.
 * @returns undefined where a name is unknown.
 */
export function parseOffloads(text: string): OffloadSet | undefined {
  if (text === 'all') return new Set(OFFLOADS);
  if (text === 'none') return new Set();
  const names = text.split(',').map((name) => name.trim());
  const known = names.filter((name): name is OffloadName => (OFFLOADS as readonly string[]).includes(name));
  return known.length === names.length ? new Set(known) : undefined;
}

/** Super-packets need their checksums left open, and both need the header that says so. */
export function tunOffloadsOf(wanted: OffloadSet): TunOffloads {
  const tcp = wanted.has('tun-tcp');
  const udp = wanted.has('tun-udp');
  const checksum = wanted.has('tun-checksum') || tcp || udp;
  return { vnetHeader: checksum, checksum, tcp, udp };
}

/** What is in use, by the same names. */
export function offloadsInUse(
  tun: TunOffloads,
  socket: { readonly segmentation: boolean; readonly coalescing: boolean },
): OffloadName[] {
  const inUse: Record<OffloadName, boolean> = {
    'tun-checksum': tun.checksum,
    'tun-tcp': tun.tcp,
    'tun-udp': tun.udp,
    'udp-segmentation': socket.segmentation,
    'udp-coalescing': socket.coalescing,
  };
  return OFFLOADS.filter((name) => inUse[name]);
}
