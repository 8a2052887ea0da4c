import { ConfigMap } from '#api/core/v1/config-map.ts';
import type { ObjectReference } from '#api/core/v1/object-reference.ts';
import { isReason } from '#api/machinery/errors.ts';
import { encodeYaml } from '#api/machinery/yaml.ts';
import type { Client } from '#client/client.ts';
import type { NodeGroup } from './node-groups.ts';

export interface NodeCounts {
  readonly registered: number;
  readonly ready: number;
}

export interface GroupStatus extends NodeCounts {
  readonly group: NodeGroup;
  readonly grows: boolean;
  readonly backsOff: boolean;
  readonly candidates: number;
}

const name = 'cluster-autoscaler-status';
const namespace = 'kube-system';

/** What Events about the cluster as a whole are about. */
export function statusConfigMap(): ObjectReference {
  return { apiVersion: 'v1', kind: 'ConfigMap', name, namespace };
}

/** Upstream's status, for people and tools that read it. Times of transitions are kept while nothing changes. */
export async function writeStatus(
  client: Client,
  all: NodeCounts,
  groups: readonly GroupStatus[],
  nowMs: number,
): Promise<void> {
  const now = new Date(nowMs).toISOString().replace(/\.\d+Z$/, 'Z');
  const time = { lastProbeTime: now };
  const candidates = groups.reduce((sum, each) => sum + each.candidates, 0);
  const status = {
    time: now,
    autoscalerStatus: 'Running',
    clusterWide: {
      health: { status: 'Healthy', nodeCounts: countsOf(all), ...time },
      scaleUp: { status: groups.some(each => each.grows) ? 'InProgress' : 'NoActivity', ...time },
      scaleDown: downOf(candidates, time),
    },
    nodeGroups: groups.map(({ group, grows, backsOff, candidates: own, ...counts }) => ({
      name: group.name,
      health: {
        status: 'Healthy',
        nodeCounts: countsOf(counts),
        cloudProviderTarget: group.targetSize(),
        minSize: group.minSize,
        maxSize: group.maxSize,
        ...time,
      },
      scaleUp: { status: backsOff ? 'Backoff' : grows ? 'InProgress' : 'NoActivity', ...time },
      scaleDown: downOf(own, time),
    })),
  };
  const object = {
    metadata: {
      name,
      namespace,
      annotations: {
        'cluster-autoscaler.kubernetes.io/last-updated': now.replace('T', ' ').replace('Z', ' +0000 UTC'),
      },
    },
    data: { status: encodeYaml(status) },
  };
  try {
    await client.patch(ConfigMap, name, { type: 'merge', patch: object }, { namespace });
  } catch (error) {
    if (!isReason(error, 'NotFound')) throw error;
    await client.create(ConfigMap, object, { namespace });
  }
}

function countsOf({ registered, ready }: NodeCounts) {
  return { registered: { total: registered, ready, notStarted: 0, unready: { total: registered - ready } } };
}

function downOf(candidates: number, time: object) {
  return candidates > 0 ? { status: 'CandidatesPresent', candidates, ...time } : { status: 'NoCandidates', ...time };
}
