import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { INotebookTracker, NotebookActions } from '@jupyterlab/notebook';
import { ISettingRegistry } from '@jupyterlab/settingregistry';
import { Links } from './links';
import { ILinks, PluginIDs } from './tokens';

/**
 * Links notebooks with their kernels, so that generated cells are placed by cell id.
 */
export const linksPlugin: JupyterFrontEndPlugin<ILinks> = {
  id: PluginIDs.links,
  description: 'Links each notebook with the llmport_magic of its kernel.',
  autoStart: true,
  requires: [INotebookTracker],
  optional: [ISettingRegistry],
  provides: ILinks,
  activate: async (
    _: JupyterFrontEnd,
    tracker: INotebookTracker,
    registry: ISettingRegistry | null
  ) => {
    const settings = await registry?.load(PluginIDs.links).catch(() => null);
    const links = new Links({
      tracker,
      placesCells: settings?.composite.placeCells !== false
    });
    NotebookActions.executed.connect((_sender, { notebook, cell }) =>
      links.executed(notebook, cell.model.sharedModel.getSource())
    );
    return links;
  }
};
