import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseIptablesSave, readRule, tokenize } from '../../src/firewall/iptables-save.ts';

describe('parseIptablesSave', () => {
  it('reads the tables that a real flanneld left', () => {
    const nat = parseIptablesSave(readFileSync('test/golden/udp/iptables-nat-h1.txt', 'utf8')).get('nat');
    expect([...(nat?.keys() ?? [])]).toEqual(['PREROUTING', 'INPUT', 'OUTPUT', 'POSTROUTING', 'FLANNEL-POSTRTG']);
    expect(nat?.get('FLANNEL-POSTRTG')).toHaveLength(5);
    expect(nat?.get('POSTROUTING')?.[0]?.target).toBe('FLANNEL-POSTRTG');
  });

  it('skips warnings, comments, counters and lines outside of tables', () => {
    const text = [
      '# Warning: iptables-legacy tables present, use iptables-legacy-save to see them',
      '-A FORWARD -j DROP',
      '*filter',
      ':FORWARD DROP [12:34]',
      '[5:6] -A FORWARD -s 10.0.0.0/8 -j ACCEPT',
      'what is this',
      'COMMIT',
      '-A FORWARD -j REJECT',
      '*nat',
      ':POSTROUTING ACCEPT [0:0]',
      'COMMIT',
    ].join('\n');
    const tables = parseIptablesSave(text);
    expect(
      tables
        .get('filter')
        ?.get('FORWARD')
        ?.map((rule) => rule.text),
    ).toEqual(['-s 10.0.0.0/8 -j ACCEPT']);
    expect(tables.get('nat')?.get('POSTROUTING')).toEqual([]);
  });

  it('survives any text', () => {
    fc.assert(fc.property(fc.string(), (text) => void parseIptablesSave(`*filter\n-A ${text}\n${text}`)));
  });
});

describe('tokenize', () => {
  it.each([
    ['-a  b\tc', ['-a', 'b', 'c']],
    ['--comment "flanneld masq" -j X', ['--comment', 'flanneld masq', '-j', 'X']],
    ['"a \\"b\\" \\\\ c"', ['a "b" \\ c']],
    ['--comment ""', ['--comment', '']],
    ['"never closed', ['never closed']],
    ['x"y z"w', ['xy zw']],
  ])('%s', (text, tokens) => {
    expect(tokenize(text)).toEqual(tokens);
  });

  it('reads back any words that iptables-save quotes', () => {
    const quote = (word: string) => `"${word.replace(/[\\"]/g, '\\$&')}"`;
    fc.assert(
      fc.property(fc.array(fc.string()), (words) => {
        expect(tokenize(words.map(quote).join(' '))).toEqual(words);
      }),
    );
  });
});

describe('one meaning, one key', () => {
  const rule = '-s 10.5.0.0/16 ! -d 224.0.0.0/4 -m mark --mark 0x4000/0x4000 -m comment --comment "x y" -j RETURN';
  it.each([
    '! -d 224.0.0.0/4 -s 10.5.0.0/16 -m mark --mark 0x4000/0x4000 -m comment --comment "x y" -j RETURN',
    '-s 10.5.0.0/255.255.0.0 ! -d 224.0.0.0/240.0.0.0 -m mark --mark 16384/16384 -m comment --comment "x y" -j RETURN',
    '-s 10.5.0.0/16 -d ! 224.0.0.0/4 -m comment --comment "x y" -m mark --mark 0x4000/0x4000 -j RETURN',
    '--source 10.5.0.0/16 ! --destination 224.0.0.0/4 -p all -m mark --mark 0x4000/0x4000 -m comment --comment "x y" -j RETURN',
    '-c 5 6 -s 10.5.1.2/16 ! -d 224.0.0.0/4 -m mark --mark 0x4000/0x4000 -m comment --comment "x y" -j RETURN',
  ])('same: %s', (other) => {
    expect(readRule(other).key).toBe(readRule(rule).key);
  });
  it.each([
    '-s 10.5.0.0/16 -d 224.0.0.0/4 -m mark --mark 0x4000/0x4000 -m comment --comment "x y" -j RETURN',
    '! -s 10.5.0.0/16 -d 224.0.0.0/4 -m mark --mark 0x4000/0x4000 -m comment --comment "x y" -j RETURN',
    '-s 10.5.0.0/17 ! -d 224.0.0.0/4 -m mark --mark 0x4000/0x4000 -m comment --comment "x y" -j RETURN',
    '-s 10.5.0.0/16 ! -d 224.0.0.0/4 -m mark --mark 0x4000 -m comment --comment "x y" -j RETURN',
    '-s 10.5.0.0/16 ! -d 224.0.0.0/4 -m mark ! --mark 0x4000/0x4000 -m comment --comment "x y" -j RETURN',
    '-s 10.5.0.0/16 ! -d 224.0.0.0/4 -m mark --mark 0x4000/0x4000 -m comment --comment "x  y" -j RETURN',
    '-s 10.5.0.0/16 ! -d 224.0.0.0/4 -m mark --mark 0x4000/0x4000 -m comment --comment "x y" -j ACCEPT',
    '-i eth0 -s 10.5.0.0/16 ! -d 224.0.0.0/4 -m mark --mark 0x4000/0x4000 -m comment --comment "x y" -j RETURN',
  ])('different: %s', (other) => {
    expect(readRule(other).key).not.toBe(readRule(rule).key);
  });

  it('tells --random-fully from none, and knows an unconditional rule', () => {
    expect(readRule('-j MASQUERADE --random-fully').key).not.toBe(readRule('-j MASQUERADE').key);
    expect(readRule('-j REJECT --reject-with icmp-host-prohibited')).toMatchObject({
      unconditional: true,
      target: 'REJECT',
    });
    expect(readRule('-m comment --comment "-s all" -j DROP').unconditional).toBe(true);
    expect(readRule('-i eth0 -j DROP').unconditional).toBe(false);
    expect(readRule('! -s 0.0.0.0/0 -j DROP').unconditional).toBe(false);
    expect(readRule('-s 0.0.0.0/0 -j DROP').unconditional).toBe(true);
  });
});
