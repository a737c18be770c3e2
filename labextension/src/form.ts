import type { TranslationBundle } from '@jupyterlab/translation';
import { providerHint, providerLabel } from './phrases';
import type { PanelModel } from './model';
import type { IReady } from './protocol';

let count = 0;

/**
 * The fields in which a request is written.
 */
export class Form {
  constructor(trans: TranslationBundle) {
    this._trans = trans;
    this.node = document.createElement('form');
    this.node.className = 'llmport-form';
    this.node.noValidate = true;

    this.name = element('input', 'llmport-input');
    this.name.type = 'text';
    this.name.placeholder = trans.__('none: a plain code cell');
    this.name.spellcheck = false;
    this.name.autocomplete = 'off';
    this._modules = suggestions(this.name);

    this.provider = element('select', 'llmport-input');
    this.model = element('input', 'llmport-input');
    this.model.type = 'text';
    this.model.spellcheck = false;
    this.model.autocomplete = 'off';
    this._models = suggestions(this.model);
    this.provider.addEventListener('change', () => {
      this.model.value = '';
      this._showModels();
    });

    this.prompt = element('textarea', 'llmport-input llmport-prompt');
    this.prompt.rows = 7;
    this.prompt.placeholder = trans.__(
      'What the module does. Examples are checked:\n>>> area(2)\n12.566370614359172'
    );

    this.update = element('input', 'llmport-check');
    this.update.type = 'checkbox';

    this.send = button(trans.__('Send'), 'jp-mod-accept', 'submit');
    this.send.title = trans.__('Ctrl/Cmd + Enter');
    this.stop = button(trans.__('Stop'), 'jp-mod-warn', 'button');
    this.stop.title = trans.__('Escape');

    this._hint = element('p', 'llmport-hint');
    this._hint.id = `llmport-hint-${++count}`;
    this.provider.setAttribute('aria-describedby', this._hint.id);

    this._place();
    this.show(null);
  }

  /**
   * Offer what the kernel has.
   */
  show(ready: IReady | null): void {
    if (ready === this._ready && this.provider.options.length > 0) {
      return;
    }
    this._ready = ready;
    const chosen = this.provider.value;
    const automatic = option('', this._trans.__('automatic'));
    const providers = (ready?.providers ?? []).map(provider => {
      const item = option(provider.name, providerLabel(provider, this._trans));
      item.title = provider.hint;
      return item;
    });
    this.provider.replaceChildren(automatic, ...providers);
    if (providers.some(item => item.value === chosen)) {
      this.provider.value = chosen;
    }
    this._modules.replaceChildren(
      ...(ready?.modules ?? []).map(name => option(name, ''))
    );
    this._showModels();
  }

  /** What to do before this can be sent; empty if nothing. */
  get problem(): string {
    if (!this.prompt.value.trim()) {
      return this._trans.__('The prompt is empty: write what you want.');
    }
    if (this.update.checked && !this.name.value.trim()) {
      return this._trans.__('An update needs the name of its module.');
    }
    return '';
  }

  get request(): PanelModel.IRequest {
    return {
      name: this.name.value.trim() || null,
      prompt: this.prompt.value,
      provider: this.provider.value || null,
      model: this.model.value.trim() || null,
      update: this.update.checked
    };
  }

  readonly node: HTMLFormElement;
  readonly name: HTMLInputElement;
  readonly provider: HTMLSelectElement;
  readonly model: HTMLInputElement;
  readonly prompt: HTMLTextAreaElement;
  readonly update: HTMLInputElement;
  readonly send: HTMLButtonElement;
  readonly stop: HTMLButtonElement;

  /** Put the fields into the form, each with its label. */
  private _place(): void {
    const trans = this._trans;
    const update = element('label', 'llmport-updateLabel');
    update.title = trans.__(
      'Change the current version instead of writing a new module'
    );
    update.append(this.update, trans.__('Update'));
    const who = element('div', 'llmport-who');
    who.append(
      field(trans.__('Provider'), this.provider),
      field(trans.__('Model'), this.model, this._models)
    );
    const actions = element('div', 'llmport-actions');
    actions.append(update, this.stop, this.send);
    this.node.append(
      field(trans.__('Prompt'), this.prompt),
      field(trans.__('Module name'), this.name, this._modules),
      who,
      this._hint,
      actions
    );
  }

  private _showModels(): void {
    const automatic = this.provider.value === '';
    const name = this.provider.value || this._ready?.provider;
    const provider = this._ready?.providers.find(item => item.name === name);
    const standard = automatic ? this._ready?.model : provider?.model;
    this._models.replaceChildren(
      ...(provider?.models ?? []).map(model => option(model, ''))
    );
    this.model.placeholder = standard || this._trans.__('automatic');
    this._hint.textContent = providerHint(
      automatic ? null : (provider ?? null),
      this._ready,
      this._trans
    );
  }

  private _hint: HTMLElement;
  private _trans: TranslationBundle;
  private _ready: IReady | null = null;
  private _models: HTMLDataListElement;
  private _modules: HTMLDataListElement;
}

export function element<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  className: string
): HTMLElementTagNameMap[K] {
  const node = document.createElement(tag);
  node.className = className;
  return node;
}

export function button(
  text: string,
  modifier: string,
  type: 'button' | 'submit'
): HTMLButtonElement {
  const node = element('button', `llmport-button jp-Button jp-mod-styled ${modifier}`);
  node.type = type;
  node.textContent = text;
  return node;
}

function field(text: string, control: HTMLElement, ...rest: Node[]): HTMLElement {
  const node = element('div', 'llmport-field');
  const label = element('label', 'llmport-label');
  label.textContent = text;
  label.htmlFor = control.id = `llmport-control-${++count}`;
  node.append(label, control, ...rest);
  return node;
}

function suggestions(input: HTMLInputElement): HTMLDataListElement {
  const node = document.createElement('datalist');
  node.id = `llmport-list-${++count}`;
  input.setAttribute('list', node.id);
  return node;
}

function option(value: string, text: string): HTMLOptionElement {
  const node = document.createElement('option');
  node.value = value;
  node.textContent = text;
  return node;
}
