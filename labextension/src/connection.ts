import type { ISessionContext } from '@jupyterlab/apputils';
import type { Kernel } from '@jupyterlab/services';
import { UUID, type JSONObject } from '@lumino/coreutils';
import type { IDisposable } from '@lumino/disposable';
import { Signal, type ISignal } from '@lumino/signaling';
import {
  COMM_TARGET,
  encode,
  parse,
  type KernelMessage,
  type PanelMessage,
  type Request
} from './protocol';
import type { Link, Loss } from './state';

const LOAD_CODE = '%load_ext llmport_magic';

/**
 * The link of one notebook to its kernel: the only door to the other side.
 *
 * Each request must be acknowledged within `patience`, or four times that on a kernel with
 * subshells. A miss there means that the comm is dead (its subshell was deleted, or the kernel
 * took it to the main shell): a fresh comm is opened and the request sent once more, with the
 * same id.
 */
export class KernelLink implements IDisposable {
  constructor(options: KernelLink.IOptions) {
    this._context = options.sessionContext;
    this._patience = options.patience ?? 2000;
    this._placesCells = options.placesCells ?? true;
    this._context.kernelChanged.connect(this._onKernelChanged, this);
    this._context.statusChanged.connect(this._onStatusChanged, this);
  }

  /**
   * Connect if that has not been done yet.
   */
  async connect(): Promise<void> {
    if (this._comm === null && !this._connecting) {
      await this._open();
    }
  }

  /**
   * Ask the kernel again who would answer.
   */
  refresh(): void {
    if (this._comm === null) {
      void this.connect();
    } else {
      this.request(this._hello());
    }
  }

  /**
   * Load the extension into the kernel, then connect.
   */
  async load(): Promise<void> {
    const kernel = this._context.session?.kernel;
    if (!kernel) {
      return;
    }
    this._report('connecting');
    const generation = this._generation;
    const future = kernel.requestExecute({ code: LOAD_CODE, silent: true });
    const slow = setTimeout(() => this._report('queued'), this._patience);
    const reply = await future.done.catch(() => null);
    clearTimeout(slow);
    if (generation !== this._generation || this._disposed) {
      return;
    }
    if (reply?.content.status === 'error') {
      this._failures.emit(`${reply.content.ename}: ${reply.content.evalue}`);
      this._report('absent');
      return;
    }
    await this._reopen();
  }

  /**
   * Send a request that the kernel acknowledges.
   */
  request(message: Request, again = false): void {
    const timer = setTimeout(() => this._onMiss(message, again), this._deadline());
    this._unacknowledged.set(message.id, { message, timer });
    this._send(message);
  }

  /**
   * Tell the kernel whether the cell was placed.
   */
  placed(id: string, ok: boolean): void {
    this._send({ type: 'placed', re: id, ok });
  }

  /**
   * Open a fresh comm in place of the one in use.
   */
  async reconnect(): Promise<void> {
    await this._reopen();
  }

  /** Emitted with each valid message of the kernel. */
  get received(): ISignal<this, KernelMessage> {
    return this._received;
  }

  /** Emitted when the notebook stands differently with its kernel. */
  get changed(): ISignal<this, Link> {
    return this._changed;
  }

  /** Emitted when no answer to a running request can come any more. */
  get lost(): ISignal<this, Loss> {
    return this._lost;
  }

  /** Emitted with the id of a request that waits for the running cell. */
  get queued(): ISignal<this, string> {
    return this._queued;
  }

  /** Emitted with what the kernel said when the extension could not be loaded. */
  get failures(): ISignal<this, string> {
    return this._failures;
  }

  /** How many messages of the kernel were not of the protocol. */
  get dropped(): number {
    return this._dropped;
  }

  get isDisposed(): boolean {
    return this._disposed;
  }

  dispose(): void {
    if (this._disposed) {
      return;
    }
    this._disposed = true;
    this._drop(true);
    Signal.clearData(this);
  }

  private async _open(again = false): Promise<void> {
    const generation = ++this._generation;
    this._connecting = true;
    try {
      await this._context.ready;
      const kernel = this._context.session?.kernel ?? null;
      if (!this._isCurrent(generation)) {
        return;
      }
      if (kernel === null) {
        this._report('none');
        return;
      }
      this._report('connecting');
      const info = await kernel.info;
      if (!this._isCurrent(generation)) {
        return;
      }
      if (info.language_info.name !== 'python') {
        this._report('foreign');
        return;
      }
      const comm = await this._createComm(kernel);
      if (!this._isCurrent(generation) || kernel.isDisposed) {
        comm.dispose();
        return;
      }
      this._listen(comm, generation);
      comm.open({});
      this.request(this._hello(), again);
    } catch (error) {
      console.warn('llmport: no link to the kernel', error);
      if (this._isCurrent(generation)) {
        this._report('silent');
      }
    } finally {
      if (generation === this._generation) {
        this._connecting = false;
      }
    }
  }

