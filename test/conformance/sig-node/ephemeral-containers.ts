import assert from 'node:assert/strict';
import { Pod } from '#api/core/v1/pod.ts';
import { conformance, type Trial } from '../conformance.ts';
import { logOf, readyPod } from '../pods.ts';
import { until } from '../waiting.ts';

conformance(it => {
  it('[sig-node] Ephemeral Containers will start an ephemeral container in an existing pod [Conformance] [NodeConformance]', async t => {
    const { metadata } = await readyPod(t, { name: 'debugged' });
    await t.client.patch(
      Pod,
      metadata.name,
      { type: 'strategic', patch: { spec: { ephemeralContainers: [container(t, 'debugger')] } } },
      where(t),
    );
    await runs(t, 'debugger');
  });

  it('[sig-node] Ephemeral Containers should update the ephemeral containers in an existing pod [Conformance] [NodeConformance]', async t => {
    const { metadata } = await readyPod(t, { name: 'debugged' });
    await t.client.patch(
      Pod,
      metadata.name,
      { type: 'strategic', patch: { spec: { ephemeralContainers: [container(t, 'debugger')] } } },
      where(t),
    );
    await runs(t, 'debugger');
    const read = await t.client.get(Pod, metadata.name, where(t));
    const ephemeralContainers = [...(read.spec?.ephemeralContainers ?? []), container(t, 'debugger2')];
    await t.client.update(Pod, { ...read, spec: { ...read.spec, ephemeralContainers } } as Pod, where(t));
    const { spec } = await t.client.get(Pod, metadata.name, where(t));
    assert.deepEqual(
      spec?.ephemeralContainers?.map(({ name }) => name),
      ['debugger', 'debugger2'],
    );
    await runs(t, 'debugger2');
  });
});

const where = ({ namespace }: Trial) => ({ namespace, subresource: 'ephemeralcontainers' });

function container(t: Trial, name: string) {
  const command = ['sh', '-c', 'echo polo; sleep 600'];
  return { name, image: t.image('busybox:latest'), command, stdin: true, tty: true };
}

async function runs(t: Trial, name: string): Promise<void> {
  await until(
    t,
    Pod,
    'debugged',
    `${name} runs`,
    ({ status }) => !!status?.ephemeralContainerStatuses?.find(each => each.name === name)?.state?.running,
  );
  await t.eventually('it speaks', async () => (await logOf(t, 'debugged', name)).includes('polo'));
}
