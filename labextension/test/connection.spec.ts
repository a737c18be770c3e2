import { Signal } from '@lumino/signaling';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { KernelLink } from '../src/connection';
import type { KernelMessage } from '../src/protocol';
import type { Link } from '../src/state';

type Sent = { type: string; id?: string; re?: string };

/** The kernel's end of one comm. */
class FakeComm {
  constructor(
    readonly kernel: FakeKernel,
    public commsOverSubshells = 'perCommTarget'
  ) {
    this.subshellStarted = kernel.startsSubshells
      ? Promise.resolve()
      : new Promise<void>(() => undefined);
  }

  open(): void {
    this.opened = true;
    if (!this.kernel.loaded) {
      void Promise.resolve().then(() => this.onClose({}));
    }
  }

  send(data: Sent): void {
    this.sent.push(data);
    if (this.kernel.answers > 0 && data.id) {
      this.kernel.answers -= 1;
      this.say({ v: 1, type: 'ack', re: data.id });
      if (data.type === 'hello') {
        const who = { version: '1', provider: null, model: null, why: '' };
        this.say({
          v: 1,
          type: 'ready',
          re: data.id,
          providers: [],
          modules: [],
          ...who
        });
      }
    }
  }

  say(data: unknown): void {
    this.onMsg({ content: { data } });
  }

  close(): void {
    this.isDisposed = true;
  }

  dispose(): void {
    this.isDisposed = true;
  }

  onMsg: (message: unknown) => void = () => undefined;
  onClose: (message: unknown) => void = () => undefined;
  readonly subshellStarted: Promise<void>;
  readonly sent: Sent[] = [];
  opened = false;
  isDisposed = false;
}

class FakeKernel {
  info = Promise.resolve({ language_info: { name: 'python' } });
  supportsSubshells = true;
  startsSubshells = true;
  loaded = true;
  answers = Infinity;
  loadReply: unknown = { content: { status: 'ok' } };
  mode = 'perCommTarget';
  isDisposed = false;
  readonly comms: FakeComm[] = [];
  readonly executed: unknown[] = [];

  createComm(): FakeComm {
    const comm = new FakeComm(this, this.mode);
    this.comms.push(comm);
    return comm;
  }

  requestExecute(content: unknown): { done: Promise<unknown> } {
    this.executed.push(content);
    this.loaded = true;
    return { done: Promise.resolve(this.loadReply) };
  }
}

class FakeContext {
  ready = Promise.resolve();
  session: { kernel: FakeKernel | null } = { kernel: new FakeKernel() };
  kernelChanged = new Signal<this, void>(this);
  statusChanged = new Signal<this, string>(this);
}

