/*
 * The sentences that the panel shows, from its state alone.
 */

import type { TranslationBundle } from '@jupyterlab/translation';
import type { IProvider, IReady } from './protocol';
import { isRunning, type IRun, type IState, type Loss } from './state';

/** The line at the top: who answers, or what is in the way. */
export function standing(state: IState, trans: TranslationBundle): string {
  switch (state.link) {
    case 'none':
      return trans.__('Open a notebook with a Python kernel.');
    case 'foreign':
      return trans.__('This kernel is not Python: llmport_magic cannot answer here.');
    case 'idle':
    case 'connecting':
      return trans.__('Asking the kernel …');
    case 'queued':
      return trans.__(
        'Kernel busy, queued: it answers when the running cell has ended.'
      );
    case 'absent':
      return trans.__('The extension is not loaded in this kernel.');
    case 'silent':
      return trans.__('The kernel does not answer. Try again, or restart it.');
    case 'outdated':
      return trans.__(
        'The kernel has another version of llmport_magic: restart it and reload this page.'
      );
    case 'dead':
      return trans.__('The kernel has died. Restart it.');
    case 'ready':
      return answering(state, trans);
  }
}

function answering(state: IState, trans: TranslationBundle): string {
  const { provider, model, why, missing } = state.ready!;
  if (provider === null) {
    return why || trans.__('No model can answer: choose a provider.');
  }
  const who = model ? `${provider} · ${model}` : provider;
  if (missing) {
    return trans.__('%1 cannot answer: %2', who, missing);
  }
  return why ? trans.__('%1 answers: %2', who, why) : trans.__('%1 answers', who);
}

/** Whether nobody is there to answer, or something keeps the provider from it. */
export function lacks(state: IState): boolean {
  const { link, ready } = state;
  return link === 'ready' && (ready!.provider === null || ready!.missing !== '');
}

/** The button beside the line at the top; none where nothing can be done. */
export function repair(state: IState, trans: TranslationBundle): string | null {
  switch (state.link) {
    case 'absent':
      return trans.__('Load llmport_magic');
    case 'silent':
      return trans.__('Try again');
    default:
      return null;
  }
}

export function providerLabel(provider: IProvider, trans: TranslationBundle): string {
  return provider.available
    ? provider.name
    : trans.__('%1 (not set up)', provider.name);
}

/** The line below the pickers: how the chosen provider stands, and what else to know. */
export function providerHint(
  chosen: IProvider | null,
  ready: IReady | null,
  trans: TranslationBundle
): string {
  const lines = [...(ready?.notes ?? [])];
  if (chosen !== null) {
    lines.unshift(
      chosen.available ? chosen.hint : trans.__('Not set up: %1', chosen.hint)
    );
  } else if (ready !== null && ready.fallback.length > 0) {
    lines.unshift(
      trans.__('If it fails, the prompt goes to: %1', ready.fallback.join(', '))
    );
  }
  return lines.filter(Boolean).join(' · ');
}

/** What the request is doing. */
export function progress(run: IRun, trans: TranslationBundle): string {
  const who = run.model ? `${run.provider} · ${run.model}` : run.provider;
  const attempt = run.attempt > 1 ? trans.__('attempt %1', run.attempt) : '';
  switch (run.phase) {
    case 'sent':
      return trans.__('Sending …');
    case 'queued':
      return trans.__(
        'Kernel busy, queued: it starts when the running cell has ended.'
      );
    case 'waiting':
      return joined(trans.__('Waiting for the answer …'), who, attempt);
    case 'streaming':
      return joined(trans.__('Answering …'), who, attempt);
    case 'checking':
      return joined(trans.__('Checked'), who, attempt);
    case 'stopping':
      return trans.__('Stopping …');
    case 'done':
      return joined(trans.__('Done'), who, spent(run, trans));
    case 'failed':
      return joined(trans.__('Failed'), who);
    case 'cancelled':
      return joined(trans.__('Stopped'), who);
  }
}

function joined(...parts: string[]): string {
  return parts.filter(Boolean).join(' · ');
}

function spent(run: IRun, trans: TranslationBundle): string {
  const seconds = run.seconds === null ? '' : trans.__('%1 s', run.seconds.toFixed(1));
  return joined(run.tokens > 0 ? tokens(run.tokens, trans) : '', seconds);
}

export function tokens(count: number, trans: TranslationBundle): string {
  return trans
    ._n('%1 token', '%1 tokens', count)
    .replace(String(count), grouped(count));
}

/** Thousands apart by a thin space, which every language reads. */
function grouped(count: number): string {
  return String(count).replace(/\B(?=(\d{3})+(?!\d))/g, '\u202f');
}

/** What went wrong, in one line. */
export function failure(state: IState, trans: TranslationBundle): string {
  const run = state.run;
  if (state.problem) {
    return state.problem;
  }
  if (run === null || run.phase !== 'failed') {
    return '';
  }
  return run.loss === null ? run.error : lossText(run.loss, trans);
}

function lossText(loss: Loss, trans: TranslationBundle): string {
  switch (loss) {
    case 'restarted':
      return trans.__('The kernel was restarted before it answered. Send again.');
    case 'silent':
      return trans.__('The kernel did not take the request. Try again, or restart it.');
    case 'closed':
      return trans.__('The kernel closed the link before it answered. Send again.');
  }
}

/**
 * What a screen reader is told: how far the answer is, not each piece of it.
 */
export function announcement(state: IState, trans: TranslationBundle): string {
  const run = state.run;
  if (run === null) {
    return '';
  }
  if (run.phase === 'streaming' && isRunning(state)) {
    const lines = run.text.split('\n').length;
    return trans._n('Answering: %1 line', 'Answering: %1 lines', lines);
  }
  const verdict = run.verdict?.text ?? '';
  return joined(
    progress(run, trans),
    run.phase === 'done' ? run.summary || verdict : verdict
  );
}
