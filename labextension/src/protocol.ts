/*
 * What the panel and the kernel say to each other over the comm target `llmport`.
 *
 * A comm can be used by any script of the page and by any client of the kernel, so all
 * that arrives is checked here before anything else sees it.
 */

export const COMM_TARGET = 'llmport';

export const PROTOCOL = 1;

const SHORT = 2_000;
const LONG = 2_000_000;
const MANY = 2_000;

export interface IHello {
  type: 'hello';
  id: string;
  cells: boolean;
}

export interface IGenerate {
  type: 'generate';
  id: string;
  name: string | null;
  prompt: string;
  provider: string | null;
  model: string | null;
  update: boolean;
  cell_id: string | null;
}

export interface ICancel {
  type: 'cancel';
  id: string;
  re: string;
}

export interface IPlaced {
  type: 'placed';
  re: string;
  ok: boolean;
}

/** A message that the kernel acknowledges. */
export type Request = IHello | IGenerate | ICancel;

export type PanelMessage = Request | IPlaced;

export interface IProvider {
  name: string;
  models: string[];

  /** Asked where nobody names one; none asks the server what it serves. */
  model: string | null;
  available: boolean;
  hint: string;
}

export interface IReady {
  type: 'ready';
  re: string;
  version: string;
  provider: string | null;
  model: string | null;
  why: string;

  /** What keeps the provider from answering; empty if nothing does. */
  missing: string;

  /** Who is asked where it fails. */
  fallback: string[];
  notes: string[];
  providers: IProvider[];
  modules: string[];
}

export interface IPlace {
  type: 'place';
  re: string | null;
  id: string;
  after: string | null;
  source: string;
  name: string | null;
  base: string | null;

  /** Put the text into the cell `after` itself, which the user has just run. */
  rewrite: boolean;

  /** The text that a plain cell must still have to be replaced as a whole. */
  was: string | null;
}

/** What the kernel says about one running request. */
export type Progress =
  | { type: 'started'; re: string; provider: string; model: string; attempt: number }
  | { type: 'chunk'; re: string; text: string }
  | { type: 'note'; re: string; text: string }
  | { type: 'verdict'; re: string; text: string; ok: boolean }
  | {
      type: 'done';
      re: string;
      summary: string;
      version: string | null;
      tokens: number;
      seconds: number | null;
    }
  | { type: 'failed'; re: string; message: string; kind: string }
  | { type: 'cancelled'; re: string };

export type KernelMessage = { type: 'ack'; re: string } | IReady | IPlace | Progress;

/** A message that is not of this protocol, and what is wrong with it. */
export interface IUnreadable {
  type: 'unreadable';
  reason: 'version' | 'type' | 'field';
}

/**
 * The message as it goes over the wire.
 */
export function encode<T extends PanelMessage>(message: T): T & { v: number } {
  return { v: PROTOCOL, ...message };
}

/**
 * Check what arrived from the kernel.
 */
export function parse(data: unknown): KernelMessage | IUnreadable {
  if (!isRecord(data)) {
    return { type: 'unreadable', reason: 'type' };
  }
  if (data.v !== PROTOCOL) {
    return { type: 'unreadable', reason: 'version' };
  }
  const read = READERS.get(data.type);
  if (read === undefined) {
    return { type: 'unreadable', reason: 'type' };
  }
  return read(data) ?? { type: 'unreadable', reason: 'field' };
}

/**
 * Whether the text is a cell that stands for a version of the module or specification `name`.
 */
export function isLinkedSource(source: string, name: string): boolean {
  const [magic, target, ...options] = firstWords(source);
  if (target !== name) {
    return false;
  }
  // Without these two, `%%gmn` is a prompt, or a text that the user began.
  const holdsVersion = ['--validate', '--base'].every(option =>
    options.includes(option)
  );
  return magic === '%%llmport_module' || (magic === '%%gmn' && holdsVersion);
}

/**
 * The words of the text's first line.
 */
export function firstWords(source: string): string[] {
  return source.slice(0, SHORT).split('\n', 1)[0]!.trim().split(/\s+/);
}

type Fields = Record<string, unknown>;

