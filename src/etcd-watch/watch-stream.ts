import type { IDuplexStream, IWatchRequest, IWatchResponse } from 'etcd3';
import { decodeWatchResponse, encodeKey, rangeEnd } from './etcd-codec.ts';
import { toEtcdError } from './etcd-error.ts';
import { type EtcdTransport, hangUp } from './etcd-transport.ts';
import type { WatchHandlers, WatchStream } from './etcd-watch.ts';

type RawStream = IDuplexStream<IWatchRequest, IWatchResponse>;

/**
 * One watch on one raw stream, with progress notifications. No WatchProgressRequest is ever sent: before etcd 3.4.25
 * its answer may overtake events (etcd-io/etcd #15220).
 */
export function openWatch(
  transport: EtcdTransport,
  prefix: string,
  fromRevision: bigint,
  handlers: WatchHandlers,
): WatchStream {
  let over = false;
  let raw: RawStream | undefined;
  const end = (cause: unknown) => {
    if (over) return;
    over = true;
    if (raw !== undefined) hangUp(raw);
    handlers.onEnd(cause === undefined ? undefined : toEtcdError(transport.url, cause));
  };
  const begin = (stream: RawStream) => {
    raw = stream;
    stream.on('error', end);
    stream.on('end', () => end(undefined));
    if (over) {
      hangUp(stream);
      return;
    }
    stream.on('data', (response) => {
      if (!over) handlers.onResponse(decodeWatchResponse(response));
    });
    stream.write({
      create_request: {
        key: encodeKey(prefix),
        range_end: rangeEnd(prefix),
        start_revision: fromRevision.toString(),
        progress_notify: true,
      },
    });
  };
  transport
    .openStream((client, options) => client.watchClient.watch(options), { requireLeader: true, deadlineMs: 0 })
    .then(begin)
    .catch(end);
  return {
    close() {
      over = true;
      if (raw !== undefined) hangUp(raw);
    },
  };
}
