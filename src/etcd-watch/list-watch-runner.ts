import { type Clock, type EtcdClient, EtcdError, type ListWatchSink, type WatchStream } from './etcd-watch.ts';
import { INITIAL_STATE, type ListWatchAction, type ListWatchInput, type ListWatchState, step } from './list-watch.ts';

export interface ListWatchOptions {
  readonly client: Pick<EtcdClient, 'range' | 'watch'>;
  /** Every key that starts with this. */
  readonly prefix: string;
  readonly sink: ListWatchSink;
  readonly clock: Clock;
  /** In [0, 1). */
  readonly random: () => number;
}

export interface ListWatch {
  /** Lists, then watches, until `stop`. Idempotent. */
  start(): void;
  /** The sink is not called afterwards, apart from the state `stopped`. Idempotent. */
  stop(): void;
}

/** Performs what the state machine (list-watch.ts) decides. */
export function createListWatch(options: ListWatchOptions): ListWatch {
  const runner = new Runner(options);
  return {
    start: () => runner.feed({ kind: 'start' }),
    stop: () => runner.feed({ kind: 'stop' }),
  };
}

class Runner {
  readonly #options: ListWatchOptions;
  readonly #queue: ListWatchInput[] = [];
  #state: ListWatchState = INITIAL_STATE;
  #feeding = false;
  #watch: WatchStream | undefined;
  #cancelTimer: () => void = () => {};

  constructor(options: ListWatchOptions) {
    this.#options = options;
  }

  /** One input at a time: what the sink causes (a `stop`, say) waits until the actions before it are done. */
  feed(input: ListWatchInput): void {
    this.#queue.push(input);
    if (this.#feeding) return;
    this.#feeding = true;
    try {
      for (let next = this.#queue.shift(); next !== undefined; next = this.#queue.shift()) {
        const environment = { nowMs: this.#options.clock.nowMs(), random: this.#options.random() };
        const { state, actions } = step(this.#state, next, environment);
        this.#state = state;
        for (const action of actions) this.#perform(action);
      }
    } finally {
      this.#feeding = false;
    }
  }

  #perform(action: ListWatchAction): void {
    const { sink, clock } = this.#options;
    switch (action.kind) {
      case 'list':
        this.#list(action.session);
        break;
      case 'open-watch':
        this.#openWatch(action.session, action.fromRevision);
        break;
      case 'close-watch':
        this.#watch?.close({ avoidEndpoint: action.avoidEndpoint });
        this.#watch = undefined;
        break;
      case 'set-timer': {
        const { session } = action;
        this.#cancelTimer();
        this.#cancelTimer = clock.schedule(action.delayMs, () => this.feed({ kind: 'timer', session }));
        break;
      }
      case 'clear-timer':
        this.#cancelTimer();
        break;
      case 'snapshot':
        sink.onSnapshot(action.listing.kvs, action.listing.revision);
        break;
      case 'changes':
        sink.onChanges(action.events, action.revision);
        break;
      case 'status':
        sink.onState?.(action.status);
        break;
    }
  }

  #list(session: number): void {
    const { client, prefix } = this.#options;
    client.range(prefix, { linearizable: true }).then(
      (listing) => this.feed({ kind: 'listed', session, listing }),
      (thrown: unknown) => {
        if (!(thrown instanceof EtcdError)) throw thrown;
        this.feed({ kind: 'list-failed', session, error: thrown });
      },
    );
  }

  #openWatch(session: number, fromRevision: bigint): void {
    const { client, prefix } = this.#options;
    this.#watch = client.watch(prefix, fromRevision, {
      onResponse: (response) => this.feed({ kind: 'response', session, response }),
      onEnd: (error) => this.feed({ kind: 'watch-ended', session, error }),
    });
  }
}
