/**
 * Keeping the lease, as a pure state machine: `(state, input, environment) -> (state, actions)`.
 *
 *   holding --- keepalive answered TTL 0, TTL over on the boot clock, key gone or damaged ---> regaining
 *      ^  \                                                                                      |    |
 *      |   \--- key carries another host's public IP ---> taken <--- subnet is another's --------+    |
 *      +----------------------------------- same subnet held again -----------------------------------+
 *
 * The TTL is counted from the SENDING of the last keepalive that was answered, on a clock that runs through suspend: by
 * then etcd has at least that much left to go. A keepalive leaves the key alone, so no peer sees anything of it.
 * While regaining, the data plane stays as it is: whether the subnet has become another host's is not known before
 * etcd answers, and only that ends the daemon.
 */
import type { EtcdErrorCode } from '../etcd-watch/etcd-watch.ts';
import type { HeldLease, Reacquired } from './lease-manager.ts';

/** One wake-up a minute is nothing, and 1440 keepalives a day keep a lease through any outage shorter than its TTL. */
const MAX_INTERVAL_SECONDS = 60;
const RETRY_SECONDS = 5;
/** Timers below this would wake the process too often, whatever TTL was asked for. */
const MIN_DELAY_SECONDS = 0.25;

/** Why the lease is no longer certain to be ours. */
export type LossReason = 'expired' | 'revoked' | 'key-deleted' | 'key-damaged';

export type RenewalEvent =
  /** Not ours for certain any more; the same subnet is being taken again. */
  | { readonly kind: 'lost'; readonly reason: LossReason }
  | { readonly kind: 'regained'; readonly held: HeldLease }
  /** Another host's now. The machine has ended. */
  | { readonly kind: 'taken'; readonly by: string }
  /** Keepalives fail and less than the renew margin is left. Once per outage. */
  | { readonly kind: 'expiring'; readonly remainingSeconds: number; readonly code: EtcdErrorCode | 'none' }
  /** The key was rewritten without an etcd lease: an operator made it a reservation. */
  | { readonly kind: 'became-reservation'; readonly held: HeldLease }
  /** The key was rewritten with our public IP under a lease that is not ours: two daemons use this public IP. */
  | { readonly kind: 'shared' };

/** What stands at our key, as the list-and-watch shows it. */
export type KeyView =
  | { readonly kind: 'absent' }
  | { readonly kind: 'damaged'; readonly modRevision: bigint }
  | { readonly kind: 'ours'; readonly modRevision: bigint; readonly leaseId: bigint }
  | { readonly kind: 'other'; readonly modRevision: bigint; readonly by: string };

export type RenewalState =
  | { readonly kind: 'stopped' }
  | {
      readonly kind: 'holding';
      readonly held: HeldLease;
      /** Under way; its answer is awaited. */
      readonly sending: boolean;
      readonly warned: boolean;
      readonly lastCode: EtcdErrorCode | 'none';
    }
  | {
      readonly kind: 'regaining';
      readonly held: HeldLease;
      /** What was seen of the key meanwhile: the watch may be ahead of the answer to our own write. */
      readonly seen: KeySighting | undefined;
    };

interface KeySighting {
  readonly view: KeyView;
  readonly revision: bigint;
}

export type RenewalInput =
  | { readonly kind: 'start'; readonly held: HeldLease }
  | { readonly kind: 'stop' }
  | { readonly kind: 'timer' }
  | { readonly kind: 'kept'; readonly leaseId: bigint; readonly sentAtSeconds: number; readonly ttlSeconds: number }
  | { readonly kind: 'keep-failed'; readonly leaseId: bigint; readonly code: EtcdErrorCode }
  | { readonly kind: 'key'; readonly view: KeyView; readonly revision: bigint }
  | { readonly kind: 'reacquired'; readonly result: Reacquired };

export type RenewalAction =
  | { readonly kind: 'keep'; readonly leaseId: bigint }
  | { readonly kind: 'set-timer'; readonly delayMs: number }
  | { readonly kind: 'clear-timer' }
  | { readonly kind: 'reacquire'; readonly held: HeldLease }
  | { readonly kind: 'emit'; readonly event: RenewalEvent };

export interface RenewalEnvironment {
  /** Boot clock. */
  readonly nowSeconds: number;
  readonly random: number;
  /** `--subnet-lease-renew-margin`, in seconds. */
  readonly renewMarginSeconds: number;
}

export interface RenewalStep {
  readonly state: RenewalState;
  readonly actions: readonly RenewalAction[];
}

type Holding = Extract<RenewalState, { kind: 'holding' }>;

/**
 * Seconds between keepalives: a third of the TTL, at most a minute, and never so long that less than the renew margin
 * (where it is shorter than the TTL) would be left.
 */
export function keepaliveIntervalSeconds(ttlSeconds: number, renewMarginSeconds: number): number {
  const beforeMargin = renewMarginSeconds < ttlSeconds ? ttlSeconds - renewMarginSeconds : ttlSeconds;
  return Math.max(MIN_DELAY_SECONDS, Math.min(ttlSeconds / 3, MAX_INTERVAL_SECONDS, beforeMargin));
}

export function stepRenewal(state: RenewalState, input: RenewalInput, environment: RenewalEnvironment): RenewalStep {
  if (input.kind === 'start') return state.kind === 'stopped' ? hold(input.held, environment, []) : stay(state);
  if (input.kind === 'stop') return { state: { kind: 'stopped' }, actions: [{ kind: 'clear-timer' }] };
  switch (state.kind) {
    case 'stopped':
      return stay(state);
    case 'regaining':
      if (input.kind === 'key') return stay({ ...state, seen: { view: input.view, revision: input.revision } });
      return input.kind === 'reacquired' ? reacquired(state.seen, input.result, environment) : stay(state);
    case 'holding':
      return whileHolding(state, input, environment);
  }
}

