import type { ISessionContext } from '@jupyterlab/apputils';
import { UUID } from '@lumino/coreutils';
import type { IDisposable } from '@lumino/disposable';
import { Signal, type ISignal } from '@lumino/signaling';
import { KernelLink } from './connection';
import type { IPlace, KernelMessage } from './protocol';
import { INITIAL, isRunning, reduce, type Action, type IState } from './state';

/**
 * What one notebook asks of its kernel, and how that stands.
 */
export class PanelModel implements IDisposable {
  constructor(options: PanelModel.IOptions) {
    this._place = options.place;
    this._link = new KernelLink(options);
    this._link.changed.connect((_, link) => this._dispatch({ type: 'link', link }));
    this._link.queued.connect((_, id) => this._dispatch({ type: 'queued', id }));
    this._link.failures.connect((_, text) => this._dispatch({ type: 'problem', text }));
    this._link.lost.connect((_, loss) =>
      this._dispatch(
        loss === 'restarted' ? { type: 'restarted' } : { type: 'lost', loss }
      )
    );
    this._link.received.connect((_, message) => this._onMessage(message));
  }

  /**
   * Ask for a module; nothing happens while another request runs.
   */
  send(request: PanelModel.IRequest): void {
    if (isRunning(this._state) || this._state.link !== 'ready') {
      return;
    }
    const id = UUID.uuid4();
    this._dispatch({ type: 'sent', id });
    this._link.request({ type: 'generate', id, cell_id: null, ...request });
  }

  /**
   * Stop the running request.
   */
  stop(): void {
    const run = this._state.run;
    if (run === null || !isRunning(this._state) || run.phase === 'stopping') {
      return;
    }
    this._dispatch({ type: 'stopping' });
    this._link.request({ type: 'cancel', id: UUID.uuid4(), re: run.id });
  }

  /**
   * Connect, or ask a connected kernel again who answers.
   */
  refresh(): void {
    this._link.refresh();
  }

  /**
   * Do what the link needs: load the extension, or try again.
   */
  async repair(): Promise<void> {
    await (this._state.link === 'absent' ? this._link.load() : this._link.reconnect());
  }

  /** Emitted when the state changed. */
  get stateChanged(): ISignal<this, IState> {
    return this._stateChanged;
  }

  get state(): IState {
    return this._state;
  }

  get isDisposed(): boolean {
    return this._link.isDisposed;
  }

  dispose(): void {
    this._link.dispose();
    Signal.clearData(this);
  }

  private _onMessage(message: KernelMessage): void {
    switch (message.type) {
      case 'ack':
        this._dispatch({ type: 'acknowledged', id: message.re });
        break;
      case 'ready':
        this._dispatch({ type: 'ready', ready: message });
        break;
      case 'place':
        this._link.placed(message.id, this._place(message));
        break;
      case 'failed':
        if (message.re !== this._state.run?.id) {
          this._dispatch({ type: 'problem', text: message.message });
          break;
        }
        this._dispatch({ type: 'progress', progress: message });
        break;
      default:
        this._dispatch({ type: 'progress', progress: message });
    }
  }

  private _dispatch(action: Action): void {
    const state = reduce(this._state, action);
    if (state !== this._state) {
      this._state = state;
      this._stateChanged.emit(state);
    }
  }

  private _link: KernelLink;
  private _place: (message: IPlace) => boolean;
  private _state = INITIAL;
  private _stateChanged = new Signal<this, IState>(this);
}

export namespace PanelModel {
  export interface IOptions extends KernelLink.IOptions {
    sessionContext: ISessionContext;

    /** Puts a cell into the notebook; whether it did. */
    place: (message: IPlace) => boolean;
  }

  export interface IRequest {
    name: string | null;
    prompt: string;
    provider: string | null;
    model: string | null;
    update: boolean;
  }
}
