import { LabIcon } from '@jupyterlab/ui-components';
import svgstr from '../style/icon.svg';

export const panelIcon = new LabIcon({ name: 'llmport-magic:panel', svgstr });
