import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { formatAddress, formatPrefix } from '../../src/ip/ip.ts';
import { checkConfigText } from '../../src/network-config/config-check.ts';
import { describeProblems, MAX_CONFIG_LENGTH, parseNetworkConfig } from '../../src/network-config/network-config.ts';
import { DEFAULT_UDP_PORT, readUdpOptions } from '../../src/network-config/udp-options.ts';

/** The configuration in short, or what is wrong with it. */
function read(text: string, knownBackends?: readonly string[]): string | string[] {
  const result = parseNetworkConfig(text, knownBackends);
  if (!result.ok) return result.problems.map(({ message }) => message);
  const { network, subnetLength, subnetMin, subnetMax, backend } = result.config;
  const port = backend.type === 'udp' ? ` ${readUdpOptions(backend.raw).port}` : '';
  const range = `${formatAddress(subnetMin)}-${formatAddress(subnetMax)}`;
  return `${formatPrefix(network)} /${subnetLength} ${range} ${backend.type}${port}`;
}

function paths(text: string): string[] {
  const result = parseNetworkConfig(text);
  return result.ok ? [] : result.problems.map(({ path }) => path);
}

const PLAIN = '10.5.0.0/16 /24 10.5.1.0-10.5.255.0 udp 8285';

describe('what is accepted', () => {
  it.each([
    ['{"Network":"10.5.0.0/16"}', PLAIN],
    ['{"network":"10.5.0.0/16","BACKEND":{"type":"UDP"}}', PLAIN],
    ['{"Network":"10.5.3.7/16"}', PLAIN],
    ['{"Network":"10.5.0.0/16","EnableIPv4":true,"EnableIPv6":false,"Unknown":[{}]}', PLAIN],
    ['{"Network":"10.6.0.0/16","Network":"10.5.0.0/16"}', PLAIN],
    ['{"Network":"10.6.0.0/16","network":"10.7.0.0/16","Network":"10.5.0.0/16"}', PLAIN],
    ['{"EnableIPv4":false,"enableipv4":true,"Network":"10.5.0.0/16"}', PLAIN],
    // Null leaves a plain value as it was.
    ['{"EnableIPv4":null,"EnableIPv6":null,"Network":"10.5.0.0/16","SubnetLen":null,"IPv6SubnetMin":null}', PLAIN],
    ['{"Network":"10.5.0.0/16","SubnetLen":0,"SubnetMin":"0.0.0.0","SubnetMax":"0.0.0.0"}', PLAIN],
    ['\r\n\t{"Network" : "10.5.0.0/16"}\n', PLAIN],
    ['{"Network":"10.5.0.0\\/16"}', PLAIN],
    ['{"Network":"10.5.0.0/22"}', '10.5.0.0/22 /24 10.5.1.0-10.5.3.0 udp 8285'],
    ['{"Network":"10.5.0.0/23"}', '10.5.0.0/23 /25 10.5.0.128-10.5.1.128 udp 8285'],
    ['{"Network":"10.5.0.0/28"}', '10.5.0.0/28 /30 10.5.0.4-10.5.0.12 udp 8285'],
    ['{"Network":"0.0.0.0/1"}', '0.0.0.0/1 /24 0.0.1.0-127.255.255.0 udp 8285'],
    ['{"Network":"255.255.0.0/16"}', '255.255.0.0/16 /24 255.255.1.0-255.255.255.0 udp 8285'],
    ['{"Network":"10.5.0.0/16","SubnetLen":18}', '10.5.0.0/16 /18 10.5.64.0-10.5.192.0 udp 8285'],
    ['{"Network":"10.5.0.0/16","SubnetLen":30}', '10.5.0.0/16 /30 10.5.0.4-10.5.255.252 udp 8285'],
    [
      '{"Network":"10.0.0.0/8","SubnetLen":20,"SubnetMin":"10.10.0.0","SubnetMax":"10.99.0.0","Backend":{"Type":"udp","Port":7890}}',
      '10.0.0.0/8 /20 10.10.0.0-10.99.0.0 udp 7890',
    ],
    [
      '{"Network":"10.5.0.0/16","SubnetMin":"10.5.7.0","SubnetMax":"10.5.7.0"}',
      '10.5.0.0/16 /24 10.5.7.0-10.5.7.0 udp 8285',
    ],
    [
      '{"Network":"10.5.0.0/16","SubnetMin":"10.5.0.0","SubnetMax":"10.5.0.0"}',
      '10.5.0.0/16 /24 10.5.0.0-10.5.0.0 udp 8285',
    ],
    [
      '{"Network":"10.5.0.0/16","Backend":{"Type":"x","Type":"udp","Port":1,"port":2,"Port":null}}',
      PLAIN.replace('8285', '2'),
    ],
    [
      '{"Network":"10.5.0.0/16","Backend":{"Type":"udp","Port":3,"port":2,"Port":65535}}',
      PLAIN.replace('8285', '65535'),
    ],
    ['{"Network":"10.5.0.0/16","Backend":{"Type":"udp","Port":null}}', PLAIN],
    // A repeated Backend replaces the earlier one as a whole.
    ['{"Network":"10.5.0.0/16","Backend":{"Port":9},"Backend":{"Type":"udp"}}', PLAIN],
    ['{"Network":"10.5.0.0/16","Backend":7,"Backend":{"Type":"udp"}}', PLAIN],
  ])('%s', (text, expected) => {
    expect(read(text)).toBe(expected);
  });

  it("keeps the backend's fields and lower-cases its type", () => {
    const text =
      '{"Network":"10.5.0.0/16","Backend":{"Type":"VXLAN","VNI":7,"a":{"b":[1]},"__proto__":{"x":1},"VNI":8}}';
    const result = parseNetworkConfig(text, ['udp', 'vxlan']);
    if (!result.ok) throw new Error(describeProblems(result.problems));
    expect(result.config.backend.type).toBe('vxlan');
    expect(Object.entries(result.config.backend.raw).map(([name]) => name)).toEqual(['Type', 'a', '__proto__', 'VNI']);
    expect(result.config.backend.raw).toMatchObject({ VNI: 8, a: { b: [1] } });
    expect(Object.getPrototypeOf(result.config.backend.raw)).toBe(Object.prototype);
  });

  it('notes fields that have no effect', () => {
    const result = parseNetworkConfig('{"Network":"10.5.0.0/16",\n "SubnetLenn":20}');
    expect(result).toMatchObject({
      ok: true,
      notes: [{ path: 'SubnetLenn', message: '"SubnetLenn" (line 2, column 2) has no effect here' }],
    });
  });
});

