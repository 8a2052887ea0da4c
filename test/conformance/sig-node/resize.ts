import assert from 'node:assert/strict';
import { Pod } from '#api/core/v1/pod.ts';
import { conformance, type Trial } from '../conformance.ts';
import { podOf, readyPod } from '../pods.ts';
import { until } from '../waiting.ts';

const resize = '[sig-node] Pod InPlace Resize Container';

interface Amounts {
  readonly requests?: Readonly<Record<string, string>>;
  readonly limits?: Readonly<Record<string, string>>;
}

const guaranteed = (cpu: string, memory: string): Amounts => ({ requests: { cpu, memory }, limits: { cpu, memory } });

conformance(it => {
  for (const [name, before, after] of [
    [
      '3 containers - increase cpu & mem on c1, c2, decrease cpu & mem on c3 - net increase',
      ['100m 100Mi', '200m 200Mi', '300m 300Mi'],
      ['140m 140Mi', '250m 250Mi', '240m 340Mi'],
    ],
    [
      '3 containers - increase cpu & mem on c1, decrease cpu & mem on c2, c3 - net decrease',
      ['100m 100Mi', '200m 200Mi', '300m 300Mi'],
      ['140m 140Mi', '150m 200Mi', '250m 300Mi'],
    ],
    [
      '3 containers - increase: CPU (c1,c3), memory (c2, c3) ; decrease: CPU (c2)',
      ['100m 100Mi', '200m 200Mi', '300m 300Mi'],
      ['140m 100Mi', '150m 250Mi', '340m 350Mi'],
    ],
  ] as const)
    it(`${resize} guaranteed pods with multiple containers ${name} [MinimumKubeletVersion:1.34] [Conformance]`, async t => {
      const amounts = (texts: readonly string[]) =>
        texts.map(text => {
          const [cpu = '', memory = ''] = text.split(' ');
          return guaranteed(cpu, memory);
        });
      await resized(t, amounts(before), amounts(after));
    });

  it(`${resize} burstable pods - extended 6 containers - various operations performed (including adding limits and requests) [MinimumKubeletVersion:1.34] [Conformance]`, async t => {
    await resized(
      t,
      [
        {},
        { requests: { cpu: '100m' } },
        { requests: { cpu: '100m', memory: '100Mi' } },
        { requests: { cpu: '100m' }, limits: { cpu: '200m' } },
        { requests: { cpu: '100m', memory: '100Mi' }, limits: { cpu: '200m', memory: '200Mi' } },
        { requests: { memory: '100Mi' }, limits: { memory: '200Mi' } },
      ],
      [
        { requests: { cpu: '100m', memory: '100Mi' } },
        { requests: { cpu: '150m' }, limits: { cpu: '250m' } },
        { requests: { cpu: '50m', memory: '120Mi' } },
        { requests: { cpu: '150m' }, limits: { cpu: '150m' } },
        { requests: { cpu: '120m', memory: '120Mi' }, limits: { cpu: '240m', memory: '240Mi' } },
        { requests: { memory: '120Mi' }, limits: { memory: '240Mi' } },
      ],
    );
  });

  it(`${resize} burstable pods - extended resize with equivalents [MinimumKubeletVersion:1.34] [Conformance]`, t =>
    resized(
      t,
      [{ requests: { cpu: '2m' }, limits: { cpu: '10m' } }],
      [{ requests: { cpu: '1m' }, limits: { cpu: '5m' } }],
    ));

  it(`${resize} resize pod via the replace endpoint [MinimumKubeletVersion:1.34] [Conformance]`, async t => {
    const { client, namespace } = t;
    const { metadata } = await readyPod(t, {
      container: { resources: { requests: { cpu: '100m' }, limits: { cpu: '100m' } } },
    });
    const where = { namespace, subresource: 'resize' };
    const read = await client.get(Pod, metadata.name, where);
    assert.deepEqual(read.spec, (await client.get(Pod, metadata.name, { namespace })).spec);
    const containers = read.spec?.containers.map(each => ({
      ...each,
      resources: { requests: { cpu: '120m' }, limits: { cpu: '120m' } },
    }));
    await client.update(Pod, { ...read, spec: { ...read.spec, containers } } as Pod, where);
    await actuated(t, metadata.name, [{ requests: { cpu: '120m' }, limits: { cpu: '120m' } }]);
  });
});

async function resized(t: Trial, before: readonly Amounts[], after: readonly Amounts[]): Promise<void> {
  const containersOf = (all: readonly Amounts[]) =>
    all.map((resources, index) => ({ name: `c${index + 1}`, image: t.image('client:latest'), resources }));
  const { metadata, spec } = podOf(t);
  const pod = await readyPod(t, { metadata, spec: { ...spec, containers: containersOf(before) } } as never);
  await actuated(t, pod.metadata.name, before);
  const patch = { spec: { containers: containersOf(after).map(({ name, resources }) => ({ name, resources })) } };
  await t.client.patch(
    Pod,
    pod.metadata.name,
    { type: 'strategic', patch },
    { namespace: t.namespace, subresource: 'resize' },
  );
  await actuated(t, pod.metadata.name, after);
}

/** Status and control groups say what was asked for, and nothing was restarted. */
async function actuated(t: Trial, name: string, wanted: readonly Amounts[]): Promise<void> {
  const { status } = await until(
    t,
    Pod,
    name,
    'its containers have the resources',
    each =>
      wanted.every((amounts, index) => {
        const { resources } =
          each.status?.containerStatuses?.find(
            container => container.name === (each.spec?.containers[index]?.name ?? ''),
          ) ?? {};
        return (['requests', 'limits'] as const).every(kind =>
          Object.entries(amounts[kind] ?? {}).every(([resource, amount]) => resources?.[kind]?.[resource] === amount),
        );
      }) && !each.status?.conditions?.some(({ type }) => type === 'PodResizePending' || type === 'PodResizeInProgress'),
  );
  assert.ok(status?.containerStatuses?.every(({ restartCount }) => restartCount === 0));
  const pod = await t.client.get(Pod, name, { namespace: t.namespace });
  for (const [index, { limits = {} }] of wanted.entries()) {
    const container = pod.spec?.containers[index]?.name ?? '';
    const read = (script: string) => t.kubectl('exec', name, `--container=${container}`, '--', 'sh', '-c', script);
    const { cpu, memory } = limits;
    if (memory !== undefined) {
      const bytes = Number(memory.replace('Mi', '')) * 1024 * 1024;
      assert.equal(
        Number(
          await read('cat /sys/fs/cgroup/memory.max 2>/dev/null || cat /sys/fs/cgroup/memory/memory.limit_in_bytes'),
        ),
        bytes,
      );
    }
    if (cpu !== undefined) {
      const quota = Math.max(1000, Number(cpu.replace('m', '')) * 100);
      assert.equal(
        Number(
          (
            await read('cut -d" " -f1 /sys/fs/cgroup/cpu.max 2>/dev/null || cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us')
          ).trim(),
        ),
        quota,
      );
    }
  }
}
