/**
 * Chooses the interface that faces the other hosts, its address (where the UDP socket binds) and the public IP (what
 * the lease tells the others). Pure: the host is a {@link NetworkView}.
 *
 *   --iface, --iface-regex, --iface-can-reach    tried in this order, each kind in the order given; the first that
 *                                                leads to a usable interface wins
 *   none of them, but --public-ip                that address must be one of the host's own
 *   nothing                                      the interface of the IPv4 default route
 */
import { OperatorError } from '../errors/errors.ts';
import { formatAddress, type IpAddress, isUnspecified, parseAddress } from '../ip/ip.ts';
import { candidateOf, type Selector } from './candidate.ts';
import { compileInterfacePattern } from './interface-pattern.ts';
import type { NetworkView } from './network-view.ts';

/** flannel's flags as given; empty texts count as not given. */
export interface ExternalInterfaceOptions {
  readonly iface: readonly string[];
  readonly ifaceRegex: readonly string[];
  readonly ifaceCanReach?: string | undefined;
  readonly publicIp?: string | undefined;
}

export interface ExternalInterface {
  readonly name: string;
  readonly index: number;
  readonly mtuBytes: number;
  /** The UDP socket binds to it. */
  readonly address: IpAddress;
  /** Published in the lease; differs from `address` behind a NAT. */
  readonly publicIp: IpAddress;
  /** The flag, with its value, that led here; for the log. */
  readonly selectedBy: string;
  /** One text for each flag that was tried before and led nowhere; for the log. */
  readonly rejected: readonly string[];
}

/**
 * @throws OperatorError `usage` where a flag's value cannot be read (also of flags that would not have been reached),
 *   `host` where no interface fits; the message lists what was tried and what the host has.
 */
export function selectExternalInterface(view: NetworkView, options: ExternalInterfaceOptions): ExternalInterface {
  const publicIp = options.publicIp ? parsePublicIp(options.publicIp) : undefined;
  const selectors = selectorsOf(options, publicIp);
  const rejected: string[] = [];
  for (const selector of selectors) {
    const outcome = candidateOf(view, selector);
    if ('problem' in outcome) {
      rejected.push(`${selector.text}: ${outcome.problem}`);
      continue;
    }
    const { link, address } = outcome;
    return {
      name: link.name,
      index: link.index,
      mtuBytes: link.mtuBytes,
      address,
      publicIp: publicIp ?? address,
      selectedBy: selector.text,
      rejected,
    };
  }
  throw nothingFound(view, selectors, rejected);
}

function selectorsOf(options: ExternalInterfaceOptions, publicIp: IpAddress | undefined): Selector[] {
  const selectors: Selector[] = [
    ...options.iface.filter(isGiven).map(interfaceSelector),
    ...options.ifaceRegex.filter(isGiven).map(patternSelector),
  ];
  if (options.ifaceCanReach) {
    const address = parseIpv4('--iface-can-reach', options.ifaceCanReach);
    selectors.push({ kind: 'can-reach', address, text: `--iface-can-reach ${options.ifaceCanReach}` });
  }
  if (selectors.length > 0) return selectors;
  if (publicIp !== undefined) {
    return [{ kind: 'address', address: publicIp, text: `--public-ip ${formatAddress(publicIp)}` }];
  }
  return [{ kind: 'default-route', text: 'default route' }];
}

function isGiven(text: string): boolean {
  return text !== '';
}

function interfaceSelector(value: string): Selector {
  const text = `--iface ${value}`;
  const address = parseAddress(value);
  if (address === undefined) return { kind: 'name', name: value, text };
  return { kind: 'address', address: parseIpv4('--iface', value), text };
}

function patternSelector(value: string): Selector {
  const compiled = compileInterfacePattern(value);
  if ('problem' in compiled) {
    throw new OperatorError(
      'usage',
      `--iface-regex ${JSON.stringify(value)} is no valid regular expression (${compiled.problem}); ` +
        'JavaScript syntax applies, which has no POSIX classes such as [[:digit:]]',
    );
  }
  return { kind: 'pattern', pattern: compiled.pattern, text: `--iface-regex ${value}` };
}

function parseIpv4(flag: string, value: string): IpAddress {
  const address = parseAddress(value);
  if (address?.family === 4) return address;
  throw new OperatorError('usage', `${flag} ${JSON.stringify(value)} is no IPv4 address; give one like 192.0.2.1`);
}

const MULTICAST_AND_ABOVE = 0xe0000000n;

function parsePublicIp(value: string): IpAddress {
  const address = parseIpv4('--public-ip', value);
  if (isUnspecified(address) || address.value >= MULTICAST_AND_ABOVE) {
    throw new OperatorError('usage', `--public-ip ${value} is no address of one host; give the one that others reach`);
  }
  return address;
}

function nothingFound(view: NetworkView, selectors: readonly Selector[], rejected: readonly string[]): OperatorError {
  const [first] = selectors;
  const tried = `no external interface found: ${rejected.join('; ')}`;
  return new OperatorError('host', `${tried}; ${remedyFor(first)}. The host has ${describeHost(view)}`);
}

function remedyFor(selector: Selector | undefined): string {
  if (selector?.text.startsWith('--public-ip')) {
    return 'behind a NAT, name the interface as well with --iface';
  }
  if (selector?.kind === 'default-route') return 'name the interface with --iface';
  return 'name an interface that is up and has an IPv4 address';
}

/** A container host has hundreds of veths: the message stays one readable line. */
const DESCRIBED_LINKS_MAX = 12;

function describeHost(view: NetworkView): string {
  const texts = view.links.map((link) => {
    const addresses = view.addresses.filter((each) => each.index === link.index && each.address.family === 4);
    const list = addresses.map((each) => formatAddress(each.address)).join(', ');
    return { text: `${link.name} (${list || 'no IPv4 address'})`, rank: list === '' ? 1 : 0 };
  });
  if (texts.length === 0) return 'no interfaces';
  const shown = texts.sort((a, b) => a.rank - b.rank).slice(0, DESCRIBED_LINKS_MAX);
  const more = texts.length - shown.length;
  return shown.map((each) => each.text).join(', ') + (more > 0 ? ` and ${more} more` : '');
}
