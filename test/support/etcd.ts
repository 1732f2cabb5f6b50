/** A real etcd of one member for tests, its data in a temporary directory. */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { freePorts } from './free-port.ts';

export interface EtcdOptions {
  /** Address that clients connect to; anything but loopback needs `clientPort` as well. */
  readonly listenAddress?: string;
  readonly clientPort?: number;
  /** In front of every command, such as `['ip', 'netns', 'exec', 'NAME']`; must exec, so that the pid is etcd's. */
  readonly commandPrefix?: readonly string[];
  readonly extraFlags?: readonly string[];
  /** Serve https with these files (and ask for client certificates where `clientCaFile` is given). */
  readonly tls?: { readonly certFile: string; readonly keyFile: string; readonly clientCaFile?: string };
  /** Options of etcdctl (`--cacert=...`, `--user=...`) */
  readonly ctlFlags?: readonly string[];
}

export interface TestEtcd {
  /** `http://127.0.0.1:PORT` */
  readonly endpoint: string;
  readonly port: number;
  readonly pid: number | undefined;
  /** Runs etcdctl and returns what it prints. */
  ctl(...args: string[]): Promise<string>;
  put(key: string, value: string): Promise<void>;
  /** SIGKILL; the data stays. */
  kill(): Promise<void>;
  /** Starts the same member again, on the same port and data. */
  restart(): Promise<void>;
  /** As after the loss of a disk: empty data, same port. */
  wipe(): Promise<void>;
  /** Ends the process and removes the data. Idempotent. */
  stop(): Promise<void>;
}

const START_ATTEMPTS = 5;
const run = promisify(execFile);

/** Starts etcd and waits until it serves. Another process may take a port first: then others are tried. */
export async function startEtcd(options: EtcdOptions = {}): Promise<TestEtcd> {
  const dataDir = await mkdtemp(join(tmpdir(), 'flannel0-etcd-'));
  for (let attempt = 1; ; attempt++) {
    const [clientPort, peerPort] = await freePorts(2);
    if (clientPort === undefined || peerPort === undefined) throw new Error('no free port');
    const etcd = new Member(options, dataDir, options.clientPort ?? clientPort, peerPort);
    try {
      await etcd.restart();
      return etcd;
    } catch (error) {
      if (attempt === START_ATTEMPTS) throw error;
    }
  }
}

class Member implements TestEtcd {
  readonly endpoint: string;
  readonly port: number;
  readonly #options: EtcdOptions;
  readonly #dataDir: string;
  readonly #peerPort: number;
  #process: ChildProcess | undefined;

  constructor(options: EtcdOptions, dataDir: string, port: number, peerPort: number) {
    this.#options = options;
    this.#dataDir = dataDir;
    this.#peerPort = peerPort;
    this.port = port;
    const scheme = options.tls === undefined ? 'http' : 'https';
    this.endpoint = `${scheme}://${options.listenAddress ?? '127.0.0.1'}:${port}`;
  }

  get pid(): number | undefined {
    return this.#process?.pid;
  }

  async restart(): Promise<void> {
    const [command = 'etcd', ...args] = [...(this.#options.commandPrefix ?? []), 'etcd', ...this.#flags()];
    const child = spawn(command, args, { stdio: ['ignore', 'ignore', 'pipe'] });
    this.#process = child;
    let output = '';
    await new Promise<void>((resolve, reject) => {
      child.stderr.setEncoding('utf8').on('data', (text: string) => {
        if (output === 'served') return;
        output += text;
        if (!output.includes('ready to serve client requests')) return;
        output = 'served';
        resolve();
      });
      child.on('error', reject);
      child.on('exit', (code, signal) => reject(new Error(`etcd ended (${code ?? signal}): ${output.slice(-2000)}`)));
    });
  }

  async ctl(...args: string[]): Promise<string> {
    const { commandPrefix = [], ctlFlags = [] } = this.#options;
    const line = [...commandPrefix, 'etcdctl', `--endpoints=${this.endpoint}`, ...ctlFlags, ...args];
    const [command = 'etcdctl', ...rest] = line;
    const { stdout } = await run(command, rest, { env: { ...process.env, ETCDCTL_API: '3' } });
    return stdout;
  }

  async put(key: string, value: string): Promise<void> {
    await this.ctl('put', '--', key, value);
  }

  async kill(): Promise<void> {
    await this.#end('SIGKILL');
  }

  async wipe(): Promise<void> {
    await this.#end('SIGKILL');
    await rm(this.#dataDir, { recursive: true, force: true });
    await this.restart();
  }

  async stop(): Promise<void> {
    await this.#end('SIGTERM');
    await rm(this.#dataDir, { recursive: true, force: true });
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    const child = this.#process;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, 'exit');
    child.kill(signal);
    await ended;
  }

  #flags(): string[] {
    const peerUrl = `http://127.0.0.1:${this.#peerPort}`;
    const { tls, extraFlags = [] } = this.#options;
    const secure = tls === undefined ? [] : [`--cert-file=${tls.certFile}`, `--key-file=${tls.keyFile}`];
    if (tls?.clientCaFile !== undefined) secure.push('--client-cert-auth', `--trusted-ca-file=${tls.clientCaFile}`);
    return [
      `--data-dir=${join(this.#dataDir, 'member')}`,
      `--listen-client-urls=${this.endpoint}`,
      `--advertise-client-urls=${this.endpoint}`,
      `--listen-peer-urls=${peerUrl}`,
      `--initial-advertise-peer-urls=${peerUrl}`,
      `--initial-cluster=default=${peerUrl}`,
      ...secure,
      ...extraFlags,
    ];
  }
}
