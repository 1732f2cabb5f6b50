import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { OperatorError } from '../../src/errors/errors.ts';
import {
  createLogger,
  descriptorDestination,
  LOG_LEVELS,
  type LogLevel,
  levelForVerbosity,
} from '../../src/log/create-logger.ts';
import { escapeUnprintable, readableLine } from '../../src/log/readable-line.ts';
import { redactFields, redactText } from '../../src/log/redact.ts';

function capture(format: 'json' | 'readable', level: LogLevel = 'info') {
  const lines: string[] = [];
  return { lines, logger: createLogger({ level, format, destination: { write: (line) => void lines.push(line) } }) };
}

describe('createLogger', () => {
  it('writes one JSON object a line', () => {
    const { lines, logger } = capture('json');
    logger.info({ subnet: '10.5.21.0/24', routes: 3n }, 'lease acquired');
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatch(/\n$/);
    const { time, ...record } = JSON.parse(lines[0] ?? '');
    expect(record).toEqual({ level: 'info', msg: 'lease acquired', subnet: '10.5.21.0/24', routes: '3' });
    expect(new Date(time).toISOString()).toBe(time);
  });

  it('writes one readable line on a terminal', () => {
    const { lines, logger } = capture('readable');
    logger.warn({ peer: '172.31.0.2', cause: 'not now', n: 3, list: ['a'] }, 'lost a peer');
    expect(lines.join('')).toMatch(
      /^\d\d:\d\d:\d\d\.\d{3} WARN {2}lost a peer peer=172\.31\.0\.2 cause="not now" n=3 list=\["a"\]\n$/,
    );
  });

  it.each(LOG_LEVELS)('at level %s leaves out what is less', (level) => {
    const { lines, logger } = capture('json', level);
    for (const name of LOG_LEVELS) logger[name]({}, name);
    expect(lines.map((line) => JSON.parse(line).level)).toEqual(LOG_LEVELS.slice(0, LOG_LEVELS.indexOf(level) + 1));
  });

  it('keeps its own fields its own', () => {
    const { lines, logger } = capture('json');
    logger.info({ level: 'debug', msg: 'x', time: 0 }, 'y');
    expect(JSON.parse(lines[0] ?? '')).toMatchObject({ level: 'info', msg: 'y', msg_: 'x', time_: 0, level_: 'debug' });
  });

  it.each([
    ['info', false],
    ['debug', true],
  ] as const)('prints errors with code and cause, at level %s with stack: %s', (level, stack) => {
    const { lines, logger } = capture('json', level);
    const cause = Object.assign(new Error('connect http://u:pw@h:1'), { code: 'ECONNREFUSED' });
    logger.error({ error: new OperatorError('host', 'no etcd', { cause }) }, 'failed');
    const { error } = JSON.parse(lines[0] ?? '');
    expect(error).toMatchObject({
      name: 'OperatorError',
      message: 'no etcd',
      exit: 'host',
      cause: { message: 'connect http://[redacted]@h:1', code: 'ECONNREFUSED' },
    });
    expect('stack' in error).toBe(stack);
  });

  it('keeps control characters of peers off the terminal', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), fc.string({ unit: 'binary' }), (message, value) => {
        const { lines, logger } = capture('readable');
        logger.info({ value, [value]: { deep: value } }, message);
        // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must not be there
        expect(lines.join('')).toMatch(/^[^\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e]*\n$/);
      }),
    );
  });
});

describe('levelForVerbosity', () => {
  it.each([
    [0, 'info'],
    [1, 'debug'],
    [10, 'debug'],
  ] as const)('-v %i is %s', (verbosity, level) => expect(levelForVerbosity(verbosity)).toBe(level));
});

describe('redaction', () => {
  it.each([
    ['http://root:hunter2@10.0.0.1:2379 refused', 'http://[redacted]@10.0.0.1:2379 refused'],
    ['http://a:2379,https://u:p@b:2379', 'http://a:2379,https://[redacted]@b:2379'],
    ['http://u:p@ss/w@b', 'http://[redacted]@b'],
    ['http://a:2379 mail me@home', 'http://a:2379 mail me@home'],
    ['x -----BEGIN RSA PRIVATE KEY-----\nabc\n-----END RSA PRIVATE KEY----- y', 'x [redacted] y'],
    ['-----BEGIN PRIVATE KEY-----\ncut off', '[redacted]'],
    ['-----BEGIN CERTIFICATE-----', '-----BEGIN CERTIFICATE-----'],
  ])('%j', (text, expected) => expect(redactText(text)).toBe(expected));

  it('goes by the names of fields at any depth, and spares paths and empty values', () => {
    const fields = {
      etcdPassword: 'x',
      'etcd-password': 'x',
      options: { auth: { username: 'root', password: 'x' }, list: [{ token: 'x' }] },
      privateKey: 'x',
      keyFile: '/etc/key.pem',
      key: '/coreos.com/network/config',
      password: '',
      bytes: new Uint8Array(3),
    };
    expect(redactFields(fields, { withStacks: false })).toEqual({
      etcdPassword: '[redacted]',
      'etcd-password': '[redacted]',
      options: { auth: { username: 'root', password: '[redacted]' }, list: [{ token: '[redacted]' }] },
      privateKey: '[redacted]',
      keyFile: '/etc/key.pem',
      key: '/coreos.com/network/config',
      password: '',
      bytes: '[3 bytes]',
    });
  });

  it('ends on cyclic values', () => {
    const cyclic: Record<string, unknown> = { a: 1 };
    cyclic.self = cyclic;
    expect(JSON.stringify(redactFields(cyclic, { withStacks: true }))).toContain('[cut]');
  });
});

describe('readableLine', () => {
  it('puts a stack on lines of its own', () => {
    const error = { name: 'Error', message: 'm', stack: 'Error: m\n    at a\n    at \u001bb' };
    const line = readableLine({ time: '2026-01-02T03:04:05.006Z', level: 'error', msg: 'failed', error });
    const [first, ...rest] = line.split('\n');
    expect(first).toContain('ERROR failed error={"name":"Error","message":"m"}');
    expect(rest).toEqual(['    at a', '    at \\u{1b}b', '']);
  });

  it('escapes', () => expect(escapeUnprintable('a\u001b[2J\n\u202eb')).toBe('a\\u{1b}[2J\\n\\u{202e}b'));
});

describe('descriptorDestination', () => {
  const fail = (code: string) => {
    throw Object.assign(new Error(code), { code });
  };

  it('writes on after a short write and a full pipe', () => {
    const written: string[] = [];
    let calls = 0;
    const destination = descriptorDestination(2, (_fd, bytes) => {
      if (calls++ % 2 === 0) return fail('EAGAIN');
      written.push(Buffer.from(bytes.subarray(0, 3)).toString());
      return Math.min(3, bytes.length);
    });
    destination.write('abcdefgh\n');
    expect(written.join('')).toBe('abcdefgh\n');
  });

  it.each(['EPIPE', 'EAGAIN', 'EIO'])('gives up on a reader that is gone or stuck (%s)', (code) => {
    let calls = 0;
    descriptorDestination(2, () => {
      calls++;
      return fail(code);
    }).write('x\n');
    expect(calls).toBe(code === 'EAGAIN' ? 50 : 1);
  });
});
