import { Node } from '#api/core/v1/node.ts';
import type { NodeGroup } from '#autoscaler/node-groups.ts';
import type { Clock } from '#base/clock.ts';
import type { Lifetime } from '#base/lifetime.ts';
import type { Log } from '#base/log.ts';
import { nameSuffix, type Random } from '#base/random.ts';
import { isReason } from '#api/machinery/errors.ts';
import type { Client } from '#client/client.ts';
import { startHollowNodes, type HollowNodes } from '#kubelet/hollow.ts';
import { defaultCapacity, hollowNode } from '#kubelet/hollow/node.ts';

/** A group of simulated nodes, as `cluster-autoscaler nodes=MIN:MAX:NAME` and `hollow-shape=NAME:…` say. */
export interface HollowGroupOptions {
  readonly name: string;
  readonly minSize: number;
  readonly maxSize: number;
  readonly capacity: Readonly<Record<string, string>>;
  readonly labels: Readonly<Record<string, string>>;
}

export interface HollowGroupEnvironment {
  readonly client: Client;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly lifetime: Lifetime;
}

const groupLabel = 'windlass.io/node-group';
/** Addresses of the groups' pods are apart from each other and from those of plain hollow nodes. */
const firstOfGroups = 64;

/** The provider that makes machines out of nothing; nodes of a former run come back. */
export async function startHollowNodeGroups(
  groups: readonly HollowGroupOptions[],
  environment: HollowGroupEnvironment,
): Promise<readonly NodeGroup[]> {
  const { client, clock, random, log, lifetime } = environment;
  const existing = await client.list(Node);
  return Promise.all(
    groups.map(async (options, index) => {
      const labels = { [groupLabel]: options.name, ...options.labels };
      const capacity = { ...defaultCapacity, ...options.capacity };
      const before = existing.items.filter(node => node.metadata.labels?.[groupLabel] === options.name);
      const names = before.map(node => node.metadata.name ?? '');
      while (names.length < options.minSize) names.push(nameIn(options.name, random));
      const nodes = lifetime.own(
        await startHollowNodes({
          client,
          names,
          clock,
          random,
          log,
          capacity,
          labels: () => labels,
          firstIndex: firstOfGroups + index,
        }),
      );
      return hollowGroup(options, { capacity, labels }, nodes, { client, clock, random });
    }),
  );
}

function hollowGroup(
  { name, minSize, maxSize }: HollowGroupOptions,
  shape: { readonly capacity: Readonly<Record<string, string>>; readonly labels: Readonly<Record<string, string>> },
  nodes: HollowNodes,
  { client, clock, random }: Pick<HollowGroupEnvironment, 'client' | 'clock' | 'random'>,
): NodeGroup {
  let target = nodes.names.length;
  return {
    name,
    minSize,
    maxSize,
    targetSize: () => target,
    template: nodeName => hollowNode({ name: nodeName, address: '0.0.0.0', ...shape }, clock.now()) as unknown as Node,
    has: node => node.metadata.labels?.[groupLabel] === name,
    async increase(by) {
      if (target + by > maxSize) throw new Error(`cannot make group ${name} larger than ${maxSize}`);
      target += by;
      await Promise.all(Array.from({ length: by }, () => nodes.add(nameIn(name, random))));
    },
    async delete(gone) {
      if (target - gone.length < minSize) throw new Error(`cannot make group ${name} smaller than ${minSize}`);
      target -= gone.length;
      for (const { metadata } of gone) {
        nodes.crash(metadata.name ?? '');
        try {
          await client.delete(Node, metadata.name ?? '');
        } catch (error) {
          if (!isReason(error, 'NotFound')) throw error;
        }
      }
    },
  };
}

function nameIn(group: string, random: Random): string {
  return `${group}-${nameSuffix(random)}`;
}