describe('KernelLink', () => {
  let context: FakeContext;
  let kernel: FakeKernel;
  let link: KernelLink;
  let states: Link[];
  let received: KernelMessage[];
  let lost: string[];

  beforeEach(() => {
    vi.useFakeTimers();
    context = new FakeContext();
    kernel = context.session.kernel!;
    link = new KernelLink({ sessionContext: context as never });
    states = [];
    received = [];
    lost = [];
    link.changed.connect((_, state) => states.push(state));
    link.received.connect((_, message) => received.push(message));
    link.lost.connect((_, loss) => lost.push(loss));
  });

  afterEach(() => {
    link.dispose();
    vi.useRealTimers();
  });

  const settle = (milliseconds = 10) => vi.advanceTimersByTimeAsync(milliseconds);

  const generate = (id = 'g1') =>
    link.request({
      type: 'generate',
      id,
      name: 'circle',
      prompt: 'x',
      provider: null,
      model: null,
      update: false,
      cell_id: null
    });

  it('says nothing before it is asked to', async () => {
    await settle(10_000);
    expect(kernel.comms).toEqual([]);
  });

  it('opens one comm on a subshell and introduces itself', async () => {
    void link.connect();
    void link.connect();
    await settle();
    expect(kernel.comms.length).toBe(1);
    expect(kernel.comms[0]!.sent).toMatchObject([{ v: 1, type: 'hello', cells: true }]);
    expect(received.map(message => message.type)).toEqual(['ack', 'ready']);
    await settle(10_000);
    expect(kernel.comms.length).toBe(1);
  });

  it('takes a subshell of its own where the user has switched them off', async () => {
    kernel.mode = 'disabled';
    void link.connect();
    await settle();
    expect(kernel.comms[0]!.commsOverSubshells).toBe('perComm');
    expect(kernel.comms[0]!.opened).toBe(true);
  });

  it('sees that the extension is not loaded, loads it and connects', async () => {
    kernel.loaded = false;
    void link.connect();
    await settle();
    expect(states.at(-1)).toBe('absent');
    void link.load();
    await settle();
    expect(kernel.executed).toEqual([
      { code: '%load_ext llmport_magic', silent: true }
    ]);
    expect(received.at(-1)?.type).toBe('ready');
  });

  it('reports why the extension could not be loaded', async () => {
    const failures: string[] = [];
    link.failures.connect((_, text) => failures.push(text));
    const content = { status: 'error', ename: 'ModuleNotFoundError', evalue: 'no' };
    kernel.loadReply = { content };
    void link.load();
    await settle();
    expect(failures).toEqual(['ModuleNotFoundError: no']);
    expect(states.at(-1)).toBe('absent');
  });

  it('asks again on a fresh comm, with the same id, when nothing is acknowledged', async () => {
    void link.connect();
    await settle();
    kernel.answers = 0;
    generate();
    await settle(7990);
    expect(kernel.comms.length).toBe(1);
    kernel.answers = Infinity;
    await settle(20);
    const [first, second] = kernel.comms;
    expect(first!.isDisposed).toBe(true);
    expect(second!.sent).toMatchObject([
      { type: 'hello' },
      { type: 'generate', id: 'g1' }
    ]);
    await settle(10_000);
    expect(kernel.comms.length).toBe(2);
    expect(lost).toEqual([]);
  });

  it('gives up after the second silence', async () => {
    void link.connect();
    await settle();
    kernel.answers = 0;
    generate();
    await settle(20_000);
    expect(kernel.comms.length).toBe(2);
    expect(states.at(-1)).toBe('silent');
    expect(lost).toContain('silent');
  });

  it('takes a request as stopped when the kernel does not hear that it shall stop', async () => {
    void link.connect();
    await settle();
    kernel.answers = 0;
    link.request({ type: 'cancel', id: 'c1', re: 'g1' });
    await settle(7995);
    kernel.answers = Infinity;
    await settle(20);
    expect(kernel.comms[0]!.isDisposed).toBe(true);
    expect(lost).toEqual(['closed']);
  });

  it('ends what was running when the kernel does not answer a question', async () => {
    void link.connect();
    await settle();
    kernel.answers = 0;
    link.refresh();
    await settle(7995);
    kernel.answers = Infinity;
    await settle(20);
    expect(kernel.comms.length).toBe(2);
    expect(lost).toEqual(['closed']);
    expect(received.at(-1)?.type).toBe('ready');
  });

  it('waits instead of asking twice where the kernel has no subshells', async () => {
    kernel.supportsSubshells = false;
    const queued: string[] = [];
    link.queued.connect((_, id) => queued.push(id));
    void link.connect();
    await settle();
    kernel.answers = 0;
    generate();
    await settle(60_000);
    expect(queued).toEqual(['g1']);
    expect(kernel.comms.length).toBe(1);
    expect(kernel.comms[0]!.sent.filter(sent => sent.type === 'generate').length).toBe(
      1
    );
  });

  it('says queued when an old kernel is busy from the start', async () => {
    kernel.supportsSubshells = false;
    kernel.answers = 0;
    void link.connect();
    await settle(3000);
    expect(states.at(-1)).toBe('queued');
  });

  it('is silent, not stuck, when the subshell does not start', async () => {
    vi.spyOn(console, 'warn').mockImplementation(() => undefined);
    kernel.startsSubshells = false;
    void link.connect();
    await settle(9000);
    expect(states.at(-1)).toBe('silent');
  });

  it('forgets the comm when the kernel restarts, and hears nothing of it any more', async () => {
    void link.connect();
    await settle();
    context.statusChanged.emit('restarting');
    expect(lost).toEqual(['restarted']);
    const before = received.length;
    kernel.comms[0]!.say({ v: 1, type: 'chunk', re: 'g1', text: 'old' });
    expect(received.length).toBe(before);
    context.statusChanged.emit('idle');
    expect(states.at(-1)).toBe('idle');
    void link.connect();
    await settle();
    expect(kernel.comms.length).toBe(2);
  });

  it('drops a comm that was still being opened when the kernel restarted', async () => {
    void link.connect();
    context.statusChanged.emit('restarting');
    await settle();
    expect(kernel.comms.some(comm => comm.opened)).toBe(false);
  });

  it('speaks to Python kernels only', async () => {
    kernel.info = Promise.resolve({ language_info: { name: 'R' } });
    void link.connect();
    await settle();
    expect(states.at(-1)).toBe('foreign');
    expect(kernel.comms).toEqual([]);
  });

  it('says that there is no kernel', async () => {
    context.session = { kernel: null };
    void link.connect();
    await settle();
    expect(states.at(-1)).toBe('none');
  });

  it('drops and counts what is not of the protocol', async () => {
    void link.connect();
    await settle();
    const before = received.length;
    kernel.comms[0]!.say({ v: 1, type: 'run', code: '1' });
    kernel.comms[0]!.say(null);
    expect(received.length).toBe(before);
    expect(link.dropped).toBe(2);
    kernel.comms[0]!.say({ v: 2, type: 'ack', re: 'x' });
    expect(states.at(-1)).toBe('outdated');
  });

  it('says nothing after it is disposed', async () => {
    void link.connect();
    await settle();
    link.dispose();
    generate();
    await settle(10_000);
    expect(kernel.comms.length).toBe(1);
    expect(kernel.comms[0]!.isDisposed).toBe(true);
  });
});
