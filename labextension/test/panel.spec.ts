import { Signal } from '@lumino/signaling';
import { Widget } from '@lumino/widgets';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import fixture from '../../tests/fixtures/comm_messages.json';
import type { PanelModel } from '../src/model';
import { Panel } from '../src/panel';
import { parse, type IReady, type Progress } from '../src/protocol';
import { INITIAL, reduce, type Action, type IState } from '../src/state';
import { trans } from './trans';

const READY = parse(fixture.kernel_to_front.ready) as IReady;

class FakeModel {
  state: IState = INITIAL;
  stateChanged = new Signal<this, IState>(this);
  requests: PanelModel.IRequest[] = [];
  stops = 0;
  refreshes = 0;
  repairs = 0;

  dispatch(...actions: Action[]): void {
    this.state = actions.reduce(reduce, this.state);
    this.stateChanged.emit(this.state);
  }

  send(request: PanelModel.IRequest): void {
    this.requests.push(request);
    this.dispatch({ type: 'sent', id: 'g1' });
  }

  stop(): void {
    this.stops += 1;
    this.dispatch({ type: 'stopping' });
  }

  refresh(): void {
    this.refreshes += 1;
    this.state = reduce(this.state, { type: 'link', link: 'connecting' });
  }

  async repair(): Promise<void> {
    this.repairs += 1;
  }
}

