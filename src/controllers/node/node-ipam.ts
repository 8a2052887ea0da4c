import { formatCidr, networkOf, parseCidr, type IpNetwork } from '#base/ip.ts';
import { sameValue } from '#api/machinery/checks.ts';
import { Node } from '#api/core/v1/node.ts';
import { event } from '../actions.ts';
import { defineController, type ControllerSettings } from '../controller.ts';
import type { Read } from '../reads.ts';

/** Gives every node its own part of the cluster's pod network. */
export const nodeIpamController = defineController({
  name: 'node-ipam-controller',
  account: 'node-controller',
  component: 'cidrAllocator',
  reconciles: Node,
  concerns: node => (node.spec?.podCIDR ?? '') === '' && node.metadata.deletionTimestamp === undefined,
  reads: { free: freeRanges() },
  writes: [Node],
  // Two nodes at a time would be offered the same range.
  concurrency: 1,
  decide(node, { free, settings }) {
    if (settings.clusterCidrs.length === 0) return [];
    const podCIDRs = free(settings);
    const { name = '', uid = '' } = node.metadata;
    if (!podCIDRs) {
      const about = { kind: 'Node', apiVersion: 'v1', name, uid };
      return [event(about, 'Normal', 'CIDRNotAvailable', `Node ${name} status is now: CIDRNotAvailable`)];
    }
    return [
      {
        do: 'patch',
        kind: Node,
        object: node,
        patch: { type: 'merge', patch: { spec: { podCIDR: podCIDRs[0], podCIDRs } } },
      },
    ];
  },
});

/** The next range of each cluster range that no node has; undefined when one of them is used up. */
function freeRanges(): Read<Node, (settings: ControllerSettings) => string[] | undefined> {
  return {
    kinds: [Node],
    open({ subject, wakeAfter }) {
      const used = new Set<string>();
      const cursors = new Map<string, number>();
      /** Cluster ranges with nothing left: nodes without a range ask at every heartbeat. */
      const exhausted = new Set<string>();
      const release = (node: Node) => {
        for (const range of rangesOf(node)) used.delete(range);
        exhausted.clear();
      };
      const rangesOf = (node: Node) => node.spec?.podCIDRs ?? (node.spec?.podCIDR ? [node.spec.podCIDR] : []);
      subject.subscribe({
        added: node => rangesOf(node).forEach(range => used.add(range)),
        updated(node, old) {
          const [before, now] = [rangesOf(old), rangesOf(node)];
          if (before.length > 0 && !sameValue(before, now)) release(old);
          for (const range of now) used.add(range);
        },
        deleted(node) {
          if (rangesOf(node).length === 0) return;
          release(node);
          // A node that found nothing may now.
          for (const [key, other] of subject.objects) if (rangesOf(other).length === 0) wakeAfter(key, 0);
        },
      });
      const next = (clusterCidr: string, prefixLength: number): string | undefined => {
        if (exhausted.has(clusterCidr)) return undefined;
        const cluster = parseCidr(clusterCidr);
        if (!cluster || prefixLength < cluster.prefixLength) return undefined;
        const count = Math.min(2 ** 16, 2 ** (prefixLength - cluster.prefixLength));
        const start = cursors.get(clusterCidr) ?? 0;
        for (let step = 0; step < count; step++) {
          const number = (start + step) % count;
          const range = rangeAt(cluster, prefixLength, number);
          if (used.has(range)) continue;
          cursors.set(clusterCidr, number);
          return range;
        }
        exhausted.add(clusterCidr);
        return undefined;
      };
      const free = ({ clusterCidrs, nodeCidrPrefixLengthV4, nodeCidrPrefixLengthV6 }: ControllerSettings) => {
        const ranges: string[] = [];
        for (const cidr of clusterCidrs) {
          const range = next(cidr, cidr.includes(':') ? nodeCidrPrefixLengthV6 : nodeCidrPrefixLengthV4);
          if (range === undefined) return undefined;
          ranges.push(range);
        }
        return ranges;
      };
      return () => free;
    },
  };
}

export function rangeAt(cluster: IpNetwork, prefixLength: number, number: number): string {
  const { family, value } = networkOf(cluster);
  const bits = family === 4 ? 32 : 128;
  const address = { family, value: value + (BigInt(number) << BigInt(bits - prefixLength)) };
  return formatCidr({ address, prefixLength });
}
