import type { Logger } from '../log/log.ts';
import { type Endpoint, loadTls, parseEndpoints, type TlsFiles } from './endpoints.ts';
import { decodeKeyValue, decodeTxn, encodeCompare, encodeKey, encodeOperation, rangeEnd } from './etcd-codec.ts';
import { isConnectionTrouble, toEtcdError } from './etcd-error.ts';
import { EtcdTransport, hangUp } from './etcd-transport.ts';
import {
  type Compare,
  type EtcdClient,
  EtcdError,
  type KeyValue,
  type Listing,
  type Operation,
  type TxnResult,
  type WatchHandlers,
  type WatchStream,
} from './etcd-watch.ts';
import { type OutageNotice, OutageTracker } from './outage.ts';
import { openWatch } from './watch-stream.ts';

export interface EtcdClientOptions {
  /** As on the command line: `http[s]://HOST[:PORT]`. */
  readonly endpoints: readonly string[];
  /** Empty user name: no authentication. */
  readonly username?: string;
  readonly password?: string;
  /** Read once, and only where an endpoint is https. */
  readonly tls?: TlsFiles;
  /** Deadline of each try of a unary call. */
  readonly callTimeoutMs?: number;
  readonly nowMs?: () => number;
  /** At most: once when no endpoint answers any more, then ever more rarely, once when one answers again. */
  readonly onHealth?: (event: HealthEvent) => void;
}

export interface HealthEvent {
  readonly notice: OutageNotice;
  /** What each endpoint came back with; empty when up. */
  readonly failures: readonly { readonly endpoint: string; readonly detail: string }[];
}

const CALL_TIMEOUT_MS = 5_000;

/** Makes a client; nothing is sent yet. @throws OperatorError `usage` for bad endpoints or TLS files. */
export function createEtcdClient(options: EtcdClientOptions): EtcdClient {
  const endpoints = parseEndpoints(options.endpoints);
  const tls = endpoints.some((endpoint) => endpoint.secure) ? loadTls(options.tls ?? {}) : undefined;
  const { username = '', password = '' } = options;
  const callTimeoutMs = options.callTimeoutMs ?? CALL_TIMEOUT_MS;
  const credentials = username === '' ? undefined : { username, password };
  const transports = endpoints.map(
    (endpoint: Endpoint) => new EtcdTransport({ endpoint, tls, credentials, callTimeoutMs }),
  );
  return new FailoverClient(transports, options);
}

/** Turns health events into log lines. */
export function logHealth(logger: Logger): (event: HealthEvent) => void {
  return ({ notice, failures }) => {
    const causes = failures.map(({ endpoint, detail }) => `${endpoint}: ${detail}`).join('; ');
    if (notice.kind === 'down') logger.warn({ failures }, `etcd does not answer, still trying: ${causes}`);
    else if (notice.kind === 'up') logger.info({ outageMs: Math.round(notice.downMs) }, 'etcd answers again');
    else {
      const downSeconds = Math.round(notice.downMs / 1000);
      logger.warn({ failures, downSeconds }, `etcd has not answered for ${downSeconds} s, still trying: ${causes}`);
    }
  };
}

/** Whether a call may be sent again where it is not known if the first one was carried out. */
type Repeat = 'repeatable' | 'once';

class FailoverClient implements EtcdClient {
  readonly #transports: readonly EtcdTransport[];
  readonly #callTimeoutMs: number;
  readonly #nowMs: () => number;
  readonly #onHealth: (event: HealthEvent) => void;
  readonly #outage = new OutageTracker();
  /** Endpoints that failed since one last answered, each with its cause. */
  readonly #failures = new Map<string, string>();
  #current = 0;
  #closed = false;

  constructor(transports: readonly EtcdTransport[], options: EtcdClientOptions) {
    this.#transports = transports;
    this.#callTimeoutMs = options.callTimeoutMs ?? CALL_TIMEOUT_MS;
    this.#nowMs = options.nowMs ?? (() => performance.now());
    this.#onHealth = options.onHealth ?? (() => {});
  }

