/** The model's own few lines about IPv4, so that it shares no mistake with src/: addresses are unsigned 32-bit. */

export interface Network {
  readonly base: number;
  readonly length: number;
}

export function parseIpv4(text: string): number {
  const octets = text.split('.').map(Number);
  const isOctet = (octet: number) => Number.isInteger(octet) && octet >= 0 && octet <= 255;
  if (octets.length !== 4 || !octets.every(isOctet)) throw new Error(`no IPv4 address: ${text}`);
  return octets.reduce((value, octet) => value * 256 + octet, 0);
}

export function formatIpv4(value: number): string {
  return [24, 16, 8, 0].map((shift) => (value >>> shift) & 0xff).join('.');
}

export function sizeOf(length: number): number {
  return 2 ** (32 - length);
}

/** Host bits are cleared. */
export function parseNetwork(text: string): Network {
  const [address = '', length = ''] = text.split('/');
  return networkOf(parseIpv4(address), Number(length));
}

export function networkOf(address: number, length: number): Network {
  return { base: address - (address % sizeOf(length)), length };
}

export function formatNetwork({ base, length }: Network, separator: '/' | '-' = '/'): string {
  return `${formatIpv4(base)}${separator}${length}`;
}

export function sameNetwork(a: Network, b: Network): boolean {
  return a.base === b.base && a.length === b.length;
}

export function overlap(a: Network, b: Network): boolean {
  return a.base < b.base + sizeOf(b.length) && b.base < a.base + sizeOf(a.length);
}
