import assert from 'node:assert/strict';
import { Pod } from '#api/core/v1/pod.ts';
import type { Client } from '#client/client.ts';

export async function untilPod(client: Client, name: string, holds: (pod: Pod) => boolean): Promise<Pod> {
  const selected = { namespace: 'default', fieldSelector: `metadata.name=${name}`, sendInitialEvents: true };
  for await (const event of client.watch(Pod, selected))
    if (event.type !== 'BOOKMARK' && holds(event.object)) return event.object;
  return assert.fail('the watch ended');
}
