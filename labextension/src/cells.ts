/*
 * Where a generated cell goes. JupyterLab is used for its types only, so that this can be
 * tested on the shared document itself.
 */

import type { ISharedCell, ISharedCodeCell, ISharedNotebook } from '@jupyter/ydoc';
import { firstWords, isLinkedSource, type IPlace } from './protocol';

/**
 * Put the cell into the notebook; the index where it stands, `null` if it has no place.
 *
 * The cell of the same name directly below the prompt is replaced, so that asking again
 * does not pile up cells. Where the prompt is no cell, the active cell is what the user
 * looks at: it is replaced if it is the linked one, else the cell goes below it.
 */
export function place(
  notebook: ISharedNotebook,
  message: IPlace,
  active: number
): number | null {
  const prompt = findCell(notebook, message.after);
  if (message.rewrite) {
    return message.name === null
      ? correct(notebook, message, prompt)
      : rewrite(notebook, message, prompt);
  }
  const below = prompt ?? active;
  const candidates = prompt === null ? [active, active + 1] : [prompt + 1];
  for (const index of candidates) {
    const cell = notebook.cells[index];
    if (cell !== undefined && isLinked(cell, message)) {
      replace(notebook, cell, message);
      return index;
    }
  }
  const index = Math.min(below + 1, notebook.cells.length);
  notebook.insertCell(index, {
    cell_type: 'code',
    source: text(message),
    metadata: metadata(message)
  });
  return index;
}

function findCell(notebook: ISharedNotebook, id: string | null): number | null {
  const index =
    id === null ? -1 : notebook.cells.findIndex(cell => cell.getId() === id);
  return index === -1 ? null : index;
}

function isLinked(cell: ISharedCell, { name, source }: IPlace): boolean {
  if (name === null || cell.cell_type !== 'code') {
    return false;
  }
  const held = cell.getSource();
  // A module and a specification may have one name.
  return isLinkedSource(held, name) && firstWords(held)[0] === firstWords(source)[0];
}

function replace(notebook: ISharedNotebook, cell: ISharedCell, message: IPlace): void {
  notebook.transact(() => {
    cell.setSource(text(message));
    setMetadata(cell, message);
    if (cell.cell_type === 'code') {
      // The output below was that of the text which has just gone.
      (cell as ISharedCodeCell).setOutputs([]);
      (cell as ISharedCodeCell).execution_count = null;
    }
  });
}

/**
 * Bring the first line of the cell up to date. The lines below are the user's: the kernel
 * has just read them from here, and they may have been edited since.
 */
function rewrite(
  notebook: ISharedNotebook,
  message: IPlace,
  index: number | null
): number | null {
  const cell = index === null ? undefined : notebook.cells[index];
  if (cell === undefined || !isLinked(cell, message)) {
    return null;
  }
  const [, ...lines] = cell.getSource().split('\n');
  const [first] = message.source.split('\n', 1);
  notebook.transact(() => {
    cell.setSource([first, ...lines].join('\n'));
    setMetadata(cell, message);
  });
  return index;
}

/**
 * Put a correction in the place of the plain cell that failed, unless it was edited since.
 */
function correct(
  notebook: ISharedNotebook,
  message: IPlace,
  index: number | null
): number | null {
  const cell = index === null ? undefined : notebook.cells[index];
  if (cell?.cell_type !== 'code' || message.was === null) {
    return null;
  }
  if (trimmed(cell.getSource()) !== trimmed(message.was)) {
    return null;
  }
  replace(notebook, cell, message);
  return index;
}

function trimmed(source: string): string {
  return source.replace(/^\n+|\s+$/g, '');
}

function setMetadata(cell: ISharedCell, message: IPlace): void {
  for (const [key, value] of Object.entries(metadata(message))) {
    cell.setMetadata(key, value);
  }
}

/** A cell does not end with an empty line. */
function text(message: IPlace): string {
  return message.source.replace(/\n+$/, '');
}

function metadata(message: IPlace): Record<string, boolean | Record<string, string>> {
  const { name, base } = message;
  const link =
    name === null ? {} : { llmport: { name, ...(base === null ? {} : { base }) } };
  return { trusted: false, ...link };
}
