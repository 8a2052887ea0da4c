import { file, type ComponentFlag, type ComponentArguments } from './component.ts';

/** The flags of upstream's kube-scheduler that `--kube-scheduler-arg NAME=VALUE` takes: see kube-apiserver.ts. */
export const kubeSchedulerFlags = {
  plugin: files(
    'a plugin in TypeScript, asked beside the built-in ones (docs/scheduler-plugins.md; given several times)',
  ),
  config: file('the KubeSchedulerConfiguration with profiles, plugins and their arguments'),
};

/** The one flag that upstream does not have: there plugins are compiled in. */
function files(does: string): ComponentFlag<readonly string[]> {
  const one = file(does);
  return {
    ...one,
    parse: given => [one.parse(given)],
    merge: (before, next) => [...before, ...next],
  };
}

export type KubeSchedulerArguments = ComponentArguments<typeof kubeSchedulerFlags>;
