import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { APIService } from '#api/apiregistration/v1/api-service.ts';
import { Deployment } from '#api/apps/v1/deployment.ts';
import { HorizontalPodAutoscaler } from '#api/autoscaling/v2/horizontal-pod-autoscaler.ts';
import { defineKind, type ApiObject, type Kind } from '#api/machinery/kind.ts';
import { Namespace } from '#api/core/v1/namespace.ts';
import { systemClock } from '#base/clock.ts';
import { Pod } from '#api/core/v1/pod.ts';
import { apiServiceOf, group, startAggregatedCluster, version, type AggregatedCluster } from './aggregated-cluster.ts';

describe('metrics of simulated nodes and of others, read through the API', () => {
  let cluster: AggregatedCluster;
  before(async () => {
    cluster = await startAggregatedCluster({ hollowNodes: 2 });
    const { client } = cluster;
    await client.create(Deployment, deployment('web', { 'hollow.windlass.dev/cpu-usage': '200m' }), {
      namespace: 'default',
    });
    for (const name of ['web-1', 'web-2'])
      await client.create(
        Pod,
        { ...podTemplate('web', {}), metadata: { name, labels: { app: 'other' } } },
        { namespace: 'default' },
      );
    await seen(Pod, '', pods => pods.filter(pod => (pod as Pod).status?.phase === 'Running').length === 4);
  });
  after(async () => {
    await cluster?.[Symbol.asyncDispose]();
  });

  /** Resolves with what a condition makes of all objects of a kind in `default`. */
  async function seen<Found>(
    kind: Kind,
    name: string,
    find: (objects: readonly ApiObject[]) => Found | undefined | false,
  ): Promise<Found> {
    const abort = new AbortController();
    const late = systemClock.after(20_000, () => abort.abort(new Error(`${kind.plural} did not come about`)));
    const objects = new Map<string, ApiObject>();
    try {
      for await (const event of cluster.client.watch(kind, {
        namespace: 'default',
        sendInitialEvents: true,
        signal: abort.signal,
      })) {
        if (event.type === 'BOOKMARK') continue;
        if (event.type === 'DELETED') objects.delete(event.object.metadata.name ?? '');
        else if (name === '' || event.object.metadata.name === name)
          objects.set(event.object.metadata.name ?? '', event.object);
        const found = find([...objects.values()]);
        if (found !== undefined && found !== false) return found;
      }
    } finally {
      late();
      abort.abort(new Error('seen'));
    }
    throw new Error(`${kind.plural} did not come about`);
  }

  test('kubectl top says what pods say of themselves, and the nodes their sum', async () => {
    const pods = await cluster.kubectl('top', 'pods', '--no-headers', '-l', 'app=web');
    assert.deepEqual(
      pods
        .trim()
        .split('\n')
        .map(line => line.split(/\s+/).slice(1, 3)),
      [
        ['200m', '32Mi'],
        ['200m', '32Mi'],
      ],
    );
    const nodes = (await cluster.kubectl('top', 'nodes', '--no-headers')).trim().split('\n');
    assert.equal(nodes.length, 2);
    const cores = nodes.map(line => Number(/(\d+)m/.exec(line)?.[1]));
    assert.equal(
      cores.reduce((sum, each) => sum + each, 0),
      2 * 50 + 2 * 200 + 2 * 10,
    );
    assert.match(await cluster.kubectl('top', 'pods', '--containers', '-A'), /default +web-1 +main +10m +32Mi/);
    assert.match(await cluster.kubectl('get', 'nodes.metrics.k8s.io'), /NAME +CPU +MEMORY +WINDOW\nhollow-0 /);
    const { items } = JSON.parse(
      await cluster.kubectl(
        'get',
        '--raw',
        '/apis/metrics.k8s.io/v1beta1/namespaces/default/pods?labelSelector=app%3Dother',
      ),
    );
    assert.deepEqual(
      items.map((each: ApiObject) => each.metadata.name),
      ['web-1', 'web-2'],
    );
    assert.deepEqual(items[0].containers, [{ name: 'main', usage: { cpu: '10m', memory: '32Mi' } }]);
    assert.match(
      await cluster.kubectlFails('get', 'pods.metrics.k8s.io', 'none'),
      /pods\.metrics\.k8s\.io "none" not found/,
    );
  });

  test('an autoscaler follows the processor time', async () => {
    await cluster.client.create(HorizontalPodAutoscaler, {
      metadata: { name: 'web', namespace: 'default' },
      spec: {
        scaleTargetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'web' },
        minReplicas: 1,
        maxReplicas: 20,
        metrics: [
          { type: 'Resource', resource: { name: 'cpu', target: { type: 'Utilization', averageUtilization: 50 } } },
        ],
      },
    });
    const status = await seen(HorizontalPodAutoscaler as never, 'web', ([found]) => {
      const { status: now } = (found ?? {}) as HorizontalPodAutoscaler;
      return now?.desiredReplicas === 6 && now;
    });
    // 200 % of what is asked for, and 50 % wanted: eight, but no more than four at once.
    assert.equal(status.currentMetrics?.[0]?.resource?.current.averageUtilization, 200);
    assert.equal(status.conditions?.find(each => each.type === 'ScalingLimited')?.reason, 'ScaleUpLimit');
    await cluster.client.delete(HorizontalPodAutoscaler, 'web', { namespace: 'default' });
  });

  test('and the metrics that APIs of others serve', async () => {
    await using extension = await cluster.startExtension('modern');
    for (const [group, version] of [
      ['custom.metrics.k8s.io', 'v1beta2'],
      ['external.metrics.k8s.io', 'v1beta1'],
    ] as const) {
      await cluster.client.create(APIService, {
        metadata: { name: `${version}.${group}` },
        spec: {
          group,
          version,
          groupPriorityMinimum: 100,
          versionPriority: 100,
          caBundle: Buffer.from(extension.caPem).toString('base64'),
          service: { namespace: 'default', name: 'wardle' },
        },
      });
      await cluster.reasonIs('Passed', `${version}.${group}`);
    }
    await cluster.client.create(
      Deployment,
      { ...deployment('fixed', {}), spec: { ...deployment('fixed', {}).spec, replicas: 1 } },
      { namespace: 'default' },
    );
    await seen(Pod, '', pods =>
      pods.some(each => each.metadata.labels?.['app'] === 'fixed' && (each as Pod).status?.phase === 'Running'),
    );
    await cluster.client.create(HorizontalPodAutoscaler, {
      metadata: { name: 'fixed', namespace: 'default' },
      spec: {
        scaleTargetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'fixed' },
        minReplicas: 1,
        maxReplicas: 4,
        metrics: [
          {
            type: 'Object',
            object: {
              describedObject: { apiVersion: 'v1', kind: 'Service', name: 'web' },
              metric: { name: 'hits', selector: { matchLabels: { verb: 'GET' } } },
              target: { type: 'Value', value: '20' },
            },
          },
          {
            type: 'External',
            external: { metric: { name: 'queue' }, target: { type: 'AverageValue', averageValue: '10' } },
          },
          { type: 'Pods', pods: { metric: { name: 'unknown' }, target: { type: 'AverageValue', averageValue: '1' } } },
        ],
      },
    });
    const status = await seen(HorizontalPodAutoscaler as never, 'fixed', ([found]) => {
      const { status: now } = (found ?? {}) as HorizontalPodAutoscaler;
      return now?.desiredReplicas === 4 && now;
    });
    assert.deepEqual(status.currentMetrics, [
      {
        type: 'Object',
        object: {
          metric: { name: 'hits', selector: { matchLabels: { verb: 'GET' } } },
          describedObject: { apiVersion: 'v1', kind: 'Service', name: 'web' },
          current: { value: '40' },
        },
      },
      { type: 'External', external: { metric: { name: 'queue' }, current: { averageValue: '40' } } },
    ]);
  });

  test('a namespace that goes takes what other servers hold in it along', async () => {
    await using extension = await cluster.startExtension('modern');
    const { client } = cluster;
    await client.create(APIService, apiServiceOf(extension.caPem));
    await cluster.reasonIs('Passed');
    await client.create(Namespace, { metadata: { name: 'passing' } });
    const Flunder = defineKind({
      group,
      version,
      kind: 'Flunder',
      plural: 'flunders',
      namespaced: true,
      type: '',
      fields: {},
    }) as unknown as Kind;
    await client.create(Flunder, { metadata: { name: 'one', namespace: 'passing' } });
    assert.equal((await client.list(Flunder, { namespace: 'passing' })).items.length, 1);
    await cluster.kubectl('delete', 'namespace', 'passing', '--timeout=30s');
    assert.equal((await client.list(Flunder, { namespace: 'passing' })).items.length, 0);
  });
});

function podTemplate(app: string, annotations: Readonly<Record<string, string>>) {
  return {
    metadata: { labels: { app }, annotations },
    spec: { containers: [{ name: 'main', image: 'web', resources: { requests: { cpu: '100m', memory: '64Mi' } } }] },
  };
}

function deployment(name: string, annotations: Readonly<Record<string, string>>) {
  return {
    metadata: { name, namespace: 'default' },
    spec: { replicas: 2, selector: { matchLabels: { app: name } }, template: podTemplate(name, annotations) },
  };
}
