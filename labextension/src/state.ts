/*
 * What the panel shows for one notebook, as a value that only `reduce` changes.
 */

import type { IReady, Progress } from './protocol';

/** More than this is not shown; the log of the kernel has the whole answer. */
export const SHOWN_CHARACTERS = 400_000;

const SHOWN_NOTES = 20;

/**
 * How the notebook stands with its kernel.
 *
 * - `none`: no notebook, or no kernel
 * - `foreign`: the kernel does not speak Python
 * - `idle`: there was no reason to ask yet
 * - `connecting`: the kernel has been asked
 * - `queued`: the kernel answers after the running cell, because it has no subshells
 * - `absent`: the extension is not loaded
 * - `silent`: the kernel did not answer in time
 * - `outdated`: the kernel has another version of the protocol
 * - `dead`: the kernel has died
 */
export type Link =
  | 'none'
  | 'foreign'
  | 'idle'
  | 'connecting'
  | 'queued'
  | 'absent'
  | 'silent'
  | 'outdated'
  | 'dead'
  | 'ready';

export type Phase =
  | 'sent'
  | 'queued'
  | 'waiting'
  | 'streaming'
  | 'checking'
  | 'stopping'
  | 'done'
  | 'failed'
  | 'cancelled';

/** Why a request ended without an answer of the kernel. */
export type Loss = 'restarted' | 'silent' | 'closed';

export interface IRun {
  readonly id: string;
  readonly phase: Phase;
  readonly provider: string;
  readonly model: string;
  readonly attempt: number;
  readonly text: string;
  readonly truncated: boolean;
  readonly notes: readonly string[];
  readonly verdict: { readonly text: string; readonly ok: boolean } | null;
  readonly summary: string;
  readonly seconds: number | null;
  readonly tokens: number;
  readonly error: string;
  readonly loss: Loss | null;
}

export interface IState {
  readonly link: Link;
  readonly ready: IReady | null;
  readonly run: IRun | null;
  /** Why the kernel could not be asked, in its own words. */
  readonly problem: string;
  /** The tokens of all requests of this kernel that ended. */
  readonly tokens: number;
}

export type Action =
  | { type: 'link'; link: Link }
  | { type: 'ready'; ready: IReady }
  | { type: 'problem'; text: string }
  | { type: 'sent'; id: string }
  | { type: 'acknowledged'; id: string }
  | { type: 'queued'; id: string }
  | { type: 'stopping' }
  | { type: 'lost'; loss: Loss }
  | { type: 'restarted' }
  | { type: 'progress'; progress: Progress };

export const INITIAL: IState = {
  link: 'idle',
  ready: null,
  run: null,
  problem: '',
  tokens: 0
};

export function isRunning(state: IState): boolean {
  const phase = state.run?.phase;
  return phase !== undefined && !ENDED.has(phase);
}

export function reduce(state: IState, action: Action): IState {
  switch (action.type) {
    case 'link':
      return { ...state, link: action.link, problem: '' };
    case 'ready':
      return { ...state, link: 'ready', ready: action.ready, problem: '' };
    case 'problem':
      return { ...state, problem: action.text };
    case 'sent':
      return { ...state, run: { ...NEW_RUN, id: action.id } };
    case 'acknowledged':
      return inPhase(state, action.id, ['sent', 'queued'], { phase: 'waiting' });
    case 'queued':
      return inPhase(state, action.id, ['sent'], { phase: 'queued' });
    case 'stopping':
      return isRunning(state) ? change(state, { phase: 'stopping' }) : state;
    case 'lost':
      return isRunning(state) ? change(state, lost(state, action.loss)) : state;
    case 'restarted': {
      const ended = isRunning(state) ? change(state, lost(state, 'restarted')) : state;
      return { ...ended, ready: null, tokens: 0 };
    }
    case 'progress':
      return advance(state, action.progress);
  }
}

const ENDED: ReadonlySet<Phase> = new Set(['done', 'failed', 'cancelled']);

const NEW_RUN: IRun = {
  id: '',
  phase: 'sent',
  provider: '',
  model: '',
  attempt: 1,
  text: '',
  truncated: false,
  notes: [],
  verdict: null,
  summary: '',
  seconds: null,
  tokens: 0,
  error: '',
  loss: null
};

function change(state: IState, changed: Partial<IRun>): IState {
  return state.run === null ? state : { ...state, run: { ...state.run, ...changed } };
}

function inPhase(
  state: IState,
  id: string,
  phases: Phase[],
  changed: Partial<IRun>
): IState {
  const run = state.run;
  return run?.id === id && phases.includes(run.phase) ? change(state, changed) : state;
}

/** A request that was being stopped when the kernel went away is stopped. */
function lost(state: IState, loss: Loss): Partial<IRun> {
  return state.run?.phase === 'stopping'
    ? { phase: 'cancelled' }
    : { phase: 'failed', loss };
}

function advance(state: IState, progress: Progress): IState {
  const run = state.run;
  if (run === null || run.id !== progress.re || ENDED.has(run.phase)) {
    return state;
  }
  // What still arrives while stopping is shown, but it does not look like going on.
  const going = (phase: Phase): Phase =>
    run.phase === 'stopping' ? 'stopping' : phase;
  switch (progress.type) {
    case 'started': {
      const { provider, model, attempt } = progress;
      const again =
        attempt > run.attempt ? { text: '', truncated: false, verdict: null } : {};
      return change(state, {
        phase: going('waiting'),
        provider,
        model,
        attempt,
        ...again
      });
    }
    case 'chunk':
      return change(state, { phase: going('streaming'), ...grown(run, progress.text) });
    case 'note':
      return change(state, {
        notes: [...run.notes, progress.text].slice(-SHOWN_NOTES)
      });
    case 'verdict':
      return change(state, {
        phase: going('checking'),
        notes: lasting(run.notes),
        verdict: { text: progress.text, ok: progress.ok }
      });
    case 'done': {
      const { summary, tokens, seconds } = progress;
      const notes = lasting(run.notes);
      const ended = change(state, { phase: 'done', summary, tokens, seconds, notes });
      return { ...ended, tokens: state.tokens + tokens };
    }
    case 'failed':
      return change(state, {
        phase: 'failed',
        error: progress.message,
        notes: lasting(run.notes)
      });
    case 'cancelled':
      return change(state, { phase: 'cancelled', notes: lasting(run.notes) });
  }
}

/** A note that ends with an ellipsis tells what is going on: it goes when that is over. */
function lasting(notes: readonly string[]): string[] {
  return notes.filter(note => !note.endsWith('…'));
}

function grown(run: IRun, text: string): Pick<IRun, 'text' | 'truncated'> {
  const room = SHOWN_CHARACTERS - run.text.length;
  return text.length <= room
    ? { text: run.text + text, truncated: run.truncated }
    : { text: run.text + text.slice(0, room), truncated: true };
}