describe('what is refused', () => {
  const withNetwork = (rest: string) => `{"Network":"10.5.0.0/16",${rest}}`;

  it.each([
    ['', 'not valid JSON: no text at all'],
    ['{"Network":"10.5.0.0/16"', 'not valid JSON: expected a closing brace (line 1, column 25)'],
    ['{"Network":"10.5.0.0/16",\n}', 'not valid JSON: expected a field name in double quotes (line 2, column 1)'],
    ['{"Network":\n  "10.5.0.0/16"\n  "SubnetLen":20}', 'not valid JSON: expected a comma (line 3, column 3)'],
    [
      '{"Network":"10.5.0.0/16"} x',
      'not valid JSON: unexpected text, perhaps without its double quotes, (line 1, column 27)',
    ],
    ['# comment\n{}', 'not valid JSON: unexpected text, perhaps without its double quotes, (line 1, column 1)'],
    ['{} // comment', 'not valid JSON: comments are not allowed in JSON (line 1, column 4)'],
    ['[]', 'the text is an array: write an object such as {"Network":"10.5.0.0/16"}'],
    ['null', 'the text is null: write an object such as {"Network":"10.5.0.0/16"}'],
    ['{}', 'Network is missing: write the network of all containers in CIDR form, such as "Network": "10.5.0.0/16"'],
    [
      '{"Network":"0.0.0.0/0"}',
      'Network is 0.0.0.0/0 (line 1, column 12), which counts as missing: write the network of all containers in CIDR form, such as "Network": "10.5.0.0/16"',
    ],
    [
      '{"Network":null}',
      'Network is null (line 1, column 12): write an IPv4 network in CIDR form such as "10.5.0.0/16"',
    ],
    [
      '{"Network":"fd00::/48"}',
      'Network is "fd00::/48" (line 1, column 12): write an IPv4 network in CIDR form such as "10.5.0.0/16"',
    ],
    ['{"Network":"10.5.0.0/29"}', 'Network 10.5.0.0/29 (line 1, column 12) is too small: use a /28 or larger'],
    [
      withNetwork('"SubnetLen":"24"'),
      'SubnetLen is "24" (line 1, column 38): write a whole number from 0 to 30, without quotes',
    ],
    [
      withNetwork('"SubnetLen":17'),
      'SubnetLen 17 (line 1, column 38) leaves fewer than four subnets in Network 10.5.0.0/16: use 18 to 30',
    ],
    [
      withNetwork('"SubnetMin":"10.6.0.0"'),
      'SubnetMin 10.6.0.0 (line 1, column 38) is outside Network 10.5.0.0/16: use an address from 10.5.0.0 to 10.5.255.255',
    ],
    [
      withNetwork('"SubnetMax":"10.5.7.1"'),
      'SubnetMax 10.5.7.1 (line 1, column 38) is not the first address of a /24 subnet: use 10.5.7.0',
    ],
    [
      withNetwork('"SubnetMin":"10.5.9.0","SubnetMax":"10.5.8.0"'),
      'SubnetMin 10.5.9.0 lies above SubnetMax 10.5.8.0, which leaves no subnet to lease: swap or remove them (by default 10.5.1.0 and 10.5.255.0)',
    ],
    [
      withNetwork('"SubnetMin":null'),
      'SubnetMin is null (line 1, column 38): write an IPv4 address such as "10.5.1.0"',
    ],
    [withNetwork('"EnableIPv4":"yes"'), 'EnableIPv4 is "yes" (line 1, column 39): write true or false, without quotes'],
    [
      withNetwork('"EnableIPv6":true'),
      'EnableIPv6 is true (line 1, column 39), but IPv6 is not built yet: set it to false or remove it',
    ],
    [
      withNetwork('"IPv6Network":null'),
      'IPv6Network is null (line 1, column 40): write an IPv6 network in CIDR form such as "fd00:5::/48"',
    ],
    [
      '{"EnableIPv4":false}',
      'EnableIPv4 is false (line 1, column 15) and IPv6 is off, which leaves no network: set it to true',
    ],
    [withNetwork('"Backend":null'), 'unknown backend type: Backend has no Type (line 1, column 36): use one of udp'],
    [withNetwork('"Backend":{}'), 'unknown backend type: Backend has no Type (line 1, column 36): use one of udp'],
    [
      withNetwork('"Backend":{"Type":null}'),
      'unknown backend type: Backend has no Type (line 1, column 36): use one of udp',
    ],
    [
      withNetwork('"Backend":{"Type":"vxlan"}'),
      'unknown backend type: Backend.Type is "vxlan" (line 1, column 44): use one of udp',
    ],
    [
      withNetwork('"Backend":{"Type":"udp "}'),
      'unknown backend type: Backend.Type is "udp " (line 1, column 44): use one of udp',
    ],
    [withNetwork('"Backend":{"Type":1}'), 'Backend.Type is 1 (line 1, column 44): write a string in double quotes'],
    [withNetwork('"Backend":"udp"'), 'Backend is a string (line 1, column 36): write an object such as {"Type":"udp"}'],
  ])('%s', (text, message) => {
    expect(read(text)).toEqual([message]);
  });

  it.each(['24.0', '1e1', '2.4e1', '-24', '-0', '31', '18446744073709551616', 'true', '[24]', '{}'])(
    'SubnetLen %s',
    (literal) => {
      expect(paths(withNetwork(`"SubnetLen":${literal}`))).toEqual(['SubnetLen']);
    },
  );

  it.each(['0', '65536', '-1', '8285.0', '8e3', '"8285"', 'false'])('Port %s', (literal) => {
    expect(paths(withNetwork(`"Backend":{"Type":"udp","Port":${literal}}`))).toEqual(['Backend.Port']);
  });

  it('a repeated field of the wrong type, even where the last one is right', () => {
    expect(paths('{"Network":7,"network":"10.5.0.0/16"}')).toEqual(['Network']);
    expect(paths(withNetwork('"Backend":{"Type":"udp","Port":"x","Port":9}'))).toEqual(['Backend.Port']);
  });

  it('everything at once, in one line for the log', () => {
    const result = parseNetworkConfig(
      '{"Network":"10.5","SubnetLen":"24","EnableIPv6":true,"Backend":{"Type":"udp","Port":0}}',
    );
    if (result.ok) throw new Error('accepted');
    expect(result.problems.map(({ path }) => path)).toEqual(['EnableIPv6', 'Network', 'SubnetLen', 'Backend.Port']);
    const line = describeProblems(result.problems);
    expect(line).not.toContain('\n');
    for (const { message } of result.problems) expect(line).toContain(message);
  });

  it('lists the backends it was told of', () => {
    expect(read('{"Network":"10.5.0.0/16","Backend":{"Type":"ipip"}}', ['host-gw', 'udp', 'vxlan'])).toEqual([
      'unknown backend type: Backend.Type is "ipip" (line 1, column 44): use one of host-gw, udp, vxlan',
    ]);
  });

  it('text that is too long or too deep', () => {
    expect(read(' '.repeat(MAX_CONFIG_LENGTH + 1))).toEqual(['not valid JSON: more than 65536 characters']);
    expect(read(`{"a":${'['.repeat(64)}${']'.repeat(64)}}`)).toEqual([
      'not valid JSON: nested more than 64 levels deep (line 1, column 69)',
    ]);
    expect(read('['.repeat(60_000))).toEqual(['not valid JSON: too many brackets to say where']);
    expect(read(`/*"*/${'['.repeat(60_000)}`)).toEqual(['not valid JSON: too many brackets to say where']);
  });

  it('hostile text, without passing it on to a terminal or at length', () => {
    const [message] = read(`{"Network":"\\u001b[2J\\n${'x'.repeat(5000)}\u202e\u009b"}`);
    expect(message).toContain('Network is "\\u001b[2J\\nxxx');
    expect(message?.length).toBeLessThan(250);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: their absence is what is tested
    expect(message).not.toMatch(/[\u0000-\u001f\u007f-\u009f\u202e]/);
  });
});

