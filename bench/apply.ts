import { PodTemplate } from '../src/api/core/v1/pod-template.ts';
import { systemClock } from '../src/base/clock.ts';
import { httpsClientFor } from '../src/cluster/clients.ts';
import type { Bench } from './benches.ts';
import { controlPlaneOnly, record, startBenchCluster } from './harness.ts';
import { load, phaseRow } from './load.ts';

const operations = 2_000;
const namespace = 'default';

export const apply: Bench = {
  name: 'apply',
  measures:
    'server-side apply of PodTemplates, which no controller answers: new, unchanged, changed, by a second manager, and in conflict',
  async run() {
    await using cluster = await startBenchCluster(...controlPlaneOnly);
    await using client = await httpsClientFor(cluster.kubeconfig, systemClock);
    const pid = cluster.pids()['control-plane'] ?? 0;
    const send = (name: string, object: object, fieldManager: string, force = false) =>
      client.patch(
        PodTemplate,
        name,
        { type: 'apply', object: { apiVersion: 'v1', kind: 'PodTemplate', metadata: { name }, ...object } },
        { namespace, fieldManager, force },
      );
    const phase = (act: (index: number) => Promise<unknown>) => load({ operations, pid }, act);
    const name = (index: number) => `app-${index}`;
    // Once to be warm.
    await load({ operations: 300, pid }, index => send(`warm-${index}`, wanted('v1', 10), 'bench'));
    const made = await phase(index => send(name(index), wanted('v1', 10), 'bench'));
    const same = await phase(index => send(name(index), wanted('v1', 10), 'bench'));
    const changed = await phase(index => send(name(index), wanted('v2', 20), 'bench'));
    const second = await phase(index => send(name(index), within({ priority: 0 }), 'other'));
    let conflicts = 0;
    const refused = await phase(index =>
      send(name(index), within({ terminationGracePeriodSeconds: 5 }), 'other').catch(() => {
        conflicts++;
      }),
    );
    const forced = await phase(index => send(name(index), within({ terminationGracePeriodSeconds: 5 }), 'other', true));
    if (conflicts !== operations) throw new Error(`${conflicts} of ${operations} were in conflict`);
    await record('apply', [
      phaseRow('new', made, 'pods: ≥ 2,500/s; upstream 697/s, 1.64 ms'),
      phaseRow('unchanged', same),
      phaseRow('image and grace period changed', changed),
      phaseRow('a second manager adds a field', second),
      phaseRow('a second manager in conflict', refused),
      phaseRow('the same by force', forced),
    ]);
  },
};

function within(spec: object): object {
  return { template: { spec } };
}

function wanted(version: string, terminationGracePeriodSeconds: number): object {
  const container = (name: string) => ({
    name,
    image: `registry.example/${name}:${version}`,
    ports: [{ name: 'http', containerPort: 8080 }],
    env: Array.from({ length: 10 }, (_, index) => ({ name: `SETTING_${index}`, value: String(index) })),
    resources: { requests: { cpu: '100m', memory: '64Mi' }, limits: { memory: '128Mi' } },
    readinessProbe: { httpGet: { path: '/healthz', port: 'http' } },
  });
  const spec = { terminationGracePeriodSeconds, containers: [container('web'), container('sidecar')] };
  return { template: { metadata: { labels: { app: 'bench' } }, spec } };
}
