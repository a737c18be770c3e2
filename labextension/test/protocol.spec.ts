import { describe, expect, it } from 'vitest';
import fixture from '../../tests/fixtures/comm_messages.json';
import {
  encode,
  isLinkedSource,
  parse,
  PROTOCOL,
  type PanelMessage
} from '../src/protocol';

const place = fixture.kernel_to_front.place;

describe('parse()', () => {
  it.each(Object.entries(fixture.kernel_to_front))('reads `%s`', (type, message) => {
    expect(parse(message)).toMatchObject({ type, re: message.re });
  });

  it.each(
    fixture.invalid_for_front.map(data => [JSON.stringify(data).slice(0, 60), data])
  )('drops %s', (_, data) => {
    expect(parse(data)).toMatchObject({ type: 'unreadable' });
  });

  it('tells another version apart from nonsense', () => {
    expect(parse({ v: 2, type: 'ack', re: 'a' })).toMatchObject({ reason: 'version' });
    expect(parse({ v: 1, type: 'run' })).toMatchObject({ reason: 'type' });
    expect(parse({ v: 1, type: 'ack' })).toMatchObject({ reason: 'field' });
  });

  it('is not fooled by names that every object has', () => {
    for (const type of ['constructor', 'toString', '__proto__', 'hasOwnProperty']) {
      expect(parse({ v: 1, type, re: 'a' })).toMatchObject({ type: 'unreadable' });
    }
  });

  it('drops a text that is too long to be shown', () => {
    const text = 'x'.repeat(2_000_001);
    expect(parse({ v: 1, type: 'chunk', re: 'a', text })).toMatchObject({
      reason: 'field'
    });
  });

  it('takes the total of the tokens, or adds up what there is', () => {
    const done = fixture.kernel_to_front.done;
    expect(parse(done)).toMatchObject({ tokens: 200 });
    const usage = { prompt_tokens: 3, completion_tokens: 4 };
    expect(parse({ ...done, usage })).toMatchObject({ tokens: 7 });
    expect(parse({ ...done, usage: null, version: null })).toMatchObject({ tokens: 0 });
    expect(parse({ ...done, usage: { total_tokens: -1 } })).toMatchObject({
      tokens: 0
    });
  });

  it('keeps the good providers of a list with bad ones', () => {
    const providers = [{ name: 3 }, null, { name: 'local', models: ['a', 4] }];
    expect(parse({ ...fixture.kernel_to_front.ready, providers })).toMatchObject({
      providers: [{ name: 'local', models: ['a'], available: false, hint: '' }]
    });
  });

  it('offers every model of a provider that has hundreds', () => {
    const models = Array.from({ length: 700 }, (_, number) => `vendor/model-${number}`);
    const providers = [{ name: 'openrouter', models }];
    expect(parse({ ...fixture.kernel_to_front.ready, providers })).toMatchObject({
      providers: [{ models }]
    });
  });

  it('reads where a cell goes', () => {
    expect(parse(place)).toMatchObject({ after: null, name: 'circle', rewrite: false });
    expect(parse({ ...place, was: 'x = 1' })).toMatchObject({ was: 'x = 1' });
    expect(parse({ ...place, was: 1 })).toMatchObject({ was: null });
    expect(parse({ ...place, after: 'c1', rewrite: true })).toMatchObject({
      after: 'c1',
      rewrite: true
    });
    const plain = { ...place, name: null, base: null, cell: { source: 'x = 1' } };
    expect(parse(plain)).toMatchObject({ name: null, source: 'x = 1' });
  });
});

describe('encode()', () => {
  it.each(Object.entries(fixture.front_to_kernel))('writes `%s`', (_, message) => {
    const { v, ...fields } = message;
    expect(v).toBe(PROTOCOL);
    expect(encode(fields as PanelMessage)).toEqual(message);
  });
});

describe('isLinkedSource()', () => {
  it('knows the cell of a module by its first line', () => {
    expect(isLinkedSource('%%llmport_module circle --base 0a\nx', 'circle')).toBe(true);
    expect(isLinkedSource('%%llmport_module circle', 'circle')).toBe(true);
    expect(isLinkedSource('%%llmport_module circles --base 0a', 'circle')).toBe(false);
    expect(isLinkedSource('%%llmport circle', 'circle')).toBe(false);
    expect(isLinkedSource('x = 1\n%%llmport_module circle', 'circle')).toBe(false);
    expect(isLinkedSource('', 'circle')).toBe(false);
  });

  it.each(fixture.linked_cells)('knows `$source` as the kernel does', cell => {
    expect(isLinkedSource(cell.source, cell.name)).toBe(cell.linked);
  });
});