describe('any text', () => {
  const names = [
    'Network',
    'network',
    'SubnetLen',
    'SubnetMin',
    'SubnetMax',
    'EnableIPv4',
    'EnableIPv6',
    'Backend',
    'Type',
    'Port',
  ];
  const values = [null, true, 0, 24, -1, 1.5, 'udp', '10.5.0.0/16', '10.5.1.0', '10.5.9.0', [], {}];
  const configLike = fc.letrec<{ value: unknown; object: unknown }>((tie) => ({
    value: fc.oneof({ maxDepth: 2 }, fc.constantFrom(...values), tie('object')),
    object: fc.dictionary(fc.constantFrom(...names), tie('value'), { maxKeys: 6 }),
  })).object;

  it('is answered with a configuration or with problems of one line each', () => {
    const pieces = [
      '{',
      '}',
      '"',
      ':',
      ',',
      '[',
      '"Network"',
      '"10.5.0.0/16"',
      'null',
      '24',
      '\n',
      '//',
      '\\u',
      '\ud800',
      ' ',
    ];
    const texts = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.string({ unit: fc.constantFrom(...pieces), maxLength: 25 }),
      configLike.map((value) => JSON.stringify(value)),
      fc.jsonValue().map((value) => JSON.stringify(value)),
    );
    fc.assert(
      fc.property(texts, (text) => {
        const result = parseNetworkConfig(text);
        if (!result.ok) {
          expect(result.problems.length).toBeGreaterThan(0);
          for (const { message } of result.problems) expect(message).toMatch(/^.+$/);
        }
        expect(checkConfigText('f', text).ok).toBe(result.ok);
      }),
      { numRuns: 3000 },
    );
  });

  it('that is accepted has aligned bounds inside the network, and room for a subnet', () => {
    const fields = fc.record(
      {
        Network: fc
          .tuple(fc.integer({ min: 0, max: 32 }), fc.nat({ max: 255 }))
          .map(([length, b]) => `10.${b}.0.0/${length}`),
        SubnetLen: fc.integer({ min: 0, max: 32 }),
        SubnetMin: fc.nat({ max: 255 }).map((c) => `10.5.${c}.0`),
        SubnetMax: fc.nat({ max: 255 }).map((c) => `10.5.${c}.0`),
      },
      { requiredKeys: ['Network'] },
    );
    let accepted = 0;
    fc.assert(
      fc.property(fields, (value) => {
        const result = parseNetworkConfig(JSON.stringify(value));
        if (!result.ok) return;
        accepted++;
        const { network, subnetLength, subnetMin, subnetMax } = result.config;
        const size = 2n ** BigInt(32 - subnetLength);
        const end = network.base + 2n ** BigInt(32 - network.length);
        expect(subnetLength).toBeGreaterThanOrEqual(network.length + 2);
        expect(subnetLength).toBeLessThanOrEqual(30);
        expect(subnetMin.value % size).toBe(0n);
        expect(subnetMax.value % size).toBe(0n);
        expect(network.base <= subnetMin.value && subnetMin.value <= subnetMax.value).toBe(true);
        expect(subnetMax.value + size <= end).toBe(true);
      }),
      { numRuns: 2000 },
    );
    expect(accepted).toBeGreaterThan(100);
  });
});

