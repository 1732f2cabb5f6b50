/** The client against a real etcd: transactions, leases, login, TLS, and the errors that each failure ends in. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createEtcdClient, type EtcdClientOptions, type HealthEvent } from '../../src/etcd-watch/etcd-client.ts';
import { type EtcdClient, EtcdError } from '../../src/etcd-watch/etcd-watch.ts';
import { startEtcd, type TestEtcd } from '../support/etcd.ts';
import { freePorts } from '../support/free-port.ts';
import { TcpProxy } from '../support/tcp-proxy.ts';

const bytes = (text: string) => new TextEncoder().encode(text);
const text = (value: Uint8Array | undefined) => Buffer.from(value ?? []).toString();

async function withClient<T>(options: EtcdClientOptions, use: (client: EtcdClient) => Promise<T>): Promise<T> {
  const client = createEtcdClient(options);
  try {
    return await use(client);
  } finally {
    client.close();
  }
}

async function failureOf(call: Promise<unknown>): Promise<EtcdError> {
  const error = await call.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(EtcdError);
  return error as EtcdError;
}

describe('the client', () => {
  let etcd: TestEtcd;
  let client: EtcdClient;
  beforeAll(async () => {
    etcd = await startEtcd();
    client = createEtcdClient({ endpoints: [` ${etcd.endpoint}/ `] });
  });
  afterAll(async () => {
    client.close();
    await etcd.stop();
  });

  it('reads what etcdctl wrote, to the byte', async () => {
    await etcd.put('/r/a', '\u00fc\n{"x": 1}');
    const { kv } = await client.get('/r/a');
    expect(text(kv?.value)).toBe('\u00fc\n{"x": 1}');
    expect(kv).toMatchObject({ key: '/r/a', version: 1n, leaseId: 0n });
    expect((await client.get('/r/none')).kv).toBeUndefined();
    expect((await client.range('/r/', { linearizable: false })).kvs).toHaveLength(1);
  });

  it('shows a key that is no UTF-8 without mistaking it for another', async () => {
    const request = JSON.stringify({ key: Buffer.of(0x2f, 0x75, 0x2f, 0xff).toString('base64'), value: '' });
    await fetch(`${etcd.endpoint}/v3/kv/put`, { method: 'POST', body: request });
    expect((await client.range('/u/', { linearizable: true })).kvs[0]?.key).toBe('/u/\\xff');
  });

  it('applies one branch of a transaction or the other', async () => {
    const put = { kind: 'put', key: '/t/k', value: bytes('1'), leaseId: 0n } as const;
    const absent = { key: '/t/k', target: 'version', equals: 0n } as const;
    const get = { kind: 'get', key: '/t/k' } as const;
    const first = await client.txn([absent], [put], [get]);
    expect(first).toMatchObject({ succeeded: true, gets: [] });
    const second = await client.txn([absent], [put], [{ kind: 'get', key: '/t/none' }, get]);
    expect(second.succeeded).toBe(false);
    expect(second.gets.map((kv) => text(kv?.value))).toEqual(['', '1']);
    const stale = { key: '/t/k', target: 'modRevision', equals: first.revision - 1n } as const;
    expect((await client.txn([stale], [{ kind: 'delete', key: '/t/k' }], [])).succeeded).toBe(false);
    const fresh = { ...stale, equals: first.revision };
    expect((await client.txn([fresh], [{ kind: 'delete', key: '/t/k' }], [])).succeeded).toBe(true);
    expect((await client.get('/t/k')).kv).toBeUndefined();
  });

  it('grants, renews and revokes a lease of the largest id', async () => {
    const id = 0x7fffffffffffffffn;
    expect(await client.leaseGrant(id, 100)).toEqual({ ttlSeconds: 100 });
    expect((await failureOf(client.leaseGrant(id, 100))).code).toBe('precondition');
    await client.txn([], [{ kind: 'put', key: '/l/k', value: bytes('1'), leaseId: id }], []);
    expect((await client.get('/l/k')).kv?.leaseId).toBe(id);
    expect(await client.leaseKeys(id)).toEqual(['/l/k']);
    expect(await client.leaseKeepAlive(id)).toEqual({ ttlSeconds: 100 });
    await client.leaseRevoke(id);
    expect((await client.get('/l/k')).kv).toBeUndefined();
    expect(await client.leaseKeepAlive(id)).toEqual({ ttlSeconds: 0 });
    expect(await client.leaseKeys(id)).toEqual([]);
    await client.leaseRevoke(id);
    const orphan = { kind: 'put', key: '/l/k', value: bytes('1'), leaseId: id } as const;
    expect((await failureOf(client.txn([], [orphan], []))).code).toBe('lease-not-found');
  });

  it('passes over an endpoint that refuses', async () => {
    const [dead] = await freePorts(1);
    const health: HealthEvent[] = [];
    await withClient(
      { endpoints: [`http://127.0.0.1:${dead}`, etcd.endpoint], onHealth: (event) => health.push(event) },
      async (both) => {
        await both.get('/r/a');
        // Not repeatable, and still no failure: the endpoint that answered last is asked first.
        await both.txn([], [], []);
      },
    );
    expect(health).toEqual([]);
  });

  it('names each endpoint and its cause when none answers', async () => {
    const [one, two] = await freePorts(2);
    const endpoints = [`http://127.0.0.1:${one}`, `http://127.0.0.1:${two}`];
    const health: HealthEvent[] = [];
    const error = await withClient({ endpoints, onHealth: (event) => health.push(event) }, (dead) =>
      failureOf(dead.get('x')),
    );
    expect(error.code).toBe('unavailable');
    for (const port of [one, two]) {
      expect(error.message).toContain(`http://127.0.0.1:${port}: connect ECONNREFUSED 127.0.0.1:${port}`);
    }
    expect(error.message).not.toMatch(/Resolution note|Last error/);
    expect(health.map(({ notice }) => notice.kind)).toEqual(['down']);
  });

  it('ends a call that nobody answers at its deadline', async () => {
    const proxy = await TcpProxy.start(etcd.port);
    proxy.setMode('blackhole');
    await withClient({ endpoints: [`127.0.0.1:${proxy.port}`], callTimeoutMs: 300 }, async (stuck) => {
      expect((await failureOf(stuck.get('x'))).code).toBe('deadline');
      expect((await failureOf(stuck.leaseKeepAlive(1n))).code).toBe('deadline');
    });
    await proxy.stop();
  });

  it('refuses to work once closed', async () => {
    const closed = createEtcdClient({ endpoints: [etcd.endpoint] });
    closed.close();
    closed.close();
    expect((await failureOf(closed.get('x'))).code).toBe('closed');
  });

  it('ignores a user name where etcd has no authentication', async () => {
    await withClient({ endpoints: [etcd.endpoint], username: 'u', password: 'p' }, (named) => named.get('x'));
  });
});

describe('login', () => {
  let etcd: TestEtcd;
  const as = (username: string, password: string, endpoint = etcd.endpoint) => ({
    endpoints: [endpoint],
    username,
    password,
  });
  beforeAll(async () => {
    etcd = await startEtcd({ ctlFlags: ['--user=root:top-secret'] });
    for (const line of [
      'user add root:top-secret',
      'user grant-role root root',
      'role add flannel',
      'role grant-permission flannel --prefix=true readwrite /net/',
      'user add host:pass-word',
      'user grant-role host flannel',
      'auth enable',
    ]) {
      // Until authentication is enabled, etcdctl must not send a user.
      const { execFile } = await import('node:child_process');
      await new Promise<void>((resolve, reject) => {
        const args = [`--endpoints=${etcd.endpoint}`, ...line.split(' ')];
        const env = { ...process.env, ETCDCTL_API: '3' };
        execFile('etcdctl', args, { env }, (error) => (error === null ? resolve() : reject(error)));
      });
    }
  });
  afterAll(() => etcd.stop());

  it('reads, writes and watches what the role allows', async () => {
    await withClient(as('host', 'pass-word'), async (client) => {
      const opened = new Promise<bigint>((resolve, reject) => {
        const stream = client.watch('/net/', 1n, {
          onResponse: ({ events }) => {
            if (events.length === 0) return;
            stream.close();
            resolve(BigInt(events.length));
          },
          onEnd: reject,
        });
      });
      await client.txn([], [{ kind: 'put', key: '/net/a', value: bytes('1'), leaseId: 0n }], []);
      expect(await opened).toBe(1n);
    });
  });

  it('says `permission` for what it does not allow', async () => {
    await withClient(as('host', 'pass-word'), async (client) => {
      expect((await failureOf(client.get('/elsewhere'))).code).toBe('permission');
    });
  });

  it('says `unauthenticated`, with the name and without the password, for a wrong password', async () => {
    await withClient(as('host', 'not-the-pass-word'), async (client) => {
      const error = await failureOf(client.get('/net/a'));
      expect(error.code).toBe('unauthenticated');
      expect(error.message).toContain('"host"');
      expect(error.message).not.toContain('not-the-pass-word');
    });
  });

  it('logs in again when a restarted etcd has forgotten the token', async () => {
    await withClient(as('host', 'pass-word'), async (client) => {
      await client.get('/net/a');
      await etcd.kill();
      await etcd.restart();
      await expect
        .poll(() => client.get('/net/a').then(({ kv }) => text(kv?.value)), { timeout: 20_000, interval: 20 })
        .toBe('1');
    });
  });
});

describe('TLS', () => {
  const dir = mkdtempSync(join(tmpdir(), 'flannel0-tls-'));
  const file = (name: string) => join(dir, name);
  const openssl = (...args: string[]) => execFileSync('openssl', args, { stdio: 'pipe' });
  const issue = (name: string, extension: string) => {
    writeFileSync(file(`${name}.ext`), extension);
    const subject = ['-subj', `/CN=${name}`];
    const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
    openssl('req', '-new', ...key, '-keyout', file(`${name}.key`), '-out', file(`${name}.csr`), ...subject);
    const ca = ['-CA', file('ca.crt'), '-CAkey', file('ca.key'), '-CAcreateserial'];
    const out = ['-out', file(`${name}.crt`), '-days', '2', '-extfile', file(`${name}.ext`)];
    openssl('x509', '-req', '-in', file(`${name}.csr`), ...ca, ...out);
  };
  let serverOnly: TestEtcd;
  let mutual: TestEtcd;
  beforeAll(async () => {
    const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
    for (const name of ['ca', 'foreign-ca']) {
      const out = ['-keyout', file(`${name}.key`), '-out', file(`${name}.crt`)];
      openssl('req', '-x509', ...key, ...out, '-days', '2', '-subj', `/CN=${name}`);
    }
    issue('server', 'subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth\n');
    issue('client', 'extendedKeyUsage=clientAuth\n');
    const tls = { certFile: file('server.crt'), keyFile: file('server.key') };
    serverOnly = await startEtcd({ tls });
    mutual = await startEtcd({ tls: { ...tls, clientCaFile: file('ca.crt') } });
  });
  afterAll(async () => {
    await serverOnly?.stop();
    await mutual?.stop();
    rmSync(dir, { recursive: true, force: true });
  });

  it('works with a CA alone', async () => {
    const options = { endpoints: [serverOnly.endpoint], tls: { caFile: file('ca.crt') } };
    await withClient(options, (client) => client.get('x'));
  });

  it('works with a certificate where etcd asks for one, and says so where it is missing', async () => {
    const files = { caFile: file('ca.crt'), certFile: file('client.crt'), keyFile: file('client.key') };
    await withClient({ endpoints: [mutual.endpoint], tls: files }, (client) => client.get('x'));
    const without = { endpoints: [mutual.endpoint], tls: { caFile: file('ca.crt') }, callTimeoutMs: 1_000 };
    const error = await withClient(without, (client) => failureOf(client.get('x')));
    expect(['unavailable', 'deadline']).toContain(error.code);
  });

  it('does not talk to a server that the CA does not know', async () => {
    const options = { endpoints: [serverOnly.endpoint], tls: { caFile: file('foreign-ca.crt') }, callTimeoutMs: 1_000 };
    const error = await withClient(options, (client) => failureOf(client.get('x')));
    expect(error.code).toBe('unavailable');
    expect(error.message).toMatch(/certificate/);
  });
});
