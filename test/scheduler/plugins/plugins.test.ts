import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { silentLog, type Log } from '#base/log.ts';
import { Node } from '#api/core/v1/node.ts';
import { Pod } from '#api/core/v1/pod.ts';
import type { Partly } from '#api/machinery/kind.ts';
import { startCluster } from '../../../src/cluster/start-cluster.ts';
import { untilPod } from '../until-pod.ts';

const namespace = 'default';
const plugin = join(import.meta.dirname, 'rack-aware.ts');

function noting(): { readonly log: Log; readonly errors: string[] } {
  const errors: string[] = [];
  const log: Log = { ...silentLog, error: message => void errors.push(message), child: () => log };
  return { log, errors };
}

const podOf = (name: string, app?: string, schedulerName = 'default-scheduler') =>
  ({
    metadata: { name, ...(app !== undefined && { labels: { app } }) },
    spec: { schedulerName, containers: [{ name: 'c', image: 'any' }] },
  }) as Partly<Pod>;

const whyOf = (pod: Pod) => pod.status.conditions?.find(each => each.type === 'PodScheduled');
const placed = (pod: Pod) => (pod.spec.nodeName ?? '') !== '';

test('a plugin from a user file filters and scores; what goes wrong in it is told and stops nothing', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'windlass-plugins-'));
  const { log, errors } = noting();
  try {
    const config = join(directory, 'scheduler.yaml');
    await writeFile(
      config,
      JSON.stringify({
        apiVersion: 'kubescheduler.config.k8s.io/v1',
        kind: 'KubeSchedulerConfiguration',
        profiles: [
          {
            schedulerName: 'default-scheduler',
            plugins: { score: { enabled: [{ name: 'RackAware', weight: 50 }] } },
            pluginConfig: [{ name: 'RackAware', args: { rack: 'b' } }],
          },
          { schedulerName: 'plain', plugins: { multiPoint: { disabled: [{ name: 'RackAware' }] } } },
        ],
      }),
    );
    await using cluster = await startCluster({
      nodes: ['node-1', 'node-2'],
      log,
      schedulerArguments: { config, plugin: [plugin] },
    });
    const { client } = cluster;
    for (const [name, rack] of Object.entries({ 'node-1': 'a', 'node-2': 'b' }))
      await client.patch(Node, name, { type: 'merge', patch: { metadata: { labels: { rack } } } });
    for (const [name, node] of [
      ['one', 'node-2'],
      ['two', 'node-1'],
    ] as const) {
      await client.create(Pod, podOf(name, 'web'), { namespace });
      assert.equal((await untilPod(client, name, placed)).spec.nodeName, node);
    }
    await client.create(Pod, podOf('three', 'web'), { namespace });
    const refused = await untilPod(client, 'three', pod => whyOf(pod)?.reason === 'Unschedulable');
    assert.match(whyOf(refused)?.message ?? '', /^0\/2 nodes are available: 1 rack a is taken, 1 rack b is taken\./);
    await client.delete(Pod, 'one', { namespace, gracePeriodSeconds: 0 });
    await untilPod(client, 'three', pod => pod.spec.nodeName === 'node-2');

    const failing = [
      ['throws', /^plugin rack-aware\.ts: this app is too much$/],
      ['nonsense', /^plugin rack-aware\.ts: filter has to return nothing or why the node is refused, not 7$/],
      ['hangs', /^plugin rack-aware\.ts: filter took longer than 2000 ms$/],
    ] as const;
    for (const [app, sentence] of failing) {
      await client.create(Pod, podOf(app, app), { namespace });
      const failed = await untilPod(client, app, pod => whyOf(pod)?.reason === 'SchedulerError');
      assert.match(whyOf(failed)?.message ?? '', sentence);
      await client.delete(Pod, app, { namespace, gracePeriodSeconds: 0 });
    }
    assert.deepEqual(errors, [`the scheduler plugin ${plugin} does not work: filter took longer than 2000 ms`]);
    // It rests; the profile without it goes on, and whoever needs it is told.
    await client.create(Pod, podOf('other', 'other', 'plain'), { namespace });
    await untilPod(client, 'other', placed);
    await client.create(Pod, podOf('later', 'later'), { namespace });
    const later = await untilPod(client, 'later', pod => whyOf(pod)?.reason === 'SchedulerError');
    assert.match(
      whyOf(later)?.message ?? '',
      /filter took longer than 2000 ms; it is asked again in 30 s at the latest$/,
    );
  } finally {
    await rm(directory, { recursive: true });
  }
});

test('a file that is no plugin is left out with one sentence', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'windlass-plugins-'));
  const { log, errors } = noting();
  const wrong = {
    'empty.ts': [
      '',
      'it exports no plugin; it has to have `export const plugin = { name: …, filter(pod, node) { … } }`',
    ],
    'nameless.ts': [
      'export const plugin = { filter() {} };',
      'its plugin has to have a name of letters and digits, not undefined',
    ],
    'shape.ts': [
      "export const plugin = { name: 'Shape', filter: 7 };",
      'filter of its plugin Shape has to be a function, not 7',
    ],
    'idle.ts': [
      "export const plugin = { name: 'Idle' };",
      'its plugin Idle has neither filter nor score, so there is nothing to ask it',
    ],
    'throws.ts': ["throw new Error('no mood');", 'no mood'],
    'leaves.ts': ['process.exit(4);', 'its thread ended by itself with 4'],
  } as const;
  try {
    const files = Object.keys(wrong).map(name => join(directory, name));
    for (const [name, [text]] of Object.entries(wrong)) await writeFile(join(directory, name), text);
    await using cluster = await startCluster({ nodes: 1, log, schedulerArguments: { plugin: files } });
    const { client } = cluster;
    await client.create(Pod, podOf('one', 'web'), { namespace });
    await untilPod(client, 'one', placed);
    const told = errors.filter(each => each.startsWith('cannot use')).toSorted();
    const wanted = Object.entries(wrong).map(
      ([name, [, sentence]]) => `cannot use the scheduler plugin ${join(directory, name)}: ${sentence}`,
    );
    assert.deepEqual(told, wanted.toSorted());
  } finally {
    await rm(directory, { recursive: true });
  }
});
