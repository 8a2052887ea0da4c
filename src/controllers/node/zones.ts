import { Node } from '#api/core/v1/node.ts';
import { conditionOf } from '../conditions.ts';
import type { Read } from '../reads.ts';

/** How the zone of a node is, which says how fast pods may be moved away from it. */
export interface ZoneState {
  /** No node of the cluster is ready: it is more likely that we cannot see them, and there is nowhere to go. */
  readonly everythingDown: boolean;
  /** The time of the next eviction of a node; now: it is this node's turn. Undefined: nobody is evicted at present. */
  takeTurn(nowMs: number): number | undefined;
}

/** Upstream's rates: a node each 10 s; in a zone that is mostly down a tenth of that, or none in a small cluster. */
const turnMs = 10_000;
const slowTurnMs = 100_000;
const unhealthyShareMax = 0.55;
const largeClusterNodesMin = 51;

interface Zone {
  nodes: number;
  ready: number;
  nextTurnMs: number;
}

export function zones(): Read<Node, ZoneState> {
  return {
    kinds: [Node],
    open({ subject, wake }) {
      const all = new Map<string, Zone>();
      let ready = 0;
      const count = (node: Node, sign: 1 | -1) => {
        const zone = all.get(zoneOf(node)) ?? { nodes: 0, ready: 0, nextTurnMs: 0 };
        all.set(zoneOf(node), zone);
        zone.nodes += sign;
        const before = ready;
        if (isReady(node)) {
          zone.ready += sign;
          ready += sign;
        }
        if (zone.nodes === 0) all.delete(zoneOf(node));
        return before;
      };
      // The last one to fall and the first to rise concern all others.
      const turned = (before: number) => {
        if ((before === 0) !== (ready === 0)) for (const key of subject.objects.keys()) wake(key);
      };
      subject.subscribe({
        added: node => turned(count(node, 1)),
        updated(node, old) {
          const before = count(old, -1);
          count(node, 1);
          turned(before);
        },
        deleted: node => turned(count(node, -1)),
      });
      return node => {
        const zone = all.get(zoneOf(node));
        return {
          everythingDown: ready === 0,
          takeTurn(nowMs) {
            if (!zone) return nowMs;
            const everyMs = turnEveryMs(zone);
            if (everyMs === undefined) return undefined;
            if (zone.nextTurnMs <= nowMs) {
              zone.nextTurnMs = nowMs + everyMs;
              return nowMs;
            }
            return zone.nextTurnMs;
          },
        };
      };
    },
  };
}

function turnEveryMs({ nodes, ready }: Zone): number | undefined {
  const down = nodes - ready;
  const partlyDown = ready > 0 && down > 2 && down / nodes >= unhealthyShareMax;
  if (!partlyDown) return turnMs;
  return nodes >= largeClusterNodesMin ? slowTurnMs : undefined;
}

function zoneOf({ metadata }: Node): string {
  const { labels = {} } = metadata;
  return `${labels['topology.kubernetes.io/region'] ?? ''}/${labels['topology.kubernetes.io/zone'] ?? ''}`;
}

function isReady(node: Node): boolean {
  return conditionOf(node.status?.conditions, 'Ready')?.status === 'True';
}
