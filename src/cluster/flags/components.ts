import type { Flag, Flags } from '../commands.ts';
import { keptArguments, parseComponentArguments, type ComponentArguments, type ComponentFlags } from './component.ts';
import { clusterAutoscalerFlags } from './cluster-autoscaler.ts';
import { kubeApiserverFlags } from './kube-apiserver.ts';
import { kubeControllerManagerFlags } from './kube-controller-manager.ts';
import { kubeProxyFlags } from './kube-proxy.ts';
import { kubeSchedulerFlags } from './kube-scheduler.ts';
import { kubeletFlags } from './kubelet.ts';

/** The components whose flags `up` passes on. */
export const componentFlags = {
  'kube-apiserver': kubeApiserverFlags,
  'kube-controller-manager': kubeControllerManagerFlags,
  'kube-scheduler': kubeSchedulerFlags,
  kubelet: kubeletFlags,
  'kube-proxy': kubeProxyFlags,
  'cluster-autoscaler': clusterAutoscalerFlags,
} satisfies Record<string, ComponentFlags>;

export type Component = keyof typeof componentFlags;

/** `NAME=VALUE` words by component, as the cluster was started with. */
export type ComponentWords = { readonly [Name in Component]?: readonly string[] };

const components = Object.keys(componentFlags) as readonly Component[];

/** `--kube-apiserver-arg` and its siblings. */
export const componentArgumentFlags: readonly Flag[] = components.map(component => ({
  name: argumentFlag(component),
  type: 'text',
  repeated: true,
  value: 'NAME=VALUE',
  does: `a flag of ${component}, by its upstream name; may be repeated (\`=\` alone drops those of before)`,
}));

/** The words given now over those of before, component by component; throws a sentence when one is wrong. */
export function decideComponentWords(flags: Flags, before: ComponentWords = {}): ComponentWords {
  const words: { [Name in Component]?: readonly string[] } = {};
  for (const component of components) {
    const given = flags.given(argumentFlag(component)) ? flags.texts(argumentFlag(component)) : before[component];
    const kept = keptArguments(
      componentFlags[component],
      (given ?? []).filter(each => each !== '' && each !== '='),
    );
    parseComponentArguments(component, componentFlags[component], kept);
    if (kept.length > 0) words[component] = kept;
  }
  return words;
}

/** What the component was given, by its flags' names. */
export function argumentsOf<Name extends Component>(
  component: Name,
  words: ComponentWords | undefined,
): ComponentArguments<(typeof componentFlags)[Name]> {
  return parseComponentArguments(component, componentFlags[component], words?.[component] ?? []);
}

function argumentFlag(component: Component): string {
  return `${component}-arg`;
}
