import type { TranslationBundle } from '@jupyterlab/translation';
import type { Message } from '@lumino/messaging';
import { Widget } from '@lumino/widgets';
import { Announcer } from './announcer';
import { Answer } from './answer';
import { button, element, Form } from './form';
import type { PanelModel } from './model';
import { announcement, lacks, repair, standing, tokens } from './phrases';
import { INITIAL, isRunning, type IState } from './state';

const NO_NOTEBOOK: IState = { ...INITIAL, link: 'none' };

/**
 * The side panel: a view of the model of the notebook that the user is in.
 */
export class Panel extends Widget {
  constructor(options: Panel.IOptions) {
    super();
    this._trans = options.trans;
    this.addClass('llmport-Panel');
    this.node.setAttribute('role', 'region');
    this.node.setAttribute('aria-label', this._trans.__('LLM module panel'));

    this._form = new Form(this._trans);
    this._answer = new Answer(this._trans);
    this.announcer = new Announcer({ pause: options.pause });
    this._standing = element('p', 'llmport-standing');
    this._repair = button('', 'jp-mod-accept', 'button');
    this._tokens = element('p', 'llmport-tokens');
    const head = element('div', 'llmport-head');
    head.append(this._standing, this._repair);
    this.node.append(
      head,
      this._form.node,
      this._answer.node,
      this._tokens,
      this.announcer.node
    );
    this._render();
  }

  /**
   * Move the cursor to the prompt.
   */
  focusPrompt(): void {
    this._form.prompt.focus();
  }

  handleEvent(event: Event): void {
    switch (event.type) {
      case 'keydown':
        this._onKeyDown(event as KeyboardEvent);
        break;
      case 'submit':
        event.preventDefault();
        this._send();
        break;
      case 'click':
        this._onClick(event.target);
        break;
    }
  }

  get model(): PanelModel | null {
    return this._model;
  }

  set model(model: PanelModel | null) {
    if (model === this._model) {
      return;
    }
    this._model?.stateChanged.disconnect(this._onStateChanged, this);
    this._model = model;
    model?.stateChanged.connect(this._onStateChanged, this);
    this._problem = '';
    this._wake();
    this._schedule();
  }

  /** Says aloud how a request goes. */
  readonly announcer: Announcer;

  dispose(): void {
    this.model = null;
    cancelAnimationFrame(this._frame);
    this.announcer.dispose();
    super.dispose();
  }

  protected onAfterAttach(message: Message): void {
    super.onAfterAttach(message);
    for (const type of EVENTS) {
      this.node.addEventListener(type, this);
    }
  }

  protected onBeforeDetach(message: Message): void {
    for (const type of EVENTS) {
      this.node.removeEventListener(type, this);
    }
    super.onBeforeDetach(message);
  }

  protected onAfterShow(message: Message): void {
    super.onAfterShow(message);
    this._wake();
    this._render();
  }

  protected onActivateRequest(message: Message): void {
    super.onActivateRequest(message);
    this.focusPrompt();
  }

  /** A link that nobody needed so far is made when the panel is looked at. */
  private _wake(): void {
    if (this.isVisible && this._model?.state.link === 'idle') {
      this._model.refresh();
    }
  }

  private _onStateChanged(): void {
    this._wake();
    this._schedule();
  }

  private _onKeyDown(event: KeyboardEvent): void {
    if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      event.stopPropagation();
      this._send();
    } else if (event.key === 'Escape' && isRunning(this._state)) {
      event.preventDefault();
      event.stopPropagation();
      this._model?.stop();
    }
  }

  private _onClick(target: EventTarget | null): void {
    if (target === this._form.stop) {
      this._model?.stop();
    } else if (target === this._repair) {
      void this._model?.repair();
    }
  }

  private _send(): void {
    if (isRunning(this._state) || this._state.link !== 'ready') {
      return;
    }
    this._problem = this._form.problem;
    if (this._problem === '') {
      this._model?.send(this._form.request);
    } else {
      this.focusPrompt();
    }
    this._render();
  }

  /** Draws once per frame, however fast the text arrives. */
  private _schedule(): void {
    if (this._frame === 0) {
      this._frame = requestAnimationFrame(() => {
        this._frame = 0;
        this._render();
      });
    }
  }

  private _render(): void {
    const state = this._state;
    const running = isRunning(state);
    this._standing.textContent = standing(state, this._trans);
    this._standing.dataset.link = state.link;
    this._standing.classList.toggle('llmport-mod-lacking', lacks(state));
    const remedy = repair(state, this._trans);
    this._repair.hidden = remedy === null;
    this._repair.textContent = remedy;

    this._form.show(state.ready);
    this._moveFocus(running);
    this._form.send.disabled = running || state.link !== 'ready';
    this._form.stop.disabled = !running || state.run?.phase === 'stopping';

    this._answer.show(state, this._problem);
    this.announcer.announce(announcement(state, this._trans));
    this._tokens.hidden = state.tokens === 0;
    this._tokens.textContent = this._trans.__(
      'In this session: %1',
      tokens(state.tokens, this._trans)
    );
  }

  /** A button that is switched off lets go of the focus: it goes where it is of use. */
  private _moveFocus(running: boolean): void {
    const { prompt, send, stop } = this._form;
    if (running && document.activeElement === send) {
      stop.disabled = false;
      stop.focus();
    } else if (!running && document.activeElement === stop) {
      prompt.focus();
    }
  }

  private get _state(): IState {
    return this._model?.state ?? NO_NOTEBOOK;
  }

  private _trans: TranslationBundle;
  private _answer: Answer;
  private _form: Form;
  private _frame = 0;
  private _model: PanelModel | null = null;
  private _problem = '';
  private _repair: HTMLButtonElement;
  private _standing: HTMLElement;
  private _tokens: HTMLElement;
}

export namespace Panel {
  export interface IOptions {
    trans: TranslationBundle;

    /** How long an announcement waits for a newer one, in milliseconds. */
    pause: number;
  }
}

const EVENTS = ['keydown', 'submit', 'click'];