function whileHolding(state: Holding, input: RenewalInput, environment: RenewalEnvironment): RenewalStep {
  switch (input.kind) {
    case 'timer':
      return timeUp(state, environment);
    case 'kept':
      if (input.leaseId !== state.held.leaseId) return stay(state);
      if (input.ttlSeconds === 0) return lose(state, 'revoked');
      return hold(
        { ...state.held, ttlSeconds: input.ttlSeconds, confirmedAtSeconds: input.sentAtSeconds },
        environment,
        [],
      );
    case 'keep-failed':
      if (input.leaseId !== state.held.leaseId) return stay(state);
      if (input.code === 'lease-not-found') return lose(state, 'revoked');
      return keepFailed(state, input.code, environment);
    case 'key':
      return keySeen(state, input.view, input.revision, environment);
    default:
      return stay(state);
  }
}

function stay(state: RenewalState): RenewalStep {
  return { state, actions: [] };
}

function hold(held: HeldLease, environment: RenewalEnvironment, before: readonly RenewalAction[]): RenewalStep {
  const state = { kind: 'holding', held, sending: false, warned: false, lastCode: 'none' } as const;
  if (held.leaseId === 0n) return { state, actions: [...before, { kind: 'clear-timer' }] };
  const interval = keepaliveIntervalSeconds(held.ttlSeconds, environment.renewMarginSeconds);
  // Up to a tenth early: hosts that started together must not stay in step.
  const due = held.confirmedAtSeconds + interval * (1 - environment.random / 10);
  return { state, actions: [...before, timerIn(due - environment.nowSeconds)] };
}

function timerIn(seconds: number): RenewalAction {
  return { kind: 'set-timer', delayMs: Math.round(Math.max(MIN_DELAY_SECONDS, seconds) * 1000) };
}

function remainingSeconds({ held }: Holding, environment: RenewalEnvironment): number {
  return held.confirmedAtSeconds + held.ttlSeconds - environment.nowSeconds;
}

function timeUp(state: Holding, environment: RenewalEnvironment): RenewalStep {
  if (state.held.leaseId === 0n) return stay(state);
  const remaining = remainingSeconds(state, environment);
  if (remaining <= 0) return lose(state, 'expired');
  const warn = !state.warned && state.lastCode !== 'none' && remaining < environment.renewMarginSeconds;
  const actions: RenewalAction[] = warn
    ? [{ kind: 'emit', event: { kind: 'expiring', remainingSeconds: remaining, code: state.lastCode } }]
    : [];
  const next = { ...state, warned: state.warned || warn, sending: true };
  if (!state.sending) actions.push({ kind: 'keep', leaseId: state.held.leaseId });
  return { state: next, actions: [...actions, timerIn(retryDelay(state, remaining))] };
}

function retryDelay({ held }: Holding, remaining: number): number {
  return Math.min(RETRY_SECONDS, held.ttlSeconds / 6, remaining);
}

function keepFailed(state: Holding, code: EtcdErrorCode, environment: RenewalEnvironment): RenewalStep {
  const next = { ...state, sending: false, lastCode: code };
  const remaining = remainingSeconds(state, environment);
  if (remaining <= 0) return lose(next, 'expired');
  return { state: next, actions: [timerIn(retryDelay(state, remaining) * (0.5 + environment.random / 2))] };
}

function lose(state: Holding, reason: LossReason): RenewalStep {
  const { held } = state;
  return {
    state: { kind: 'regaining', held, seen: undefined },
    actions: [{ kind: 'clear-timer' }, { kind: 'emit', event: { kind: 'lost', reason } }, { kind: 'reacquire', held }],
  };
}

function taken(by: string): RenewalStep {
  return {
    state: { kind: 'stopped' },
    actions: [{ kind: 'clear-timer' }, { kind: 'emit', event: { kind: 'taken', by } }],
  };
}

function reacquired(seen: KeySighting | undefined, result: Reacquired, environment: RenewalEnvironment): RenewalStep {
  if (result.kind === 'taken') return taken(result.by);
  const holding = hold(result.held, environment, [{ kind: 'emit', event: { kind: 'regained', held: result.held } }]);
  if (seen === undefined) return holding;
  const after = stepRenewal(holding.state, { kind: 'key', ...seen }, environment);
  return { state: after.state, actions: [...holding.actions, ...after.actions] };
}

/** What is older than our own last write says nothing: the watch may be behind it. */
function keySeen(state: Holding, view: KeyView, revision: bigint, environment: RenewalEnvironment): RenewalStep {
  const { held } = state;
  if (revision < held.modRevision) return stay(state);
  if (view.kind === 'absent') return lose(state, 'key-deleted');
  if (view.modRevision <= held.modRevision) return stay(state);
  switch (view.kind) {
    case 'damaged':
      return lose(state, 'key-damaged');
    case 'other':
      return taken(view.by);
    case 'ours': {
      const adopted = { ...held, modRevision: view.modRevision };
      if (view.leaseId === held.leaseId) return stay({ ...state, held: adopted });
      if (view.leaseId !== 0n) {
        return { state: { ...state, held: adopted }, actions: [{ kind: 'emit', event: { kind: 'shared' } }] };
      }
      const reserved: HeldLease = { ...adopted, leaseId: 0n, ttlSeconds: 0, origin: 'reservation' };
      return hold(reserved, environment, [{ kind: 'emit', event: { kind: 'became-reservation', held: reserved } }]);
    }
  }
}
