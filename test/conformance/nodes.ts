import { Node } from '#api/core/v1/node.ts';
import type { Trial } from './conformance.ts';
import type { Stored } from './waiting.ts';

/** The nodes that pods without tolerations can go to. */
export async function schedulableNodes({ client }: Trial): Promise<readonly Stored<Node>[]> {
  const { items } = await client.list(Node);
  return (items as readonly Stored<Node>[]).filter(({ spec }) => !spec?.unschedulable && !spec?.taints?.length);
}

/** Gives every node some of a resource that only this test asks for, until the test ends. */
export async function addScarceResource(t: Trial, amount: number): Promise<string> {
  const resource = `example.com/${t.unique('scarce')}`;
  const set = async (value: string | null) => {
    for (const { metadata } of await schedulableNodes(t)) {
      const patch = { status: { capacity: { [resource]: value }, allocatable: { [resource]: value } } };
      await t.client.patch(Node, metadata.name, { type: 'merge', patch }, { subresource: 'status' });
    }
  };
  await set(String(amount));
  t.defer(() => set(null));
  return resource;
}

/** A label that only this node has, until the test ends. */
export async function labelNode(t: Trial, node: string, value = '42'): Promise<Readonly<Record<string, string>>> {
  const key = `kubernetes.io/${t.unique('e2e')}`;
  const set = (text: string | null) =>
    t.client.patch(Node, node, { type: 'merge', patch: { metadata: { labels: { [key]: text } } } });
  await set(value);
  t.defer(() => set(null));
  return { [key]: value };
}