describe('readUdpOptions', () => {
  it('has the port of flanneld by default', () => {
    expect(readUdpOptions({})).toEqual({ port: 8285 });
    expect(DEFAULT_UDP_PORT).toBe(8285);
  });

  it('calls an unchecked port a programming error', () => {
    expect(() => readUdpOptions({ Port: '8285' })).toThrow(RangeError);
    expect(() => readUdpOptions({ port: 65536 })).toThrow(RangeError);
  });
});

describe('checkConfigText', () => {
  it('shows what a usable configuration means', () => {
    expect(checkConfigText('net.json', '{"Network":"10.5.0.0/16","EnableNFTables":true}')).toEqual({
      ok: true,
      text: [
        'net.json: usable',
        '  Network  10.5.0.0/16',
        '  Subnets  /24 each, 10.5.1.0 to 10.5.255.0: room for 255 hosts',
        '  Backend  udp, port 8285',
        'note: "EnableNFTables" (line 1, column 26) has no effect here',
        '',
      ].join('\n'),
    });
  });

  it('lists what is wrong with any other', () => {
    expect(checkConfigText('net.json', '{"Network":"10.5.0.0/29","Backend":{}}')).toEqual({
      ok: false,
      text: [
        'net.json: 2 problems',
        '  Network 10.5.0.0/29 (line 1, column 12) is too small: use a /28 or larger',
        '  unknown backend type: Backend has no Type (line 1, column 36): use one of udp',
        '',
      ].join('\n'),
    });
    expect(checkConfigText('net.json', '').text).toBe('net.json: 1 problem\n  not valid JSON: no text at all\n');
  });
});

describe.each(['udp', 'host-gw', 'vxlan'])('the configuration of a real network (%s)', (backend) => {
  it('is accepted', () => {
    const lines = readFileSync(new URL(`../golden/${backend}/etcd.txt`, import.meta.url), 'utf8').split('\n');
    const result = parseNetworkConfig(lines[1] ?? '', [backend]);
    expect(result).toMatchObject({ ok: true, config: { subnetLength: 24, backend: { type: backend } } });
  });
});
