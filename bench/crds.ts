import { CustomResourceDefinition } from '../src/api/apiextensions/v1/custom-resource-definition.ts';
import type { Kind } from '../src/api/machinery/kind.ts';
import { systemClock } from '../src/base/clock.ts';
import type { Client } from '../src/client/client.ts';
import { discover } from '../src/client/discovery.ts';
import { httpsClientFor } from '../src/cluster/clients.ts';
import type { Bench } from './benches.ts';
import { controlPlaneOnly, record, startBenchCluster, type Row } from './harness.ts';
import { load, milliseconds, phaseRow } from './load.ts';

const operations = 3_000;
const namespace = 'default';
const group = 'bench.example';

/** Upstream's generic server with custom resources without rules and etcd. */
const peers = { create: '1,163', patch: '920', apply: '906', update: '735', delete: '828' } as const;

const rules = [
  { rule: 'self.replicas <= self.replicasMax', message: 'too many' },
  { rule: "self.ports.all(p, p.port >= 1024 && p.name.startsWith('p'))" },
  { rule: 'self.weights.map(w, w * 2).sum() <= 1000' },
  { rule: "self.image.matches('^[a-z.]+/[a-z]+:v[0-9]+$')" },
  { rule: 'self.replicasMax >= oldSelf.replicasMax', message: 'may not fall' },
];

export const crds: Bench = {
  name: 'crds',
  measures: 'custom resources without and with five rules of CEL',
  async run() {
    await using cluster = await startBenchCluster(...controlPlaneOnly);
    await using client = await httpsClientFor(cluster.kubeconfig, systemClock);
    const pid = cluster.pids()['control-plane'] ?? 0;
    const rows: Row[] = [];
    for (const [plural, kind, given] of [
      ['plains', 'Plain', []],
      ['ruleds', 'Ruled', rules],
    ] as const) {
      const started = performance.now();
      const resource = await define(client, plural, kind, given);
      rows.push({ what: `${kind}: defined until served`, figure: milliseconds(performance.now() - started) });
      const what = (verb: string) => `${given.length === 0 ? 'without rules' : 'five rules'}: ${verb}`;
      const object = (index: number) => ({
        apiVersion: `${group}/v1`,
        kind,
        metadata: { name: `item-${index}` },
        spec: spec(index),
      });
      const name = (index: number) => `item-${index}`;
      const phase = (act: (index: number) => Promise<unknown>) => load({ operations, pid }, act);
      await load({ operations: 300, pid }, index =>
        client.create(resource, { ...object(index), metadata: { name: `warm-${index}` } } as never, { namespace }),
      );
      const created = await phase(index => client.create(resource, object(index) as never, { namespace }));
      const patched = await phase(index =>
        client.patch(resource, name(index), { type: 'merge', patch: { spec: { replicas: 2 } } }, { namespace }),
      );
      const applied = await phase(index =>
        client.patch(
          resource,
          name(index),
          { type: 'apply', object: { ...object(index), spec: { ...spec(index), replicasMax: 20 } } },
          { namespace, fieldManager: 'bench', force: true },
        ),
      );
      const updated = await phase(async index => {
        const read = (await client.get(resource, name(index), { namespace })) as { readonly spec?: object };
        return client.update(resource, { ...read, spec: { ...read.spec, replicas: 3 } } as never, { namespace });
      });
      const deleted = await phase(index => client.delete(resource, name(index), { namespace }));
      const phases = { create: created, patch: patched, apply: applied, update: updated, delete: deleted };
      for (const [verb, measured] of Object.entries(phases))
        rows.push(phaseRow(what(verb), measured, `upstream without rules ${peers[verb as keyof typeof peers]}/s`));
    }
    await record('crds', rows);
  },
};

function spec(index: number): Record<string, unknown> {
  return {
    replicas: 1,
    replicasMax: 10,
    weights: [1, 2, 3, 4, 5],
    ports: Array.from({ length: 5 }, (_, port) => ({ name: `port-${port}`, port: 8000 + port })),
    image: 'registry.example/app:v1',
    note: `number ${index}`,
  };
}

async function define(client: Client, plural: string, kind: string, given: readonly object[]): Promise<Kind> {
  const integer = { type: 'integer', minimum: 0 };
  const string = { type: 'string', maxLength: 200 };
  const port = { type: 'object', required: ['name', 'port'], properties: { name: string, port: integer } };
  const schema = {
    type: 'object',
    properties: {
      spec: {
        type: 'object',
        required: ['replicas', 'replicasMax', 'image'],
        properties: {
          replicas: integer,
          replicasMax: integer,
          weights: { type: 'array', maxItems: 100, items: integer },
          ports: { type: 'array', maxItems: 100, items: port },
          image: string,
          note: string,
        },
        ...(given.length > 0 && { 'x-kubernetes-validations': given }),
      },
    },
  };
  await client.create(CustomResourceDefinition, {
    metadata: { name: `${plural}.${group}` },
    spec: {
      group,
      scope: 'Namespaced',
      names: { plural, singular: kind.toLowerCase(), kind },
      versions: [{ name: 'v1', served: true, storage: true, schema: { openAPIV3Schema: schema } }],
    },
  } as never);
  for (;;) {
    const found = (await discover(client)).kinds.find(each => each.kind === kind);
    const { items } = await client.list(CustomResourceDefinition);
    const established = items
      .find(each => each.spec.names.kind === kind)
      ?.status?.conditions?.some(({ type, status }) => type === 'Established' && status === 'True');
    if (found && established) return found;
  }
}