  private async _createComm(kernel: Kernel.IKernelConnection): Promise<Kernel.IComm> {
    const comm: SubshellComm = kernel.createComm(COMM_TARGET);
    this._subshells = kernel.supportsSubshells === true;
    if (!this._subshells) {
      return comm;
    }
    if (comm.commsOverSubshells === 'disabled') {
      // The constructor has an own start on its way: changing the mode before that has
      // looked at it would start a second subshell, which nobody deletes.
      await delay(0);
      comm.commsOverSubshells = 'perComm' as NonNullable<
        SubshellComm['commsOverSubshells']
      >;
    }
    await Promise.race([
      comm.subshellStarted,
      delay(this._deadline()).then(() => {
        throw new Error('The subshell did not start.');
      })
    ]);
    return comm;
  }

  private _listen(comm: Kernel.IComm, generation: number): void {
    this._comm = comm;
    comm.onMsg = message => {
      if (this._isCurrent(generation)) {
        this._onMessage(message.content.data);
      }
    };
    comm.onClose = () => {
      if (this._isCurrent(generation)) {
        this._drop(false);
        this._report('absent');
        this._lost.emit('closed');
      }
    };
  }

  private _onMessage(data: unknown): void {
    const message = parse(data);
    if (message.type === 'unreadable') {
      this._dropped += 1;
      if (message.reason === 'version') {
        this._report('outdated');
      }
      return;
    }
    if (message.type === 'ack') {
      this._acknowledge(message.re);
    }
    this._received.emit(message);
  }

  private _acknowledge(id: string): void {
    clearTimeout(this._unacknowledged.get(id)?.timer);
    this._unacknowledged.delete(id);
  }

  private _onMiss(message: Request, again: boolean): void {
    if (!this._subshells) {
      // The kernel has it and answers after the cell: asking twice would run it twice.
      this._queued.emit(message.id);
      if (message.type === 'hello') {
        this._report('queued');
      }
      return;
    }
    this._unacknowledged.delete(message.id);
    if (again) {
      this._report('silent');
      this._lost.emit('silent');
      return;
    }
    void this._reopen(true).then(() => {
      if (message.type !== 'generate') {
        // The kernel stops what belongs to a comm that is closed.
        this._lost.emit('closed');
      } else if (this._comm !== null) {
        this.request(message, true);
      }
    });
  }

  private async _reopen(again = false): Promise<void> {
    this._drop(true);
    // Closing counts down who uses the subshell; opening in the same turn would be given
    // the one that is about to be deleted.
    await delay(0);
    await this._open(again);
  }

  private _send(message: PanelMessage): void {
    if (this._comm === null || this._comm.isDisposed) {
      return;
    }
    this._comm.send(encode(message) as unknown as JSONObject);
  }

  private _hello(): Request {
    return { type: 'hello', id: UUID.uuid4(), cells: this._placesCells };
  }

  private _drop(tell: boolean): void {
    this._generation += 1;
    this._connecting = false;
    for (const { timer } of this._unacknowledged.values()) {
      clearTimeout(timer);
    }
    this._unacknowledged.clear();
    const comm = this._comm;
    this._comm = null;
    if (tell && comm !== null && !comm.isDisposed) {
      try {
        comm.close();
      } catch {
        comm.dispose();
      }
    }
  }

  private _onKernelChanged(): void {
    this._drop(false);
    this._lost.emit('restarted');
    this._report(this._context.session?.kernel ? 'idle' : 'none');
  }

  private _onStatusChanged(_: ISessionContext, status: Kernel.Status): void {
    if (status === 'restarting' || status === 'autorestarting') {
      this._drop(false);
      this._restarting = true;
      this._lost.emit('restarted');
      this._report('connecting');
    } else if (status === 'dead') {
      this._drop(false);
      this._lost.emit('restarted');
      this._report('dead');
    } else if (this._restarting && status === 'idle') {
      this._restarting = false;
      this._report('idle');
    }
  }

  /**
   * A subshell answers at once unless the whole machine stands still: whoever is asked again
   * too early may answer, and be paid, twice.
   */
  private _deadline(): number {
    return this._subshells ? 4 * this._patience : this._patience;
  }

  private _report(link: Link): void {
    if (!this._disposed) {
      this._changed.emit(link);
    }
  }

  private _isCurrent(generation: number): boolean {
    return generation === this._generation && !this._disposed;
  }

  private _context: ISessionContext;
  private _patience: number;
  private _placesCells: boolean;
  private _comm: Kernel.IComm | null = null;
  private _connecting = false;
  private _disposed = false;
  private _dropped = 0;
  private _generation = 0;
  private _restarting = false;
  private _subshells = false;
  private _unacknowledged = new Map<string, KernelLink.IPending>();
  private _changed = new Signal<this, Link>(this);
  private _failures = new Signal<this, string>(this);
  private _lost = new Signal<this, Loss>(this);
  private _queued = new Signal<this, string>(this);
  private _received = new Signal<this, KernelMessage>(this);
}

export namespace KernelLink {
  export interface IOptions {
    sessionContext: ISessionContext;

    /** Whether the kernel may ask for cells to be placed. */
    placesCells?: boolean;

    /** How long to wait for an acknowledgement, in milliseconds. */
    patience?: number;
  }

  export interface IPending {
    message: Request;
    timer: ReturnType<typeof setTimeout>;
  }
}

/** `subshellStarted` is public in JupyterLab 4.6, but not in the interface of a comm. */
type SubshellComm = Kernel.IComm & { readonly subshellStarted?: Promise<void> };

function delay(milliseconds: number): Promise<void> {
  return new Promise(resolve => setTimeout(resolve, milliseconds));
}
