/**
 * The list-and-watch as a pure state machine: `(state, event, environment) -> (state, actions)`.
 *
 *             start                  list answered: snapshot
 *   stopped ---------> listing(s) ---------------------------> opening(s+1)
 *                       ^      |                                |       | created, header.revision + 1 >= next
 *          timer: retry |      | list failed                    |       v
 *                       |      v            failed, ended,      |    watching(s+1) --+ events: apply mod_revision
 *                     waiting(s) <------------------------------+       |    ^       | >= next, next = last + 1
 *                       ^    canceled, compacted, behind, silent        |    +-------+ none: next = header + 1
 *                       |                                               |
 *                       +--------- failed, ended, canceled -------------+
 *   timer in watching: the audit. The watch is closed and everything starts again at listing.   stop: from anywhere.
 *
 * Every way back leads through a linearizable list, which is handed over as a snapshot (to be applied as a
 * difference). So no history has to be trusted: it does not matter what was missed, compacted, or whether the store was
 * wiped or restored meanwhile. A member that answers `created` with a revision below ours either lags or went back; the
 * next list, linearizable, tells which, and the client is asked to use another member.
 *
 * `s` is a session number: each list, watch and timer carries that of its start, and what arrives from an earlier one
 * is dropped.
 */
import type { EtcdError, Listing, ListWatchStatus, StaleCode, WatchEvent, WatchResponse } from './etcd-watch.ts';

export const BACKOFF_MIN_MS = 50;
export const BACKOFF_MAX_MS = 2_000;
/** A watch that lived this long resets the backoff; one that dies sooner counts as another failed attempt. */
export const STABLE_MS = 10_000;
/** A watch that nobody confirms: the link is up but the server is stuck. */
export const OPEN_TIMEOUT_MS = 10_000;
/**
 * The audit: everything is listed anew now and then, because etcd itself can drop a delete event at a compaction
 * (etcd-io/etcd #18089).
 */
export const AUDIT_MS = 600_000;

type Phase =
  | { readonly kind: 'stopped' }
  | { readonly kind: 'listing'; readonly attempt: number }
  | { readonly kind: 'opening'; readonly attempt: number; readonly next: bigint }
  | { readonly kind: 'watching'; readonly attempt: number; readonly next: bigint; readonly sinceMs: number }
  | { readonly kind: 'waiting'; readonly attempt: number };

export interface ListWatchState {
  readonly phase: Phase;
  readonly session: number;
  /** Revision up to which the sink knows everything; -1 before the first list. */
  readonly seen: bigint;
}

export type ListWatchInput =
  | { readonly kind: 'start' }
  | { readonly kind: 'stop' }
  | { readonly kind: 'listed'; readonly session: number; readonly listing: Listing }
  | { readonly kind: 'list-failed'; readonly session: number; readonly error: EtcdError }
  | { readonly kind: 'response'; readonly session: number; readonly response: WatchResponse }
  | { readonly kind: 'watch-ended'; readonly session: number; readonly error: EtcdError | undefined }
  | { readonly kind: 'timer'; readonly session: number };

/** At most one list, one watch and one timer are under way at any time; a new timer replaces the one before. */
export type ListWatchAction =
  | { readonly kind: 'list'; readonly session: number }
  | { readonly kind: 'open-watch'; readonly session: number; readonly fromRevision: bigint }
  | { readonly kind: 'close-watch'; readonly avoidEndpoint: boolean }
  | { readonly kind: 'set-timer'; readonly session: number; readonly delayMs: number }
  | { readonly kind: 'clear-timer' }
  | { readonly kind: 'snapshot'; readonly listing: Listing }
  | { readonly kind: 'changes'; readonly events: readonly WatchEvent[]; readonly revision: bigint }
  | { readonly kind: 'status'; readonly status: ListWatchStatus };

export interface Environment {
  readonly nowMs: number;
  /** In [0, 1). */
  readonly random: number;
}

export interface Step {
  readonly state: ListWatchState;
  readonly actions: readonly ListWatchAction[];
}

export const INITIAL_STATE: ListWatchState = { phase: { kind: 'stopped' }, session: 0, seen: -1n };

export function step(state: ListWatchState, input: ListWatchInput, environment: Environment): Step {
  if (input.kind === 'start') return state.phase.kind === 'stopped' ? list(state, 0) : stay(state);
  if (state.phase.kind === 'stopped') return stay(state);
  if (input.kind === 'stop') return stop(state);
  if (input.session !== state.session) return stay(state);
  switch (input.kind) {
    case 'listed':
      return listed(state, input.listing);
    case 'list-failed':
      return retreat(state, environment, { code: input.error.code, reason: input.error.message });
    case 'response':
      return answered(state, input.response, environment);
    case 'watch-ended':
      return retreat(state, environment, endOf(input.error));
    case 'timer':
      return timeUp(state, environment);
  }
}

interface Setback {
  readonly code: StaleCode;
  readonly reason: string;
  readonly avoidEndpoint?: boolean;
}

function stay(state: ListWatchState): Step {
  return { state, actions: [] };
}

function list(state: ListWatchState, attempt: number): Step {
  const session = state.session + 1;
  return { state: { ...state, phase: { kind: 'listing', attempt }, session }, actions: [{ kind: 'list', session }] };
}

function stop(state: ListWatchState): Step {
  return {
    state: { ...state, phase: { kind: 'stopped' }, session: state.session + 1 },
    actions: [
      { kind: 'clear-timer' },
      { kind: 'close-watch', avoidEndpoint: false },
      { kind: 'status', status: { kind: 'stopped' } },
    ],
  };
}

