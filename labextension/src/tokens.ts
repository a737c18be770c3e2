import { Token } from '@lumino/coreutils';
import type { ISignal } from '@lumino/signaling';
import type { PanelModel } from './model';

export const TRANSLATION_DOMAIN = 'llmport_magic';

export namespace PluginIDs {
  export const links = 'llmport-magic:links';
  export const panel = 'llmport-magic:panel';
}

export namespace CommandIDs {
  export const showPanel = 'llmport:show-panel';
}

/**
 * The link of each open notebook to its kernel.
 */
export interface ILinks {
  /** The model of the notebook that the user is in. */
  readonly current: PanelModel | null;

  /** Emitted when the user moves to another notebook. */
  readonly currentChanged: ISignal<ILinks, PanelModel | null>;
}

export const ILinks = new Token<ILinks>(
  'llmport-magic:ILinks',
  'The link of each open notebook to the `llmport_magic` of its kernel.'
);
