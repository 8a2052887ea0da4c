import assert from 'node:assert/strict';
import { LimitRange } from '#api/core/v1/limit-range.ts';
import { Pod } from '#api/core/v1/pod.ts';
import { apiOperations } from '../api-operations.ts';
import { conformance, type Trial } from '../conformance.ts';
import { podOf } from '../pods.ts';
import { refusal, untilGone } from '../waiting.ts';

const limits = [
  {
    type: 'Container',
    min: { cpu: '50m', memory: '100Mi', 'ephemeral-storage': '100Gi' },
    max: { cpu: '500m', memory: '500Mi', 'ephemeral-storage': '500Gi' },
    default: { cpu: '500m', memory: '500Mi', 'ephemeral-storage': '500Gi' },
    defaultRequest: { cpu: '100m', memory: '200Mi', 'ephemeral-storage': '200Gi' },
    maxLimitRequestRatio: {},
  },
];

conformance(it => {
  it('[sig-scheduling] LimitRange should create a LimitRange with defaults and ensure pod has those defaults applied. [Conformance]', async t => {
    const { client, namespace } = t;
    const made = await client.create(LimitRange, { metadata: { name: 'limits' }, spec: { limits } }, { namespace });
    const [limit] = limits;
    await t.eventually('the plain pod has the defaults', async () => {
      const { requests } = await resourcesOf(t, {}, true);
      return requests !== undefined;
    });
    assert.deepEqual(await resourcesOf(t, {}), { limits: limit?.default, requests: limit?.defaultRequest });
    const asked = { requests: { cpu: '100m', memory: '100Mi' }, limits: { cpu: '300m' } };
    assert.deepEqual(await resourcesOf(t, asked), {
      requests: { ...limit?.defaultRequest, cpu: '100m', memory: '100Mi' },
      limits: { ...limit?.default, cpu: '300m' },
    });
    const small = { requests: { cpu: '10m', memory: '50Mi', 'ephemeral-storage': '50Gi' } };
    assert.match(
      (await refusal(resourcesOf(t, small))).message ?? '',
      /minimum cpu usage per Container is 50m, but request is 10m/,
    );
    const big = { requests: { cpu: '600m' }, limits: { cpu: '600m' } };
    assert.match(
      (await refusal(resourcesOf(t, big))).message ?? '',
      /maximum cpu usage per Container is 500m, but limit is 600m/,
    );
    const lower = { ...limit, min: { cpu: '9m', memory: '49Mi', 'ephemeral-storage': '49Gi' } };
    await client.update(LimitRange, { ...made, spec: { limits: [lower] } } as LimitRange, { namespace });
    await t.eventually('what was too small is taken', () => resourcesOf(t, small, true));
    assert.equal((await refusal(resourcesOf(t, big))).code, 403);
    await client.delete(LimitRange, 'limits', { namespace });
    await untilGone(t, LimitRange, 'limits');
    await t.eventually('what was too big is taken', () => resourcesOf(t, big, true));
  });

  it('[sig-scheduling] LimitRange should list, patch and delete a LimitRange by collection [Conformance]', async t =>
    apiOperations(t, { kind: LimitRange, object: { spec: { limits } } }));
});

async function resourcesOf(t: Trial, resources: object, dryRun = false) {
  const pod = podOf(t, { container: { resources } });
  const { spec } = await t.client.create<Pod>(Pod, pod, { namespace: t.namespace, dryRun });
  return spec?.containers[0]?.resources ?? {};
}