function listed(state: ListWatchState, listing: Listing): Step {
  if (state.phase.kind !== 'listing') return stay(state);
  const session = state.session + 1;
  const next = listing.revision + 1n;
  const wentBack: ListWatchAction[] =
    listing.revision < state.seen
      ? [
          {
            kind: 'status',
            status: { kind: 'store-went-back', fromRevision: state.seen, toRevision: listing.revision },
          },
        ]
      : [];
  return {
    state: { phase: { kind: 'opening', attempt: state.phase.attempt, next }, session, seen: listing.revision },
    actions: [
      ...wentBack,
      { kind: 'snapshot', listing },
      { kind: 'open-watch', session, fromRevision: next },
      { kind: 'set-timer', session, delayMs: OPEN_TIMEOUT_MS },
    ],
  };
}

function answered(state: ListWatchState, response: WatchResponse, environment: Environment): Step {
  if (response.canceled) return retreat(state, environment, cancellationOf(response));
  if (state.phase.kind === 'opening') return opened(state, state.phase, response, environment);
  if (state.phase.kind === 'watching') return apply(state, state.phase, response);
  return stay(state);
}

function opened(
  state: ListWatchState,
  phase: Extract<Phase, { kind: 'opening' }>,
  response: WatchResponse,
  environment: Environment,
): Step {
  const { attempt, next } = phase;
  if (!response.created || response.headerRevision + 1n < next) {
    const reason = `the member is at revision ${response.headerRevision}, the list was at ${next - 1n}`;
    return retreat(state, environment, { code: 'behind', reason, avoidEndpoint: true });
  }
  const delayMs = Math.round(AUDIT_MS * (0.75 + environment.random / 2));
  return {
    state: { ...state, phase: { kind: 'watching', attempt, next, sinceMs: environment.nowMs } },
    actions: [
      { kind: 'set-timer', session: state.session, delayMs },
      { kind: 'status', status: { kind: 'synced', revision: next - 1n } },
    ],
  };
}

function revisionOf(event: WatchEvent): bigint {
  return event.kind === 'put' ? event.kv.modRevision : event.modRevision;
}

function apply(state: ListWatchState, phase: Extract<Phase, { kind: 'watching' }>, response: WatchResponse): Step {
  const last = response.events.at(-1);
  if (last === undefined) {
    // Progress: everything up to the header's revision has been sent. (With events it says no such thing: a batch of a
    // watch that is catching up carries the revision of the store, not of the batch.)
    const next = response.headerRevision + 1n > phase.next ? response.headerRevision + 1n : phase.next;
    return stay({ ...state, phase: { ...phase, next }, seen: next - 1n });
  }
  const events = response.events.filter((event) => revisionOf(event) >= phase.next);
  if (events.length === 0) return stay(state);
  const revision = revisionOf(last);
  // A fragment may be followed by more events of its last revision.
  const next = response.fragment ? revision : revision + 1n;
  return {
    state: { ...state, phase: { ...phase, next }, seen: next - 1n },
    actions: [{ kind: 'changes', events, revision }],
  };
}

function timeUp(state: ListWatchState, environment: Environment): Step {
  const { phase } = state;
  switch (phase.kind) {
    case 'waiting':
      return list(state, phase.attempt);
    case 'watching': {
      const audit = list(state, 0);
      return { state: audit.state, actions: [{ kind: 'close-watch', avoidEndpoint: false }, ...audit.actions] };
    }
    case 'opening': {
      const reason = `the watch was not confirmed within ${OPEN_TIMEOUT_MS / 1000} s`;
      return retreat(state, environment, { code: 'silent', reason, avoidEndpoint: true });
    }
    default:
      return stay(state);
  }
}

function cancellationOf(response: WatchResponse): Setback {
  if (response.compactRevision > 0n) {
    return { code: 'compacted', reason: `history before revision ${response.compactRevision} is compacted` };
  }
  return { code: 'canceled', reason: response.cancelReason === '' ? 'etcd canceled the watch' : response.cancelReason };
}

function endOf(error: EtcdError | undefined): Setback {
  if (error === undefined) return { code: 'ended', reason: 'etcd ended the watch' };
  return { code: error.code, reason: error.message };
}

/** Gives up what is under way, waits, and lists again. */
function retreat(state: ListWatchState, environment: Environment, setback: Setback): Step {
  const { phase } = state;
  if (phase.kind === 'stopped' || phase.kind === 'waiting') return stay(state);
  const stable = phase.kind === 'watching' && environment.nowMs - phase.sinceMs >= STABLE_MS;
  const failures = stable ? 0 : phase.attempt;
  const session = state.session + 1;
  const close: ListWatchAction[] =
    phase.kind === 'listing' ? [] : [{ kind: 'close-watch', avoidEndpoint: setback.avoidEndpoint ?? false }];
  return {
    state: { ...state, phase: { kind: 'waiting', attempt: failures + 1 }, session },
    actions: [
      ...close,
      { kind: 'set-timer', session, delayMs: backoffMs(failures, environment.random) },
      { kind: 'status', status: { kind: 'stale', code: setback.code, reason: setback.reason } },
    ],
  };
}

/** Anything between the least delay and a limit that doubles: a thousand hosts must not come back in step. */
export function backoffMs(failures: number, random: number): number {
  const limit = Math.min(BACKOFF_MAX_MS, BACKOFF_MIN_MS * 2 ** Math.min(failures + 1, 16));
  return Math.round(BACKOFF_MIN_MS + random * (limit - BACKOFF_MIN_MS));
}
