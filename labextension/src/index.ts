import type { JupyterFrontEndPlugin } from '@jupyterlab/application';
import { linksPlugin } from './linksplugin';
import { panelPlugin } from './panelplugin';
import type { ILinks } from './tokens';

const plugins: [JupyterFrontEndPlugin<ILinks>, JupyterFrontEndPlugin<void>] = [
  linksPlugin,
  panelPlugin
];

export default plugins;
