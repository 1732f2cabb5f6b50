import type { ICompare, IEvent, IKeyValue, IRequestOp, ITxnResponse, IWatchResponse } from 'etcd3';
import type { Compare, KeyValue, Operation, TxnResult, WatchEvent, WatchResponse } from './etcd-watch.ts';

export function encodeKey(key: string): Buffer {
  return Buffer.from(key, 'utf8');
}

/** First key after all those that start with `prefix` (etcd `rpc.proto`, RangeRequest.range_end). */
export function rangeEnd(prefix: string): Buffer {
  const end = encodeKey(prefix);
  for (let i = end.length - 1; i >= 0; i--) {
    const byte = end[i] ?? 0xff;
    if (byte < 0xff) {
      end[i] = byte + 1;
      return end.subarray(0, i + 1);
    }
  }
  return Buffer.of(0);
}

const REPLACEMENT = '\ufffd';

function decodeKey(bytes: Buffer): string {
  const text = bytes.toString('utf8');
  if (!text.includes(REPLACEMENT) || encodeKey(text).equals(bytes)) return text;
  const shown = (byte: number) =>
    byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : `\\x${byte.toString(16).padStart(2, '0')}`;
  return Array.from(bytes, shown).join('');
}

export function decodeKeyValue(kv: IKeyValue): KeyValue {
  return {
    key: decodeKey(kv.key),
    value: kv.value,
    createRevision: BigInt(kv.create_revision),
    modRevision: BigInt(kv.mod_revision),
    version: BigInt(kv.version),
    leaseId: BigInt(kv.lease),
  };
}

/** The enums arrive as the names of the protocol (`PUT`), although etcd3's types say otherwise. */
function decodeEvent(event: IEvent): WatchEvent {
  if (String(event.type).toUpperCase() === 'PUT') return { kind: 'put', kv: decodeKeyValue(event.kv) };
  return { kind: 'delete', key: decodeKey(event.kv.key), modRevision: BigInt(event.kv.mod_revision) };
}

export function decodeWatchResponse(response: IWatchResponse): WatchResponse {
  return {
    headerRevision: BigInt(response.header.revision),
    created: response.created,
    canceled: response.canceled,
    compactRevision: BigInt(response.compact_revision),
    cancelReason: response.cancel_reason,
    fragment: response.fragment,
    events: response.events.map(decodeEvent),
  };
}

export function encodeCompare(compare: Compare): ICompare {
  const key = encodeKey(compare.key);
  const value = compare.equals.toString();
  return compare.target === 'version'
    ? { result: 'Equal', target: 'Version', key, version: value }
    : { result: 'Equal', target: 'Mod', key, mod_revision: value };
}

export function encodeOperation(operation: Operation): IRequestOp {
  const key = encodeKey(operation.key);
  switch (operation.kind) {
    case 'put':
      return { request_put: { key, value: Buffer.from(operation.value), lease: operation.leaseId.toString() } };
    case 'delete':
      return { request_delete_range: { key } };
    case 'get':
      return { request_range: { key } };
  }
}

export function decodeTxn(response: ITxnResponse, taken: readonly Operation[]): TxnResult {
  const gets = taken.flatMap((operation, index) => {
    if (operation.kind !== 'get') return [];
    const kv = response.responses[index]?.response_range?.kvs[0];
    return [kv === undefined ? undefined : decodeKeyValue(kv)];
  });
  return { succeeded: response.succeeded, revision: BigInt(response.header.revision), gets };
}
