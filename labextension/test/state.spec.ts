import { describe, expect, it } from 'vitest';
import fixture from '../../tests/fixtures/comm_messages.json';
import { parse, type IReady, type Progress } from '../src/protocol';
import {
  INITIAL,
  isRunning,
  reduce,
  SHOWN_CHARACTERS,
  type Action,
  type IState
} from '../src/state';

const READY = parse(fixture.kernel_to_front.ready) as IReady;

function progress(type: keyof typeof fixture.kernel_to_front, fields = {}): Action {
  const message = parse({ ...fixture.kernel_to_front[type], ...fields });
  expect(message.type).toBe(type);
  return { type: 'progress', progress: message as Progress };
}

function after(...actions: Action[]): IState {
  return actions.reduce(reduce, INITIAL);
}

const SENT: Action = { type: 'sent', id: 'g1' };

describe('reduce()', () => {
  it('follows a request from sending to its end', () => {
    const phases: (string | undefined)[] = [];
    let state = after({ type: 'ready', ready: READY });
    for (const action of [
      SENT,
      { type: 'acknowledged', id: 'g1' } as Action,
      progress('started'),
      progress('chunk'),
      progress('verdict'),
      progress('done')
    ]) {
      state = reduce(state, action);
      phases.push(state.run?.phase);
    }
    expect(phases).toEqual([
      'sent',
      'waiting',
      'waiting',
      'streaming',
      'checking',
      'done'
    ]);
    expect(isRunning(state)).toBe(false);
    expect(state.run).toMatchObject({
      text: 'import math\n',
      tokens: 200,
      seconds: 2.5
    });
    expect(state.tokens).toBe(200);
  });

  it('ignores what belongs to another request, or comes after the end', () => {
    const state = after(SENT, progress('cancelled'));
    expect(reduce(state, progress('chunk'))).toBe(state);
    const other = after(SENT);
    expect(reduce(other, progress('chunk', { re: 'g0' }))).toBe(other);
  });

  it('shows only the newest attempt', () => {
    const state = after(
      SENT,
      progress('started'),
      progress('chunk'),
      progress('verdict')
    );
    const again = reduce(state, progress('started', { attempt: 2 }));
    expect(again.run).toMatchObject({ text: '', verdict: null, attempt: 2 });
  });

  it('keeps stopping until the kernel says so, whatever still arrives', () => {
    const state = after(SENT, { type: 'stopping' }, progress('chunk'));
    expect(state.run?.phase).toBe('stopping');
    expect(state.run?.text).toBe('import math\n');
    expect(reduce(state, progress('cancelled')).run?.phase).toBe('cancelled');
  });

  it('ends a running request when the kernel restarts, and forgets who answered', () => {
    const state = after({ type: 'ready', ready: READY }, SENT, { type: 'restarted' });
    expect(state.run).toMatchObject({ phase: 'failed', loss: 'restarted' });
    expect(state.ready).toBeNull();
  });

  it('takes a request that was being stopped when its comm closed as stopped', () => {
    const state = after(SENT, { type: 'stopping' }, { type: 'lost', loss: 'closed' });
    expect(state.run?.phase).toBe('cancelled');
  });

  it('leaves an ended request alone when the link is lost', () => {
    const state = after(SENT, progress('done'), { type: 'lost', loss: 'closed' });
    expect(state.run?.phase).toBe('done');
  });

  it('shows a bounded part of an endless answer', () => {
    const text = 'x'.repeat(300_000);
    const state = after(SENT, progress('chunk', { text }), progress('chunk', { text }));
    expect(state.run?.text.length).toBe(SHOWN_CHARACTERS);
    expect(state.run?.truncated).toBe(true);
  });

  it('drops a note about what was going on once that is over', () => {
    const state = after(
      SENT,
      progress('note', { text: 'df has changed since v2' }),
      progress('note', { text: 'checking …' })
    );
    expect(state.run?.notes.length).toBe(2);
    expect(reduce(state, progress('verdict')).run?.notes).toEqual([
      'df has changed since v2'
    ]);
  });

  it('says that a request is queued until the kernel takes it', () => {
    const state = after(SENT, { type: 'queued', id: 'g1' });
    expect(state.run?.phase).toBe('queued');
    expect(reduce(state, { type: 'acknowledged', id: 'g1' }).run?.phase).toBe(
      'waiting'
    );
  });

  it('forgets a problem once the link stands differently', () => {
    const state = after({ type: 'problem', text: 'no' });
    expect(state.problem).toBe('no');
    expect(reduce(state, { type: 'link', link: 'connecting' }).problem).toBe('');
  });
});