describe('Panel', () => {
  let panel: Panel;
  let model: FakeModel;

  beforeEach(async () => {
    panel = new Panel({ trans, pause: 0 });
    model = new FakeModel();
    Widget.attach(panel, document.body);
    panel.model = model as unknown as PanelModel;
    model.dispatch({ type: 'ready', ready: READY });
    await drawn();
  });

  afterEach(() => panel.dispose());

  /** Waits for the frame in which the panel draws, and for what it then announces. */
  const drawn = async () => {
    await new Promise(requestAnimationFrame);
    await new Promise(resolve => setTimeout(resolve, 0));
  };
  const find = <T extends HTMLElement>(selector: string) =>
    panel.node.querySelector<T>(selector)!;
  const control = <T extends HTMLElement>(label: string) => {
    const labels = [...panel.node.querySelectorAll('label')];
    return labels.find(node => node.textContent === label)!.control as T & {
      value: string;
    };
  };
  const button = (name: string) =>
    [...panel.node.querySelectorAll('button')].find(node => node.textContent === name)!;
  const say = (type: keyof typeof fixture.kernel_to_front, fields = {}): Action => ({
    type: 'progress',
    progress: parse({ ...fixture.kernel_to_front[type], ...fields }) as Progress
  });
  const press = (key: string, init: KeyboardEventInit = {}) =>
    control('Prompt').dispatchEvent(
      new KeyboardEvent('keydown', { key, bubbles: true, cancelable: true, ...init })
    );

  it('asks the kernel once it can be seen', () => {
    expect(model.refreshes).toBe(1);
  });

  it('says who answers and why', () => {
    expect(find('.llmport-standing').textContent).toBe(
      'anthropic · claude-sonnet-4-5 answers: its key is in ANTHROPIC_API_KEY'
    );
  });

  it('offers the providers, the models and the modules', () => {
    const options = [...control<HTMLSelectElement>('Provider').options];
    expect(options.map(option => option.text)).toEqual([
      'automatic',
      'anthropic',
      'openai (not set up)',
      'local'
    ]);
    const models = control<HTMLInputElement>('Model').list!;
    expect([...models.options].map(option => option.value)).toContain(
      'claude-haiku-4-5'
    );
    const modules = control<HTMLInputElement>('Module name').list!;
    expect([...modules.options].map(option => option.value)).toEqual([
      'circle',
      'ring'
    ]);
  });

  it('says who is asked where the first one fails', () => {
    expect(find('.llmport-hint').textContent).toBe(
      'If it fails, the prompt goes to: local'
    );
  });

  it('says what is missing for the provider that is chosen', () => {
    const picker = control<HTMLSelectElement>('Provider');
    const choose = (name: string) => {
      picker.value = name;
      picker.dispatchEvent(new Event('change'));
    };
    choose('openai');
    expect(find('.llmport-hint').textContent).toBe('Not set up: Set OPENAI_API_KEY.');
    expect(picker.getAttribute('aria-describedby')).toBe(find('.llmport-hint').id);
    choose('local');
    expect(find('.llmport-hint').textContent).toContain('a server answers');
    choose('anthropic');
    expect(control<HTMLInputElement>('Model').placeholder).toBe('claude-sonnet-4-5');
  });

  it('says what keeps the provider from answering', async () => {
    const missing = 'no key for `anthropic`: set `ANTHROPIC_API_KEY`';
    const notes = ['not used: base_url (llmport.toml, line 3)'];
    model.dispatch({ type: 'ready', ready: { ...READY, missing, notes } });
    await drawn();
    expect(find('.llmport-standing').textContent).toBe(
      `anthropic · claude-sonnet-4-5 cannot answer: ${missing}`
    );
    expect(find('.llmport-hint').textContent).toContain('llmport.toml, line 3');
  });

  it('marks as ready only a provider that can answer', async () => {
    const lacking = () =>
      find('.llmport-standing').classList.contains('llmport-mod-lacking');
    for (const [change, expected] of [
      [{ missing: 'no key for `anthropic`' }, true],
      [{ provider: null }, true],
      [{}, false]
    ] as const) {
      model.dispatch({ type: 'ready', ready: { ...READY, ...change } });
      await drawn();
      expect(lacking()).toBe(expected);
    }
  });

  it('sends what the form says, by button', () => {
    control('Prompt').value = 'area of a circle';
    control('Module name').value = ' circle ';
    control('Provider').value = 'local';
    button('Send').click();
    expect(model.requests).toEqual([
      {
        name: 'circle',
        prompt: 'area of a circle',
        provider: 'local',
        model: null,
        update: false
      }
    ]);
  });

  it.each([{ ctrlKey: true }, { metaKey: true }])('sends with %o and Enter', init => {
    control('Prompt').value = 'x';
    press('Enter', init);
    expect(model.requests.length).toBe(1);
  });

  it('does not send with Enter alone, or while a request runs', async () => {
    control('Prompt').value = 'x';
    press('Enter');
    expect(model.requests.length).toBe(0);
    press('Enter', { ctrlKey: true });
    press('Enter', { ctrlKey: true });
    expect(model.requests.length).toBe(1);
    expect(button('Send').disabled).toBe(true);
  });

  it('stops with Escape and with the button, only while a request runs', async () => {
    press('Escape');
    expect(model.stops).toBe(0);
    control('Prompt').value = 'x';
    press('Enter', { ctrlKey: true });
    press('Escape');
    expect(model.stops).toBe(1);
    await drawn();
    expect(button('Stop').disabled).toBe(true);
  });

  it('keeps the focus in the panel when a button is switched off', async () => {
    control('Prompt').value = 'x';
    button('Send').focus();
    button('Send').click();
    expect(document.activeElement).toBe(button('Stop'));
    model.dispatch(say('done'));
    await drawn();
    expect(document.activeElement).toBe(control('Prompt'));
  });

  it('says what is missing instead of sending', () => {
    button('Send').click();
    expect(find('[role=alert]').textContent).toContain('prompt is empty');
    control('Prompt').value = 'x';
    find<HTMLInputElement>('input[type=checkbox]').checked = true;
    button('Send').click();
    expect(find('[role=alert]').textContent).toContain('needs the name');
    expect(model.requests).toEqual([]);
  });

  it('shows an answer as text, whatever is in it', async () => {
    const text = '<img src=x onerror="alert(1)"><script>1</script>[a](javascript:1)';
    model.dispatch(
      { type: 'sent', id: 'g1' },
      say('chunk', { text }),
      say('note', { text })
    );
    model.dispatch(say('verdict', { text }), say('failed', { message: text }));
    await drawn();
    expect(find('[role=log]').textContent).toBe(text);
    expect(find('.llmport-verdict').textContent).toBe(text);
    expect(find('[role=alert]').textContent).toBe(text);
    expect(panel.node.querySelectorAll('img, script, a').length).toBe(0);
  });

  it('shows text from the kernel`s introduction as text', async () => {
    const why = '<img src=x onerror="alert(1)">';
    const providers = [
      { name: why, models: [why], model: why, available: true, hint: why }
    ];
    model.dispatch({
      type: 'ready',
      ready: { ...READY, why, providers, modules: [why] }
    });
    await drawn();
    expect(find('.llmport-standing').textContent).toContain(why);
    expect(panel.node.querySelectorAll('img').length).toBe(0);
  });

  it('lets text arrive piece by piece and starts anew for another attempt', async () => {
    model.dispatch(
      { type: 'sent', id: 'g1' },
      say('started'),
      say('chunk', { text: 'one ' })
    );
    await drawn();
    model.dispatch(say('chunk', { text: 'two' }));
    await drawn();
    expect(find('[role=log]').textContent).toBe('one two');
    model.dispatch(say('started', { attempt: 2 }), say('chunk', { text: 'three' }));
    await drawn();
    expect(find('[role=log]').textContent).toBe('three');
    expect(find('.llmport-progress').textContent).toContain('attempt 2');
  });

  it('announces how far the answer is, not the answer', async () => {
    model.dispatch({ type: 'sent', id: 'g1' }, say('chunk', { text: 'a\nb\n' }));
    await drawn();
    await drawn();
    expect(find('[role=log]').getAttribute('aria-live')).toBe('off');
    expect(find('[role=status]').textContent).toBe('Answering: 3 lines');
  });

  it('offers to load the extension', async () => {
    model.dispatch({ type: 'link', link: 'absent' });
    await drawn();
    expect(button('Send').disabled).toBe(true);
    button('Load llmport_magic').click();
    expect(model.repairs).toBe(1);
  });

  it('keeps the prompt when the user moves to another notebook', async () => {
    control('Prompt').value = 'mine';
    panel.model = null;
    await drawn();
    expect(control('Prompt').value).toBe('mine');
    expect(find('.llmport-standing').textContent).toContain('Open a notebook');
    expect(button('Send').disabled).toBe(true);
  });

  it('does not say the verdict twice', async () => {
    model.dispatch(
      { type: 'sent', id: 'g1' },
      say('verdict', { text: '2 of 2 passed' })
    );
    await drawn();
    expect(find('.llmport-verdict').hidden).toBe(false);
    model.dispatch(say('done', { summary: 'circle v1 · 2 of 2 passed' }));
    await drawn();
    expect(find('.llmport-verdict').hidden).toBe(true);
    expect(find('.llmport-summary').dataset.ok).toBe('true');
  });

  it('adds up the tokens of the session', async () => {
    model.dispatch({ type: 'sent', id: 'g1' }, say('done'));
    await drawn();
    expect(find('.llmport-tokens').textContent).toBe('In this session: 200 tokens');
  });

  it('has a label for each control', () => {
    for (const node of panel.node.querySelectorAll<HTMLInputElement>(
      'input, select, textarea'
    )) {
      expect(node.labels?.length).toBe(1);
    }
  });
});
