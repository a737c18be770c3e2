import { YNotebook, type ISharedCodeCell } from '@jupyter/ydoc';
import { beforeEach, describe, expect, it } from 'vitest';
import { place } from '../src/cells';
import type { IPlace } from '../src/protocol';

const SOURCE = '%%llmport_module circle --base 0b\ndef area(r):\n    return 3 * r\n';

function message(fields: Partial<IPlace> = {}): IPlace {
  return {
    type: 'place',
    re: null,
    id: 'p1',
    after: 'prompt',
    source: SOURCE,
    name: 'circle',
    base: '0b',
    rewrite: false,
    was: null,
    ...fields
  };
}

describe('place()', () => {
  let notebook: YNotebook;

  const sources = () => notebook.cells.map(cell => cell.getSource().split('\n')[0]);

  const insert = (source: string, id: string, cell_type = 'code') =>
    notebook.insertCell(notebook.cells.length, { cell_type, source, id });

  beforeEach(() => {
    notebook = new YNotebook();
    insert('first', 'first');
    insert('%%llmport circle', 'prompt');
    insert('last', 'last');
    notebook.clearUndoHistory();
  });

  it('inserts below the prompt cell, wherever the active cell is', () => {
    expect(place(notebook, message(), 2)).toBe(2);
    const first = '%%llmport_module circle --base 0b';
    expect(sources()).toEqual(['first', '%%llmport circle', first, 'last']);
    expect(notebook.cells[2]!.getSource()).toBe(SOURCE.trimEnd());
    expect(notebook.cells[2]!.getMetadata()).toMatchObject({
      trusted: false,
      llmport: { name: 'circle', base: '0b' }
    });
  });

  it('replaces the linked cell directly below, and its output', () => {
    place(notebook, message({ source: '%%llmport_module circle --base 0a\nold' }), 0);
    const linked = notebook.cells[2] as ISharedCodeCell;
    linked.setOutputs([{ output_type: 'stream', name: 'stdout', text: 'v1' }]);
    linked.execution_count = 3;
    const id = linked.getId();
    expect(place(notebook, message(), 0)).toBe(2);
    expect(notebook.cells.length).toBe(4);
    expect(linked.getId()).toBe(id);
    expect(linked.getSource()).toBe(SOURCE.trimEnd());
    expect(linked.outputs).toEqual([]);
    expect(linked.execution_count).toBeNull();
  });

  it('can be undone', () => {
    place(notebook, message(), 0);
    notebook.undo();
    expect(sources()).toEqual(['first', '%%llmport circle', 'last']);
  });

  it('replaces the version of a specification, and no prompt of it', () => {
    const version = (base: string) => `%%gmn walker --validate --base ${base}`;
    const after = (id: string, base: string) =>
      message({ source: version(base), name: 'walker', base, after: id });
    notebook.deleteCellRange(1, 3);
    insert('%%gmn walker', 'first-prompt');
    insert('%%gmn walker --update', 'second-prompt');
    insert('%%gmn walker --validate\nmine', 'mine');
    insert('%%llmport_module walker --base 0c', 'module');
    expect(place(notebook, after('first-prompt', '0a'), 0)).toBe(2);
    expect(place(notebook, after('first-prompt', '0b'), 0)).toBe(2);
    expect(place(notebook, after('second-prompt', '0c'), 0)).toBe(4);
    expect(place(notebook, after('mine', '0d'), 0)).toBe(6);
    expect(sources().slice(1)).toEqual([
      '%%gmn walker',
      version('0b'),
      '%%gmn walker --update',
      version('0c'),
      '%%gmn walker --validate',
      version('0d'),
      '%%llmport_module walker --base 0c'
    ]);
  });

  it('leaves the cell of another module, and text that looks like one, alone', () => {
    insert('%%llmport ring', 'ring');
    insert('%%llmport_module circle', 'markdown', 'markdown');
    expect(place(notebook, message({ after: 'last' }), 0)).toBe(3);
    const ring = message({
      after: 'ring',
      name: 'ring',
      source: '%%llmport_module ring --base 1'
    });
    expect(place(notebook, ring, 0)).toBe(5);
    expect(notebook.cells.length).toBe(7);
  });

  it('inserts below the active cell when the prompt is no cell', () => {
    expect(place(notebook, message({ after: null }), 0)).toBe(1);
    expect(place(notebook, message({ after: 'gone' }), 3)).toBe(4);
  });

  it('replaces the linked cell at or below the active one when the prompt is no cell', () => {
    expect(place(notebook, message({ after: null }), 0)).toBe(1);
    expect(place(notebook, message({ after: null, base: '0c' }), 1)).toBe(1);
    expect(place(notebook, message({ after: null, base: '0d' }), 0)).toBe(1);
    expect(notebook.cells.length).toBe(4);
    expect(notebook.cells[1]!.getMetadata('llmport')).toEqual({
      name: 'circle',
      base: '0d'
    });
  });

  it('works in a notebook without an active cell', () => {
    expect(place(new YNotebook(), message({ after: null }), -1)).toBe(0);
  });

  it('always inserts a cell that stands for nothing', () => {
    const plain = message({ name: null, base: null, source: 'x = 1\n' });
    place(notebook, plain, 0);
    place(notebook, plain, 0);
    expect(sources().slice(2, 4)).toEqual(['x = 1', 'x = 1']);
    expect(notebook.cells[2]!.getMetadata()).not.toHaveProperty('llmport');
  });

  it('rewrites the first line only: the lines below are the user`s', () => {
    insert('%%llmport_module circle --base 0a\nmine = 1', 'module');
    const rewrite = message({ after: 'module', rewrite: true });
    expect(place(notebook, rewrite, 0)).toBe(3);
    expect(notebook.cells[3]!.getSource()).toBe(
      '%%llmport_module circle --base 0b\nmine = 1'
    );
    expect(notebook.cells.length).toBe(4);
  });

  it('replaces a plain cell that still holds what failed, and its output', () => {
    insert('1 / 0', 'failing');
    const failing = notebook.cells[3] as ISharedCodeCell;
    failing.setOutputs([{ output_type: 'stream', name: 'stderr', text: 'no' }]);
    const plain = { name: null, base: null, source: '1 / 1\n', rewrite: true };
    const was = '1 / 0\n';
    expect(place(notebook, message({ ...plain, after: 'failing', was }), 0)).toBe(3);
    expect(failing.getSource()).toBe('1 / 1');
    expect(failing.outputs).toEqual([]);
    expect(notebook.cells.length).toBe(4);
  });

  it('leaves a plain cell that was edited since it failed', () => {
    const plain = { name: null, base: null, source: 'x = 1', rewrite: true };
    const edited = message({ ...plain, after: 'last', was: 'lst' });
    expect(place(notebook, edited, 0)).toBeNull();
    expect(place(notebook, message({ ...plain, after: 'last' }), 0)).toBeNull();
    expect(
      place(notebook, message({ ...plain, after: 'gone', was: 'x' }), 0)
    ).toBeNull();
    expect(sources()).toEqual(['first', '%%llmport circle', 'last']);
  });

  it('rewrites nothing but the module`s own cell', () => {
    expect(place(notebook, message({ after: 'last', rewrite: true }), 0)).toBeNull();
    expect(place(notebook, message({ after: 'gone', rewrite: true }), 0)).toBeNull();
    expect(sources()).toEqual(['first', '%%llmport circle', 'last']);
  });
});