  async range(prefix: string, options: { readonly linearizable: boolean }): Promise<Listing> {
    const request = { key: encodeKey(prefix), range_end: rangeEnd(prefix), serializable: !options.linearizable };
    const answer = await this.#unary('repeatable', (transport) =>
      transport.call((client, callOptions) => client.kv.range(request, callOptions)),
    );
    return { revision: BigInt(answer.header.revision), kvs: answer.kvs.map(decodeKeyValue) };
  }

  async get(key: string): Promise<{ readonly kv: KeyValue | undefined; readonly revision: bigint }> {
    const answer = await this.#unary('repeatable', (transport) =>
      transport.call((client, callOptions) => client.kv.range({ key: encodeKey(key) }, callOptions)),
    );
    const kv = answer.kvs[0];
    return { kv: kv === undefined ? undefined : decodeKeyValue(kv), revision: BigInt(answer.header.revision) };
  }

  async txn(
    compares: readonly Compare[],
    thenOps: readonly Operation[],
    elseOps: readonly Operation[],
  ): Promise<TxnResult> {
    const request = {
      compare: compares.map(encodeCompare),
      success: thenOps.map(encodeOperation),
      failure: elseOps.map(encodeOperation),
    };
    const answer = await this.#unary('once', (transport) =>
      transport.call((client, callOptions) => client.kv.txn(request, callOptions)),
    );
    return decodeTxn(answer, answer.succeeded ? thenOps : elseOps);
  }

  async leaseGrant(leaseId: bigint, ttlSeconds: number): Promise<{ readonly ttlSeconds: number }> {
    const request = { ID: leaseId.toString(), TTL: ttlSeconds };
    let sent = 0;
    try {
      const answer = await this.#unary('repeatable', (transport) => {
        sent++;
        return transport.call((client, callOptions) => client.leaseClient.leaseGrant(request, callOptions));
      });
      return { ttlSeconds: Number(answer.TTL) };
    } catch (thrown) {
      const error = toEtcdError('', thrown);
      // An earlier try of this call arrived after all: the id is random, so the lease is ours.
      if (error.code === 'precondition' && sent > 1) return { ttlSeconds };
      throw error;
    }
  }

  async leaseKeepAlive(leaseId: bigint): Promise<{ readonly ttlSeconds: number }> {
    return this.#unary('repeatable', async (transport) => {
      const stream = await transport.openStream(
        (client, callOptions) => client.leaseClient.leaseKeepAlive(callOptions),
        { requireLeader: false, deadlineMs: this.#callTimeoutMs },
      );
      try {
        const answer = await new Promise<{ TTL: string }>((resolve, reject) => {
          stream.on('data', resolve);
          stream.on('error', (cause) => reject(toEtcdError(transport.url, cause)));
          stream.on('end', () => reject(new EtcdError('unavailable', transport.url, 'keepalive ended unanswered')));
          stream.write({ ID: leaseId.toString() });
        });
        return { ttlSeconds: Math.max(0, Number(answer.TTL)) };
      } finally {
        hangUp(stream);
      }
    });
  }

  async leaseRevoke(leaseId: bigint): Promise<void> {
    try {
      await this.#unary('repeatable', (transport) =>
        transport.call((client, callOptions) =>
          client.leaseClient.leaseRevoke({ ID: leaseId.toString() }, callOptions),
        ),
      );
    } catch (thrown) {
      const error = toEtcdError('', thrown);
      if (error.code !== 'lease-not-found') throw error;
    }
  }

  async leaseKeys(leaseId: bigint): Promise<readonly string[]> {
    const request = { ID: leaseId.toString(), keys: true };
    const answer = await this.#unary('repeatable', (transport) =>
      transport.call((client, callOptions) => client.leaseClient.leaseTimeToLive(request, callOptions)),
    );
    return answer.keys.map((key) => key.toString('utf8'));
  }

  watch(prefix: string, fromRevision: bigint, handlers: WatchHandlers): WatchStream {
    const transport = this.#pick();
    const stream = openWatch(transport, prefix, fromRevision, {
      onResponse: (response) => {
        this.#answered();
        handlers.onResponse(response);
      },
      onEnd: (error) => {
        if (error !== undefined && isConnectionTrouble(error)) this.#failed(transport, error);
        handlers.onEnd(error);
      },
    });
    return {
      close: (options) => {
        if (options?.avoidEndpoint === true) this.#avoid(transport);
        stream.close();
      },
    };
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const transport of this.#transports) transport.close();
  }

  /** Tries the endpoints in turn, from the one that answered last. */
  async #unary<T>(repeat: Repeat, perform: (transport: EtcdTransport) => Promise<T>): Promise<T> {
    for (let tries = 1; ; tries++) {
      const transport = this.#pick();
      try {
        const answer = await perform(transport);
        this.#answered();
        return answer;
      } catch (thrown) {
        const error = toEtcdError(transport.url, thrown);
        if (this.#closed) throw new EtcdError('closed', transport.url, 'the client was closed', { cause: error });
        if (!isConnectionTrouble(error)) {
          this.#answered();
          throw error;
        }
        this.#failed(transport, error);
        if (repeat === 'once' || tries >= this.#transports.length) throw this.#summary(error);
      }
    }
  }

  #pick(): EtcdTransport {
    const transport = this.#transports[this.#current];
    if (transport === undefined) throw new RangeError('a client needs an endpoint');
    return transport;
  }

  #avoid(transport: EtcdTransport): void {
    if (this.#pick() === transport) this.#current = (this.#current + 1) % this.#transports.length;
  }

  #answered(): void {
    this.#failures.clear();
    const notice = this.#outage.worked(this.#nowMs());
    if (notice !== undefined) this.#onHealth({ notice, failures: [] });
  }

  #failed(transport: EtcdTransport, error: EtcdError): void {
    this.#avoid(transport);
    if (this.#closed) return;
    this.#failures.set(transport.url, error.detail);
    if (this.#failures.size < this.#transports.length) return;
    const notice = this.#outage.failed(this.#nowMs());
    const failures = [...this.#failures].map(([endpoint, detail]) => ({ endpoint, detail }));
    if (notice !== undefined) this.#onHealth({ notice, failures });
  }

  /** The error of the last try, with those of the other endpoints beside it. */
  #summary(last: EtcdError): EtcdError {
    if (this.#failures.size < 2) return last;
    const endpoints = [...this.#failures.keys()].join(', ');
    const details = [...this.#failures].map(([endpoint, detail]) => `${endpoint}: ${detail}`).join('; ');
    return new EtcdError(last.code, endpoints, details, { cause: last });
  }
}
