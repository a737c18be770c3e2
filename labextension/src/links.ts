import type { INotebookTracker, NotebookPanel } from '@jupyterlab/notebook';
import type { IDisposable } from '@lumino/disposable';
import { Signal, type ISignal } from '@lumino/signaling';
import { place } from './cells';
import { PanelModel } from './model';
import type { IPlace } from './protocol';
import type { ILinks } from './tokens';

/** A cell with this in it may load the extension or change who answers. */
const CONCERNS_US = /llmport|configure/;

/**
 * One link for each open notebook.
 *
 * A notebook whose cells do not mention the extension is left alone until the panel asks:
 * opening it sends nothing.
 */
export class Links implements ILinks, IDisposable {
  constructor(options: Links.IOptions) {
    this._tracker = options.tracker;
    this._placesCells = options.placesCells;
    this._tracker.widgetAdded.connect((_, panel) => this._add(panel));
    this._tracker.currentChanged.connect(() => this._currentChanged.emit(this.current));
    this._tracker.forEach(panel => this._add(panel));
  }

  /**
   * Take note that a cell of a notebook has been run.
   */
  executed(notebook: NotebookPanel['content'], source: string): void {
    const panel = this._tracker.find(candidate => candidate.content === notebook);
    if (panel && CONCERNS_US.test(source)) {
      this._models.get(panel)?.refresh();
    }
  }

  /** Emitted when the user moves to another notebook. */
  get currentChanged(): ISignal<this, PanelModel | null> {
    return this._currentChanged;
  }

  get current(): PanelModel | null {
    const panel = this._tracker.currentWidget;
    return panel === null ? null : (this._models.get(panel) ?? null);
  }

  get isDisposed(): boolean {
    return this._disposed;
  }

  dispose(): void {
    this._disposed = true;
    this._models.forEach(model => model.dispose());
    this._models.clear();
    Signal.clearData(this);
  }

  private _add(panel: NotebookPanel): void {
    if (this._models.has(panel)) {
      return;
    }
    const model = new PanelModel({
      sessionContext: panel.sessionContext,
      placesCells: this._placesCells,
      place: message => placeInto(panel, message)
    });
    this._models.set(panel, model);
    panel.disposed.connect(() => {
      this._models.delete(panel);
      model.dispose();
    });
    void this._connectIfUsed(panel, model);
    if (this._tracker.currentWidget === panel) {
      this._currentChanged.emit(model);
    }
  }

  private async _connectIfUsed(panel: NotebookPanel, model: PanelModel): Promise<void> {
    await panel.revealed;
    await panel.sessionContext.ready;
    const cells = panel.content.model?.sharedModel.cells ?? [];
    if (!model.isDisposed && cells.some(cell => cell.getSource().includes('llmport'))) {
      model.refresh();
    }
  }

  private _tracker: INotebookTracker;
  private _placesCells: boolean;
  private _disposed = false;
  private _models = new Map<NotebookPanel, PanelModel>();
  private _currentChanged = new Signal<this, PanelModel | null>(this);
}

export namespace Links {
  export interface IOptions {
    tracker: INotebookTracker;

    /** Whether the magics of a kernel may ask for cells to be placed. */
    placesCells: boolean;
  }
}

function placeInto(panel: NotebookPanel, message: IPlace): boolean {
  const notebook = panel.content;
  const shared = notebook.model?.sharedModel;
  if (!shared || notebook.model?.readOnly) {
    return false;
  }
  const index = place(shared, message, notebook.activeCellIndex);
  if (index !== null && message.after === null) {
    // Asked for from the panel: the new cell is what the user wants to run next.
    notebook.activeCellIndex = index;
    void notebook.scrollToItem(index);
  }
  return index !== null;
}
