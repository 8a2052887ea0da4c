import assert from 'node:assert/strict';
import { Pod } from '#api/core/v1/pod.ts';
import { conformance, type Trial } from '../conformance.ts';
import { execIn, finishedPod, readyPod } from '../pods.ts';
import { schedulableNodes } from '../nodes.ts';

const end = '[Conformance] [NodeConformance]';

interface Item {
  readonly path: string;
  readonly fieldRef?: { readonly fieldPath: string };
  readonly resourceFieldRef?: { readonly containerName: string; readonly resource: string };
  readonly mode?: number;
}

conformance(it => {
  for (const [name, volumeOf] of [
    [
      'Downward API volume',
      (items: readonly Item[], defaultMode?: number) => ({
        downwardAPI: { items, ...(defaultMode && { defaultMode }) },
      }),
    ],
    [
      'Projected downwardAPI',
      (items: readonly Item[], defaultMode?: number) => ({
        projected: { sources: [{ downwardAPI: { items } }], ...(defaultMode && { defaultMode }) },
      }),
    ],
  ] as const) {
    const should = `[sig-storage] ${name} should`;
    const told = async (
      t: Trial,
      item: Item,
      options: { readonly defaultMode?: number; readonly resources?: object } = {},
    ) => {
      const { defaultMode, resources } = options;
      const { pod, log } = await finishedPod(t, {
        script: 'stat -Lc %a /volume/file; cat /volume/file',
        container: { volumeMounts: [{ name: 'volume', mountPath: '/volume' }], ...(resources && { resources }) },
        volumes: [{ name: 'volume', ...volumeOf([item], defaultMode) }],
      });
      const [mode, text] = log.split('\n');
      return { pod, mode, text };
    };
    const podName: Item = { path: 'file', fieldRef: { fieldPath: 'metadata.name' } };

    it(`${should} provide podname only ${end}`, async t => {
      const { pod, text } = await told(t, podName);
      assert.equal(text, pod.metadata.name);
    });
    it(`${should} set DefaultMode on files [LinuxOnly] ${end}`, async t =>
      assert.equal((await told(t, podName, { defaultMode: 0o400 })).mode, '400'));
    it(`${should} set mode on item file [LinuxOnly] ${end}`, async t =>
      assert.equal((await told(t, { ...podName, mode: 0o400 })).mode, '400'));

    const resources = { requests: { cpu: '250m', memory: '32Mi' }, limits: { cpu: '1250m', memory: '64Mi' } };
    for (const [what, resource, expected] of [
      ["container's cpu limit", 'limits.cpu', '2'],
      ["container's memory limit", 'limits.memory', String(64 << 20)],
      ["container's cpu request", 'requests.cpu', '1'],
      ["container's memory request", 'requests.memory', String(32 << 20)],
    ] as const)
      it(`${should} provide ${what} ${end}`, async t => {
        const item = { path: 'file', resourceFieldRef: { containerName: 'main', resource } };
        assert.equal((await told(t, item, { resources })).text, expected);
      });
    for (const resource of ['cpu', 'memory'] as const)
      it(`${should} provide node allocatable (${resource}) as default ${resource} limit if the limit is not set ${end}`, async t => {
        const { pod, text } = await told(t, {
          path: 'file',
          resourceFieldRef: { containerName: 'main', resource: `limits.${resource}` },
        });
        const node = (await schedulableNodes(t)).find(({ metadata }) => metadata.name === pod.spec?.nodeName);
        const amount = node?.status?.allocatable?.[resource] ?? '';
        const number = Number.parseInt(amount, 10);
        assert.equal(
          text,
          String(amount.endsWith('Ki') ? number * 1024 : amount.endsWith('m') ? Math.ceil(number / 1000) : number),
        );
      });

    for (const what of ['labels', 'annotations'] as const)
      it(`${should} update ${what} on modification ${end}`, async t => {
        const { metadata } = await readyPod(t, {
          [what]: { key1: 'value1' },
          container: { volumeMounts: [{ name: 'volume', mountPath: '/volume' }] },
          volumes: [{ name: 'volume', ...volumeOf([{ path: 'file', fieldRef: { fieldPath: `metadata.${what}` } }]) }],
        });
        const read = () => execIn(t, metadata.name, 'cat', '/volume/file');
        assert.match(await read(), /key1="value1"/);
        await t.client.patch(
          Pod,
          metadata.name,
          { type: 'merge', patch: { metadata: { [what]: { key3: 'value3' } } } },
          { namespace: t.namespace },
        );
        await t.eventually('the file follows', async () => (await read()).includes('key3="value3"'), 90_000);
      });
  }
});
