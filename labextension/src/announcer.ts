import type { IDisposable } from '@lumino/disposable';

/**
 * Tells a screen reader what has changed, at most once in `pause` milliseconds.
 */
export class Announcer implements IDisposable {
  constructor(options: Announcer.IOptions) {
    this.pause = options.pause;
    this.node = document.createElement('div');
    this.node.className = 'llmport-announcer';
    this.node.setAttribute('role', 'status');
  }

  /**
   * Announce a text; a newer one takes the place of one that was not told yet.
   */
  announce(text: string): void {
    this._next = text;
    if (this._timer === null && text !== this.node.textContent) {
      this._timer = setTimeout(() => {
        this._timer = null;
        this.node.textContent = this._next;
      }, this.pause);
    }
  }

  get isDisposed(): boolean {
    return this._disposed;
  }

  dispose(): void {
    this._disposed = true;
    if (this._timer !== null) {
      clearTimeout(this._timer);
    }
  }

  readonly node: HTMLElement;

  /** How long a text waits for a newer one, in milliseconds. */
  pause: number;

  private _disposed = false;
  private _next = '';
  private _timer: ReturnType<typeof setTimeout> | null = null;
}

export namespace Announcer {
  export interface IOptions {
    pause: number;
  }
}
