import { pluginNames } from '#admission/plugin-names.ts';
import { file, list, wholeNumber, type ComponentFlag } from './component.ts';

/** Which admission plugins there are, and what they are told. */
export const admissionFlags = {
  'enable-admission-plugins': plugins('admission plugins beside the default ones'),
  'disable-admission-plugins': plugins('default admission plugins that are left out'),
  'admission-control-config-file': file('the AdmissionConfiguration with the configuration of plugins'),
  'default-not-ready-toleration-seconds': wholeNumber('how long pods stay on a node that is not ready (default 300)'),
  'default-unreachable-toleration-seconds': wholeNumber('how long pods stay on a node out of reach (default 300)'),
};

function plugins(does: string): ComponentFlag<readonly string[]> {
  const names = list(does, 'PLUGINS');
  return {
    ...names,
    parse(given) {
      const parsed = names.parse(given);
      const unknown = parsed.find(name => !pluginNames.includes(name));
      if (unknown !== undefined) throw new Error(`plugin ${JSON.stringify(unknown)} is unknown`);
      return parsed;
    },
  };
}
