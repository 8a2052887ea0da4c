import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { Event } from '#api/core/v1/event.ts';
import { startCluster } from '../../src/cluster/start-cluster.ts';

const run = promisify(execFile);

const manifest = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 0
      nodeSelector: {pool: small}
      containers: [{name: web, image: any, resources: {requests: {cpu: "3"}}}]
`;

test('kubectl sees nodes come for pods that fit nowhere, and go when nobody needs them', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'windlass-autoscaling-'));
  try {
    await using cluster = await startCluster({
      nodes: 1,
      autoscalerArguments: {
        nodes: [{ name: 'small', minSize: 0, maxSize: 2 }],
        'hollow-shape': [{ name: 'small', capacity: { cpu: '4', memory: '8Gi' }, labels: { pool: 'small' } }],
        'scan-interval': 200,
        'scale-down-unneeded-time': 500,
        'scale-down-delay-after-add': 500,
      },
    });
    const kubeconfig = join(directory, 'kubeconfig');
    const file = join(directory, 'web.yaml');
    await writeFile(kubeconfig, cluster.kubeconfig);
    await writeFile(file, manifest);
    const kubectl = async (...words: readonly string[]) =>
      (await run('kubectl', [...words], { env: { ...process.env, KUBECONFIG: kubeconfig } })).stdout;
    await kubectl('apply', '-f', file);
    await kubectl('wait', 'deployment/web', '--for=jsonpath={.status.readyReplicas}=2', '--timeout=20s');
    assert.equal((await kubectl('get', 'nodes', '-l', 'pool=small', '-o', 'name')).trim().split('\n').length, 2);
    // Events come when they come.
    for await (const event of cluster.client.watch(Event, { sendInitialEvents: true }))
      if (event.type !== 'BOOKMARK' && event.object.reason === 'NotTriggerScaleUp') break;
    const refused = await kubectl(
      'get',
      'events',
      '--field-selector=reason=NotTriggerScaleUp',
      '-o',
      'jsonpath={..message}',
    );
    assert.match(refused, /pod didn't trigger scale-up: 1 max node group size reached/);
    await kubectl('delete', 'deployment', 'web');
    await kubectl('wait', 'node', '-l', 'pool=small', '--for=delete', '--timeout=20s');
    const status = await kubectl(
      'get',
      'configmap',
      '-n',
      'kube-system',
      'cluster-autoscaler-status',
      '-o',
      'jsonpath={.data.status}',
    );
    assert.match(status, /autoscalerStatus: Running/);
  } finally {
    await rm(directory, { recursive: true });
  }
});
