import { OperatorError } from '../errors/errors.ts';
import type { Clock, EtcdClient } from '../etcd-watch/etcd-watch.ts';
import { createRefusalLog } from '../etcd-watch/watch-log.ts';
import type { Logger } from '../log/log.ts';
import { configKey } from './lease-table.ts';
import { pause, persist } from './retry.ts';

/** As flanneld: the key is read again every second until it is good. */
const REREAD_MS = 1_000;

export interface WaitForConfigOptions<C> {
  readonly client: Pick<EtcdClient, 'get'>;
  readonly etcdPrefix: string;
  readonly parse: (value: Uint8Array) => ParsedConfig<C>;
  readonly logger: Logger;
  readonly clock: Clock;
  readonly random: () => number;
  readonly signal: AbortSignal;
}

/** `fatal`: waiting would be of no use (an unknown backend, say); the daemon ends with the message. */
export type ParsedConfig<C> =
  | { readonly ok: true; readonly config: C }
  | { readonly ok: false; readonly problems: readonly { readonly message: string; readonly fatal?: boolean }[] };

/**
 * Reads `<prefix>/config` until it is good. What is wrong is said once per change of the key or of what is wrong with
 * it; an etcd that refuses is reported at once and then sparingly, one that is silent by the client.
 * @throws OperatorError `config` for a fatal problem; the signal's reason.
 */
export async function waitForConfig<C>(options: WaitForConfigOptions<C>): Promise<C> {
  const { client, etcdPrefix, parse, logger, clock, random, signal } = options;
  const key = configKey(etcdPrefix);
  const refusals = createRefusalLog(logger, () => clock.nowMs(), `read ${key}`);
  let said = '';
  for (;;) {
    const { kv } = await persist({ clock, random, signal, refusals }, () => client.get(key));
    const parsed: ParsedConfig<C> =
      kv === undefined ? { ok: false, problems: [{ message: missing(key) }] } : parse(kv.value);
    if (parsed.ok) return parsed.config;
    const text = parsed.problems.map(({ message }) => message).join('; ');
    if (parsed.problems.some(({ fatal }) => fatal === true))
      throw new OperatorError('config', `etcd key ${key}: ${text}`);
    const finding = `${kv?.modRevision ?? 0n} ${text}`;
    if (finding !== said) {
      logger.warn({ key, revision: Number(kv?.modRevision ?? 0n) }, `waiting for a usable ${key} in etcd: ${text}`);
    }
    said = finding;
    await pause(clock, REREAD_MS, signal);
  }
}

function missing(key: string): string {
  return `the key does not exist; set it with: etcdctl put ${key} '{"Network":"10.5.0.0/16","Backend":{"Type":"udp"}}'`;
}