const BY_TYPE: Record<string, (data: Fields) => KernelMessage | null> = {
  ack: data => (isText(data.re) ? { type: 'ack', re: data.re } : null),
  ready: readReady,
  started: ({ re, provider, model, attempt }) =>
    isText(re) && isText(provider) && isTextOrNone(model) && isCount(attempt)
      ? { type: 'started', re, provider, model: model ?? '', attempt }
      : null,
  chunk: ({ re, text }) =>
    isText(re) && isText(text, LONG) ? { type: 'chunk', re, text } : null,
  note: ({ re, text }) =>
    isText(re) && isText(text) ? { type: 'note', re, text } : null,
  verdict: ({ re, text, ok }) =>
    isText(re) && isText(text) && typeof ok === 'boolean'
      ? { type: 'verdict', re, text, ok }
      : null,
  place: readPlace,
  done: ({ re, summary, version, usage, seconds }) =>
    isText(re) && isText(summary) && isTextOrNone(version)
      ? {
          type: 'done',
          re,
          summary,
          version: version ?? null,
          tokens: readTokens(usage),
          seconds: isCount(seconds) ? seconds : null
        }
      : null,
  failed: ({ re, message, kind }) =>
    isText(re) && isText(message, LONG)
      ? { type: 'failed', re, message, kind: isText(kind) ? kind : '' }
      : null,
  cancelled: ({ re }) => (isText(re) ? { type: 'cancelled', re } : null)
};

const READERS = new Map<unknown, (data: Fields) => KernelMessage | null>(
  Object.entries(BY_TYPE)
);

function readReady(data: Fields): IReady | null {
  const { re, version, provider, model, why, missing, providers } = data;
  if (
    !isText(re) ||
    !isText(version) ||
    !isTextOrNone(provider) ||
    !isTextOrNone(model)
  ) {
    return null;
  }
  return {
    type: 'ready',
    re,
    version,
    provider: provider ?? null,
    model: model ?? null,
    why: isText(why) ? why : '',
    missing: isText(missing) ? missing : '',
    fallback: list(data.fallback, readText),
    notes: list(data.notes, readText),
    providers: list(providers, readProvider),
    modules: list(data.modules, readText)
  };
}

function readProvider(item: unknown): IProvider | null {
  if (!isRecord(item) || !isText(item.name)) {
    return null;
  }
  return {
    name: item.name,
    models: list(item.models, readText),
    model: isText(item.model) ? item.model : null,
    available: item.available === true,
    hint: isText(item.hint) ? item.hint : ''
  };
}

function readText(item: unknown): string | null {
  return isText(item) ? item : null;
}

function readPlace(data: Fields): IPlace | null {
  const { re, id, after, cell, name, base } = data;
  if (!isTextOrNone(re) || !isText(id) || !isTextOrNone(after) || !isTextOrNone(name)) {
    return null;
  }
  if (!isRecord(cell) || !isText(cell.source, LONG) || !isTextOrNone(base)) {
    return null;
  }
  if (name && !isLinkedSource(cell.source, name)) {
    return null;
  }
  return {
    type: 'place',
    re: re ?? null,
    id,
    after: after || null,
    source: cell.source,
    name: name || null,
    base: base || null,
    rewrite: data.rewrite === true,
    was: isText(data.was, LONG) ? data.was : null
  };
}

function readTokens(usage: unknown): number {
  if (!isRecord(usage)) {
    return 0;
  }
  if (isCount(usage.total_tokens)) {
    return usage.total_tokens;
  }
  const parts = [usage.prompt_tokens, usage.completion_tokens];
  return parts.filter(isCount).reduce((sum, part) => sum + part, 0);
}

function isRecord(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isText(value: unknown, limit = SHORT): value is string {
  return typeof value === 'string' && value.length <= limit;
}

function isTextOrNone(value: unknown): value is string | null | undefined {
  return value === null || value === undefined || isText(value);
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value) && value >= 0;
}

function list<T>(value: unknown, read: (item: unknown) => T | null): T[] {
  if (!Array.isArray(value)) {
    return [];
  }
  return value
    .slice(0, MANY)
    .map(read)
    .filter((item): item is T & {} => item !== null);
}
