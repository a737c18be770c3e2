import { ILayoutRestorer, type JupyterFrontEnd } from '@jupyterlab/application';
import type { JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ICommandPalette } from '@jupyterlab/apputils';
import { ISettingRegistry } from '@jupyterlab/settingregistry';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';
import { panelIcon } from './icon';
import { Panel } from './panel';
import { CommandIDs, ILinks, PluginIDs, TRANSLATION_DOMAIN } from './tokens';

const ANNOUNCEMENT_PAUSE = 1500;

/**
 * The side panel, its command and its settings.
 */
export const panelPlugin: JupyterFrontEndPlugin<void> = {
  id: PluginIDs.panel,
  description: 'A side panel in which a prompt becomes a checked Python module.',
  autoStart: true,
  requires: [ILinks],
  optional: [ITranslator, ICommandPalette, ILayoutRestorer, ISettingRegistry],
  activate: (
    app: JupyterFrontEnd,
    links: ILinks,
    translator: ITranslator | null,
    palette: ICommandPalette | null,
    restorer: ILayoutRestorer | null,
    registry: ISettingRegistry | null
  ) => {
    const trans = (translator ?? nullTranslator).load(TRANSLATION_DOMAIN);
    const panel = new Panel({ trans, pause: ANNOUNCEMENT_PAUSE });
    panel.id = 'llmport-panel';
    panel.title.icon = panelIcon;
    panel.title.caption = trans.__('LLM modules (llmport)');
    panel.model = links.current;
    links.currentChanged.connect((_, model) => {
      panel.model = model;
    });
    app.shell.add(panel, 'right', { rank: 900, type: 'LLM modules' });
    restorer?.add(panel, panel.id);

    app.commands.addCommand(CommandIDs.showPanel, {
      label: trans.__('Show llmport panel'),
      caption: trans.__('Write a prompt that becomes a checked Python module'),
      icon: panelIcon,
      describedBy: { args: { type: 'object', properties: {} } },
      execute: () => {
        app.shell.activateById(panel.id);
        panel.focusPrompt();
      }
    });
    palette?.addItem({ command: CommandIDs.showPanel, category: trans.__('Notebook') });
    void followSettings(panel, registry);
  }
};

async function followSettings(
  panel: Panel,
  registry: ISettingRegistry | null
): Promise<void> {
  const settings = await registry?.load(PluginIDs.panel).catch(() => null);
  if (!settings) {
    return;
  }
  const apply = () => {
    const pause = settings.composite.announcementPause;
    panel.announcer.pause = typeof pause === 'number' ? pause : ANNOUNCEMENT_PAUSE;
  };
  settings.changed.connect(apply);
  apply();
}
