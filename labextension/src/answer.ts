import type { TranslationBundle } from '@jupyterlab/translation';
import { element } from './form';
import { failure, progress } from './phrases';
import type { IState } from './state';

/** Nearer to the end than this, in pixels, the view follows the text. */
const FOLLOWS_WITHIN = 24;

/**
 * The answer as it arrives and what became of it. A model's words are never anything but
 * text here: no node is made from them.
 */
export class Answer {
  constructor(trans: TranslationBundle) {
    this._trans = trans;
    this.node = element('section', 'llmport-answer');
    this.node.setAttribute('aria-label', trans.__('Answer'));
    this._progress = element('p', 'llmport-progress');
    this._log = element('pre', 'llmport-log');
    this._log.setAttribute('role', 'log');
    this._log.setAttribute('aria-label', trans.__('Answer'));
    // The announcer tells how far the answer is; each token read aloud helps nobody.
    this._log.setAttribute('aria-live', 'off');
    this._log.tabIndex = 0;
    this._log.append(this._text);
    this._notes = element('ul', 'llmport-notes');
    this._verdict = element('p', 'llmport-verdict');
    this._summary = element('p', 'llmport-summary');
    this._error = element('p', 'llmport-error');
    this._error.setAttribute('role', 'alert');
    this.node.append(
      this._error,
      this._progress,
      this._log,
      this._notes,
      this._verdict,
      this._summary
    );
  }

  /**
   * Show the request of a state; `problem` is what keeps the form from being sent.
   */
  show(state: IState, problem: string): void {
    const run = state.run;
    say(this._error, problem || failure(state, this._trans));
    say(this._progress, run === null ? '' : progress(run, this._trans));
    this._progress.dataset.phase = run?.phase ?? '';
    this._log.hidden = run === null || run.text === '';
    this._showText(run?.id ?? '', run?.attempt ?? 0, run?.text ?? '');
    const notes = [...(run?.notes ?? [])];
    if (run?.truncated) {
      notes.push(this._trans.__('The rest of the answer is in the log, not here.'));
    }
    this._showNotes(notes);
    const verdict = run?.verdict?.text ?? '';
    const summary = run?.summary ?? '';
    say(this._verdict, summary.includes(verdict) ? '' : verdict);
    say(this._summary, summary);
    for (const node of [this._verdict, this._summary]) {
      node.dataset.ok = String(run?.verdict?.ok ?? '');
    }
  }

  readonly node: HTMLElement;

  private _showText(id: string, attempt: number, text: string): void {
    const key = `${id} ${attempt}`;
    const shown = this._text.length;
    const log = this._log;
    const follows =
      log.scrollHeight - log.scrollTop - log.clientHeight < FOLLOWS_WITHIN;
    if (key === this._key && text.length >= shown) {
      if (text.length > shown) {
        this._text.appendData(text.slice(shown));
      }
    } else {
      this._key = key;
      this._text.data = text;
    }
    if (follows) {
      log.scrollTop = log.scrollHeight;
    }
  }

  private _showNotes(notes: string[]): void {
    this._notes.hidden = notes.length === 0;
    const text = notes.join('\n');
    if (text !== this._shownNotes) {
      this._shownNotes = text;
      this._notes.replaceChildren(
        ...notes.map(note => {
          const item = document.createElement('li');
          item.textContent = note;
          return item;
        })
      );
    }
  }

  private _trans: TranslationBundle;
  private _key = '';
  private _shownNotes = '';
  private _text = document.createTextNode('');
  private _error: HTMLElement;
  private _log: HTMLElement;
  private _notes: HTMLElement;
  private _progress: HTMLElement;
  private _summary: HTMLElement;
  private _verdict: HTMLElement;
}

function say(node: HTMLElement, text: string): void {
  node.hidden = text === '';
  if (node.textContent !== text) {
    node.textContent = text;
  }
}
