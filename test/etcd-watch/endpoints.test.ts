import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { OperatorError } from '../../src/errors/errors.ts';
import { loadTls, parseEndpoints } from '../../src/etcd-watch/endpoints.ts';

const urls = (...texts: string[]) => parseEndpoints(texts).map(({ url }) => url);

describe('endpoints', () => {
  it.each([
    ['http://127.0.0.1:4001', 'http://127.0.0.1:4001'],
    [' https://etcd.example:2379/ ', 'https://etcd.example:2379'],
    ['10.0.0.1', 'http://10.0.0.1:2379'],
    ['http://host:80', 'http://host:80'],
    ['https://host', 'https://host:2379'],
    ['https://[fd00::1]:2379', 'https://[fd00::1]:2379'],
    ['[fd00::1]', 'http://[fd00::1]:2379'],
  ])('%s is %s', (text, url) => expect(urls(text)).toEqual([url]));

  it('drops doubles and empty items', () => {
    expect(urls('a:1', '', ' http://a:1/ ', 'b:2')).toEqual(['http://a:1', 'http://b:2']);
  });

  it.each([
    'unix:///run/etcd',
    'http://h:0',
    'http://h:70000',
    'http://h:1/path',
    'ftp://h',
    'a b',
    'http://',
    'fd00::1',
  ])('refuses %s', (text) => expect(() => parseEndpoints([text])).toThrow(OperatorError));

  it('refuses nothing at all', () => expect(() => parseEndpoints([' ', ''])).toThrow(/no endpoint given/));

  it('does not repeat what might be a password', () => {
    expect(() => parseEndpoints(['http://me:secret@h:1'])).toThrow(/^(?!.*secret).*HOST:PORT/);
  });
});

describe('TLS files', () => {
  const dir = mkdtempSync(join(tmpdir(), 'flannel0-pem-'));
  afterAll(() => rmSync(dir, { recursive: true }));
  const pem = join(dir, 'a.pem');
  writeFileSync(pem, '-----BEGIN CERTIFICATE-----\n');
  const other = join(dir, 'not.pem');
  writeFileSync(other, 'hello');

  it('takes a CA alone, and no file at all', () => {
    expect(loadTls({ caFile: pem, certFile: '', keyFile: '' })).toEqual({ rootCertificate: expect.any(Buffer) });
    expect(loadTls({}).rootCertificate.toString()).toContain('BEGIN CERTIFICATE');
  });

  it.each([
    [{ certFile: pem }, /etcd-certfile is given without etcd-keyfile/],
    [{ keyFile: pem }, /etcd-keyfile is given without etcd-certfile/],
    [{ caFile: join(dir, 'none') }, /etcd-cafile: cannot read .*none: ENOENT/],
    [{ certFile: pem, keyFile: other }, /etcd-keyfile: .*not\.pem holds no PEM data/],
  ])('refuses %j', (files, message) => expect(() => loadTls(files)).toThrow(message));
});
