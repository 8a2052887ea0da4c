import type { Node } from '#api/core/v1/node.ts';
import type { Adviser } from './advisers.ts';
import type { NodeInfo } from './node-info.ts';
import type { Rejection } from './plugin.ts';
import type { PodInfo } from './pod-info.ts';
import type { Preemption } from './preemption.ts';

/** An extender of the KubeSchedulerConfiguration. */
export interface ExtenderConfiguration {
  readonly urlPrefix: string;
  readonly filterVerb: string;
  readonly prioritizeVerb: string;
  readonly preemptVerb: string;
  readonly bindVerb: string;
  readonly weight: number;
  readonly timeoutMs: number;
  /** It knows the nodes itself and is told their names only. */
  readonly nodeCacheCapable: boolean;
  readonly ignorable: boolean;
  readonly managedResources: readonly string[];
  readonly tls: ExtenderTls | undefined;
}

export interface ExtenderTls {
  readonly insecure: boolean;
  readonly serverName?: string;
  readonly caFile?: string;
  readonly certFile?: string;
  readonly keyFile?: string;
  /** PEM in base64, as in a kubeconfig. */
  readonly caData?: string;
  readonly certData?: string;
  readonly keyData?: string;
}

/** Sends JSON to the verb of an extender; throws where it does not answer with 200. */
export type SendToExtender = (verb: string, body: string) => Promise<unknown>;

/** Extenders score from 0 to 10, plugins to 100. */
const scoreFactor = 10;

/** Upstream's protocol with extenders (k8s.io/kube-scheduler/extender/v1). */
export function extenderAdviser(extender: ExtenderConfiguration, send: SendToExtender): Adviser {
  const { urlPrefix: name, filterVerb, prioritizeVerb, preemptVerb, bindVerb, managedResources } = extender;
  const ask = async (verb: string, body: object): Promise<Answer> => {
    const answer = await send(verb, JSON.stringify(body));
    if (typeof answer !== 'object' || answer === null)
      throw new Error(`extender ${JSON.stringify(name)}: ${verb} did not answer with an object`);
    const { error } = answer as Answer;
    if (typeof error === 'string' && error !== '') throw new Error(error);
    return answer as Answer;
  };
  const argumentsFor = ({ pod }: PodInfo, nodes: readonly NodeInfo[]) =>
    extender.nodeCacheCapable
      ? { pod, nodenames: nodes.map(node => node.name) }
      : { pod, nodes: { metadata: {}, items: nodes.map(({ node }) => node) } };
  return {
    name,
    ignorable: extender.ignorable,
    concerns: pod => managedResources.length === 0 || asksFor(pod, managedResources),
    ...(filterVerb !== '' && {
      filter: async (pod, nodes) => filterAnswer(name, await ask(filterVerb, argumentsFor(pod, nodes)), nodes),
    }),
    ...(prioritizeVerb !== '' && {
      async score(pod, nodes) {
        const answer: unknown = await ask(prioritizeVerb, argumentsFor(pod, nodes));
        if (!Array.isArray(answer))
          throw new Error(`extender ${JSON.stringify(name)}: ${prioritizeVerb} did not answer with a list`);
        const scores = new Map<string, number>();
        for (const { host, score } of answer as readonly { readonly host: string; readonly score: number }[])
          scores.set(host, (scores.get(host) ?? 0) + Number(score) * extender.weight * scoreFactor);
        return scores;
      },
    }),
    ...(preemptVerb !== '' && {
      async preempt({ pod }, candidates) {
        const victims = candidates.map(each => {
          const pods = each.victims.map(victim =>
            extender.nodeCacheCapable ? { uid: victim.pod.metadata.uid } : victim.pod,
          );
          return [each.node.name, { pods, numPDBViolations: each.budgetViolations }] as const;
        });
        const field = extender.nodeCacheCapable ? 'nodeNameToMetaVictims' : 'nodeNameToVictims';
        const answer = await ask(preemptVerb, { pod, [field]: Object.fromEntries(victims) });
        return preemptAnswer(name, answer, candidates);
      },
    }),
    ...(bindVerb !== '' && {
      async bind({ pod }, node) {
        const { name: podName, namespace: podNamespace, uid: podUID } = pod.metadata;
        await ask(bindVerb, { podName, podNamespace, podUID, node });
      },
    }),
  };
}

interface Answer {
  readonly error?: unknown;
  readonly nodes?: { readonly items?: readonly Node[] | null } | null;
  readonly nodenames?: readonly string[] | null;
  readonly failedNodes?: Readonly<Record<string, string>> | null;
  readonly failedAndUnresolvableNodes?: Readonly<Record<string, string>> | null;
  readonly nodeNameToMetaVictims?: Readonly<Record<string, MetaVictims>> | null;
}

interface MetaVictims {
  readonly pods?: readonly { readonly uid: string }[] | null;
  readonly numPDBViolations?: number;
}

function filterAnswer(name: string, answer: Answer, nodes: readonly NodeInfo[]): ReadonlyMap<string, Rejection> {
  const left = new Set(answer.nodenames ?? (answer.nodes?.items ?? []).map(({ metadata }) => metadata.name ?? ''));
  const known = new Set(nodes.map(node => node.name));
  for (const each of left)
    if (!known.has(each))
      throw new Error(
        `extender ${JSON.stringify(name)} claims a filtered node ${JSON.stringify(each)} which is not found in the input node list`,
      );
  const refused = new Map<string, Rejection>();
  const refuse = (why: Readonly<Record<string, string>> | null | undefined, unresolvable: boolean) => {
    for (const [node, reason] of Object.entries(why ?? {}))
      refused.set(node, { plugin: 'Extender', reasons: [reason], unresolvable });
  };
  refuse(answer.failedNodes, false);
  refuse(answer.failedAndUnresolvableNodes, true);
  for (const node of nodes) {
    if (left.has(node.name)) refused.delete(node.name);
    else if (!refused.has(node.name))
      refused.set(node.name, {
        plugin: 'Extender',
        reasons: [`node(s) didn't pass the extender ${name}`],
        unresolvable: false,
      });
  }
  return refused;
}

function preemptAnswer(name: string, answer: Answer, candidates: readonly Preemption[]): readonly Preemption[] {
  return Object.entries(answer.nodeNameToMetaVictims ?? {}).map(([nodeName, { pods, numPDBViolations }]) => {
    const node = candidates.find(each => each.node.name === nodeName)?.node;
    if (!node)
      throw new Error(`extender ${JSON.stringify(name)} claims to preempt on ${nodeName}, which is no candidate`);
    const victims = (pods ?? []).map(({ uid }) => {
      const victim = node.pods.values().find(each => each.pod.metadata.uid === uid);
      if (victim) return victim;
      throw new Error(
        `extender: ${name} claims to preempt pod (UID: ${uid}) on node: ${nodeName}, but the pod is not found on that node`,
      );
    });
    return { node, victims, budgetViolations: Number(numPDBViolations ?? 0) };
  });
}

function asksFor({ pod }: PodInfo, resources: readonly string[]): boolean {
  const containers = [...pod.spec.containers, ...(pod.spec.initContainers ?? [])];
  return containers.some(({ resources: own }) =>
    [...Object.keys(own?.requests ?? {}), ...Object.keys(own?.limits ?? {})].some(name => resources.includes(name)),
  );
}
