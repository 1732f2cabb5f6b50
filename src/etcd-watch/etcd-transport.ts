import { Etcd3, type IOptions, type KVClient } from 'etcd3';
import type { Endpoint, TlsMaterial } from './endpoints.ts';
import { toEtcdError } from './etcd-error.ts';
import { EtcdError } from './etcd-watch.ts';

/** gRPC call options; etcd3 does not name the type itself. */
export type CallOptions = NonNullable<Parameters<KVClient['range']>[1]>;
type Interceptor = NonNullable<CallOptions['interceptors']>[number];
type FaultPolicy = NonNullable<NonNullable<IOptions['faultHandling']>['global']>;

export interface Credentials {
  readonly username: string;
  readonly password: string;
}

export interface TransportOptions {
  readonly endpoint: Endpoint;
  /** Used where the endpoint is https. */
  readonly tls: TlsMaterial | undefined;
  readonly credentials: Credentials | undefined;
  readonly callTimeoutMs: number;
}

/**
 * Channel options. A dead link is noticed within 15 s: etcd refuses pings more often than every 5 s. The 4 MiB default
 * on messages would fail a list of 50,000 leases. etcd's own client uses no HTTP proxy, so neither does this one.
 */
const CHANNEL_OPTIONS = {
  'grpc.keepalive_time_ms': 10_000,
  'grpc.keepalive_timeout_ms': 5_000,
  'grpc.keepalive_permit_without_calls': 1,
  'grpc.max_receive_message_length': -1,
  'grpc.initial_reconnect_backoff_ms': 100,
  'grpc.max_reconnect_backoff_ms': 2_000,
  'grpc.enable_http_proxy': 0,
};

/** Retries and circuit breakers are ours: etcd3's own hold calls back for seconds after the server has returned. */
const NO_FAULT_HANDLING: FaultPolicy = {
  _altReturn: undefined as never,
  onSuccess: () => ({ dispose() {} }),
  onFailure: () => ({ dispose() {} }),
  execute: async (fn, signal) => fn({ signal: signal ?? new AbortController().signal }),
};

/**
 * One endpoint: an etcd3 client used for its raw calls, plus the authentication token. (etcd3 would authenticate by
 * itself, but over a new channel each time, without a bound on repetition and not for streams.)
 */
export class EtcdTransport {
  readonly url: string;
  readonly #client: Etcd3;
  readonly #options: TransportOptions;
  #token: Promise<string> | undefined;

  constructor(options: TransportOptions) {
    this.url = options.endpoint.url;
    this.#options = options;
    this.#client = new Etcd3({
      hosts: options.endpoint.url,
      grpcOptions: CHANNEL_OPTIONS,
      faultHandling: { host: () => NO_FAULT_HANDLING, global: NO_FAULT_HANDLING },
      ...(options.endpoint.secure && options.tls !== undefined ? { credentials: options.tls } : {}),
    });
  }

  /**
   * A unary call with deadline and token. A token that etcd no longer knows (it restarted, or five idle minutes went
   * by) is renewed once. @throws EtcdError
   */
  async call<T>(perform: (client: Etcd3, options: CallOptions) => Promise<T>): Promise<T> {
    const hadToken = this.#token !== undefined;
    try {
      return await perform(this.#client, await this.#callOptions({}));
    } catch (thrown) {
      const error = toEtcdError(this.url, thrown);
      if (error.code !== 'unauthenticated' || this.#options.credentials === undefined) throw error;
      this.#token = undefined;
      if (!hadToken) throw error;
    }
    try {
      return await perform(this.#client, await this.#callOptions({}));
    } catch (thrown) {
      throw toEtcdError(this.url, thrown);
    }
  }

  /**
   * Opens a raw stream. `requireLeader`: a member cut off from its peers refuses instead of staying silent.
   * `deadlineMs` ends the whole stream; 0 means none. @throws EtcdError
   */
  async openStream<T>(
    open: (client: Etcd3, options: CallOptions) => Promise<T>,
    options: { readonly requireLeader: boolean; readonly deadlineMs: number },
  ): Promise<T> {
    try {
      const { deadline: _, ...callOptions } = await this.#callOptions(
        options.requireLeader ? { hasleader: 'true' } : {},
      );
      if (options.deadlineMs === 0) return await open(this.#client, callOptions);
      return await open(this.#client, { ...callOptions, deadline: Date.now() + options.deadlineMs });
    } catch (thrown) {
      throw toEtcdError(this.url, thrown);
    }
  }

  close(): void {
    this.#client.close();
  }

  async #callOptions(metadata: Record<string, string>): Promise<CallOptions> {
    const token = await this.#authenticate();
    const entries = { ...metadata, ...(token === '' ? {} : { token }) };
    const interceptors = Object.keys(entries).length === 0 ? [] : [addMetadata(entries)];
    return { deadline: Date.now() + this.#options.callTimeoutMs, interceptors };
  }

  /** @returns the token, empty where none is needed. Calls at the same time share one request. */
  #authenticate(): Promise<string> {
    const { credentials } = this.#options;
    if (credentials === undefined) return Promise.resolve('');
    if (this.#token === undefined) {
      const token = this.#requestToken(credentials);
      this.#token = token;
      token.catch(() => {
        if (this.#token === token) this.#token = undefined;
      });
    }
    return this.#token;
  }

  async #requestToken({ username, password }: Credentials): Promise<string> {
    try {
      const deadline = Date.now() + this.#options.callTimeoutMs;
      const answer = await this.#client.auth.authenticate({ name: username, password }, { deadline });
      return answer.token;
    } catch (thrown) {
      const error = toEtcdError(this.url, thrown);
      // As etcd's own client: a user name given to an etcd without authentication is of no consequence.
      if (error.code === 'precondition') return '';
      throw new EtcdError(error.code, this.url, `login as "${username}": ${error.detail}`, { cause: error });
    }
  }
}

/**
 * Ends a raw stream at once. The half-close in front is for etcd3: it takes the error that follows the cancelling of a
 * writable stream as a sign that the host is broken and closes the channels of all other calls.
 */
export function hangUp(stream: { end(): void; cancel(): void }): void {
  stream.end();
  stream.cancel();
}

function addMetadata(entries: Readonly<Record<string, string>>): Interceptor {
  return (options, nextCall) => {
    const call = nextCall(options);
    const start = call.start.bind(call);
    call.start = (metadata, listener) => {
      const own = metadata.clone();
      for (const [name, value] of Object.entries(entries)) own.set(name, value);
      start(own, listener);
    };
    return call as ReturnType<Interceptor>;
  };
}
