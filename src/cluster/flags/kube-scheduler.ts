import { file, type ComponentArguments } from './component.ts';

/** The flags of upstream's kube-scheduler that `--kube-scheduler-arg NAME=VALUE` takes: see kube-apiserver.ts. */
export const kubeSchedulerFlags = {
  config: file('the KubeSchedulerConfiguration with profiles, plugins and their arguments'),
};

export type KubeSchedulerArguments = ComponentArguments<typeof kubeSchedulerFlags>;
