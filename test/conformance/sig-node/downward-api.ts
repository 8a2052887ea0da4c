import assert from 'node:assert/strict';
import { conformance, type Trial } from '../conformance.ts';
import { finishedPod } from '../pods.ts';
import { schedulableNodes } from '../nodes.ts';

const should = '[sig-node] Downward API should provide';

conformance(it => {
  it(`${should} pod name, namespace and IP address as env vars [Conformance] [NodeConformance]`, async t => {
    const { pod, env } = await told(t, {
      POD_NAME: 'metadata.name',
      POD_NAMESPACE: 'metadata.namespace',
      POD_IP: 'status.podIP',
    });
    assert.deepEqual(env, { POD_NAME: pod.metadata.name, POD_NAMESPACE: t.namespace, POD_IP: pod.status?.podIP });
  });
  it(`${should} host IP as an env var [Conformance] [NodeConformance]`, async t => {
    const { pod, env } = await told(t, { HOST_IP: 'status.hostIP' });
    assert.deepEqual(env, { HOST_IP: pod.status?.hostIP });
    assert.match(env['HOST_IP'] ?? '', /^\d+\.\d+\.\d+\.\d+$/);
  });
  it(`${should} hostIPs as an env var [Conformance] [NodeConformance]`, async t => {
    const { pod, env } = await told(t, { HOST_IPS: 'status.hostIPs' });
    assert.deepEqual(env, { HOST_IPS: pod.status?.hostIPs?.map(({ ip }) => ip).join(',') });
  });
  it(`${should} pod UID as env vars [Conformance] [NodeConformance]`, async t => {
    const { pod, env } = await told(t, { POD_UID: 'metadata.uid' });
    assert.deepEqual(env, { POD_UID: pod.metadata.uid });
  });
  it(`${should} container's limits.cpu/memory and requests.cpu/memory as env vars [Conformance] [NodeConformance]`, async t => {
    const resources = { requests: { cpu: '250m', memory: '32Mi' }, limits: { cpu: '1250m', memory: '64Mi' } };
    const { env } = await told(t, {}, resources);
    assert.deepEqual(env, {
      CPU_LIMIT: '2',
      MEMORY_LIMIT: String(64 << 20),
      CPU_REQUEST: '1',
      MEMORY_REQUEST: String(32 << 20),
    });
  });
  it(`${should} default limits.cpu/memory from node allocatable [Conformance] [NodeConformance]`, async t => {
    const { pod, env } = await told(t, {}, {});
    const node = (await schedulableNodes(t)).find(({ metadata }) => metadata.name === pod.spec?.nodeName);
    const { cpu = '', memory = '' } = node?.status?.allocatable ?? {};
    assert.equal(
      env['CPU_LIMIT'],
      String(Math.ceil(cpu.endsWith('m') ? Number(cpu.slice(0, -1)) / 1000 : Number(cpu))),
    );
    assert.equal(env['MEMORY_LIMIT'], String(Number(memory.replace('Ki', '')) * (memory.endsWith('Ki') ? 1024 : 1)));
  });
});

/** The variables that a pod was given, from fields or from its resources. */
async function told(t: Trial, fields: Readonly<Record<string, string>>, resources?: object) {
  const ofFields = Object.entries(fields).map(([name, fieldPath]) => ({
    name,
    valueFrom: { fieldRef: { fieldPath } },
  }));
  const names = {
    CPU_LIMIT: 'limits.cpu',
    MEMORY_LIMIT: 'limits.memory',
    CPU_REQUEST: 'requests.cpu',
    MEMORY_REQUEST: 'requests.memory',
  };
  const ofResources = Object.entries(resources ? names : {}).map(([name, resource]) => ({
    name,
    valueFrom: { resourceFieldRef: { resource } },
  }));
  const env = [...ofFields, ...ofResources];
  const { pod, log } = await finishedPod(t, { script: 'env', container: { env, ...(resources && { resources }) } });
  const lines = log.split('\n').map(line => line.split('='));
  return {
    pod,
    env: Object.fromEntries(lines.filter(([name]) => env.some(each => each.name === name))) as Record<string, string>,
  };
}
