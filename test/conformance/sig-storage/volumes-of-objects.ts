import assert from 'node:assert/strict';
import { ConfigMap } from '#api/core/v1/config-map.ts';
import { Secret } from '#api/core/v1/secret.ts';
import type { ApiObject, Kind, Partly } from '#api/machinery/kind.ts';
import { conformance, type Trial } from '../conformance.ts';
import { execIn, outputOf, readyPod, type PodWish } from '../pods.ts';
import { refusal } from '../waiting.ts';

/** ConfigMaps and Secrets in volumes, of their own and projected. */
interface Source {
  /** As the official names begin. */
  readonly name: string;
  readonly kind: Kind;
  fields(data: Readonly<Record<string, string>>): object;
  volume(name: string, options?: object): object;
  /** How upstream writes the same words. */
  readonly several: string;
  readonly itemMode: string;
}

const configMaps = {
  kind: ConfigMap as Kind,
  fields: (data: object) => ({ data }),
  several: 'in the same pod',
  itemMode: 'Item mode',
};
const secrets = {
  kind: Secret as Kind,
  fields: (stringData: object) => ({ stringData }),
  several: 'in a pod',
  itemMode: 'Item Mode',
};
const projected =
  (field: string) =>
  (name: string, { defaultMode, ...options }: { defaultMode?: number } = {}) => ({
    projected: { ...(defaultMode !== undefined && { defaultMode }), sources: [{ [field]: { name, ...options } }] },
  });

const sources: readonly Source[] = [
  { ...configMaps, name: 'ConfigMap', volume: (name, options) => ({ configMap: { name, ...options } }) },
  { ...configMaps, name: 'Projected configMap', volume: projected('configMap') },
  { ...secrets, name: 'Secrets', volume: (secretName, options) => ({ secret: { secretName, ...options } }) },
  { ...secrets, name: 'Projected secret', volume: projected('secret') },
];

const end = '[Conformance] [NodeConformance]';
const mapped = { items: [{ key: 'data-2', path: 'path/to/data-2' }] };
const nonRoot = { securityContext: { runAsUser: 1000 } };

conformance(it => {
  for (const source of sources) {
    const from = `[sig-storage] ${source.name} should be consumable from pods in volume`;
    const isSecret = source.kind === (Secret as Kind);
    it(`${from} ${end}`, t => reads(t, source, {}, 'data-1', '644 value-1'));
    it(`${from} with defaultMode set [LinuxOnly] ${end}`, t =>
      reads(t, source, { defaultMode: 0o400 }, 'data-1', '400 value-1'));
    it(`${from} with mappings ${end}`, t => reads(t, source, mapped, 'path/to/data-2', '644 value-2'));
    it(`${from} with mappings and ${source.itemMode} set [LinuxOnly] ${end}`, t =>
      reads(t, source, { items: [{ ...mapped.items[0], mode: 0o400 }] }, 'path/to/data-2', '400 value-2'));
    if (isSecret)
      it(`${from} as non-root with defaultMode and fsGroup set [LinuxOnly] ${end}`, t =>
        reads(t, source, { defaultMode: 0o440 }, 'data-1', '440 value-1', {
          securityContext: { runAsUser: 1000, fsGroup: 1001 },
        }));
    else {
      it(`${from} as non-root ${end}`, t => reads(t, source, {}, 'data-1', '644 value-1', nonRoot));
      it(`${from} with mappings as non-root ${end}`, t =>
        reads(t, source, mapped, 'path/to/data-2', '644 value-2', nonRoot));
    }

    it(`[sig-storage] ${source.name} should be consumable in multiple volumes ${source.several} ${end}`, async t => {
      await make(t, source, 'source', data);
      const output = await outputOf(t, {
        script: 'cat /one/data-1 /two/data-1',
        ...mounting({ one: source.volume('source'), two: source.volume('source') }),
      });
      assert.equal(output, 'value-1value-1');
    });

    it(`[sig-storage] ${source.name} optional updates should be reflected in volume ${end}`, async t => {
      const optional = { optional: true };
      await make(t, source, 'deleted', { 'data-1': 'value-1' });
      await make(t, source, 'updated', { 'data-1': 'value-1' });
      const volumes = {
        deleted: source.volume('deleted', optional),
        updated: source.volume('updated', optional),
        created: source.volume('created', optional),
      };
      const { metadata } = await readyPod(t, mounting(volumes));
      const read = (path: string) => execIn(t, metadata.name, 'sh', '-c', `cat ${path} 2>/dev/null || echo nothing`);
      assert.deepEqual([await read('/deleted/data-1'), await read('/created/data-1')], ['value-1', 'nothing\n']);
      await t.client.delete(source.kind, 'deleted', { namespace: t.namespace });
      await change(t, source, 'updated', { 'data-1': null as never, 'data-3': 'value-3' });
      await make(t, source, 'created', { 'data-1': 'value-1' });
      await t.eventually(
        'the volumes follow',
        async () =>
          String([await read('/deleted/data-1'), await read('/updated/data-3'), await read('/created/data-1')]) ===
          'nothing\n,value-3,value-1',
        90_000,
      );
    });

    if (isSecret) continue;
    it(`[sig-storage] ${source.name} updates should be reflected in volume ${end}`, async t => {
      await make(t, source, 'source', { 'data-1': 'value-1' });
      const { metadata } = await readyPod(t, mounting({ volume: source.volume('source') }));
      const read = () => execIn(t, metadata.name, 'cat', '/volume/data-1');
      assert.equal(await read(), 'value-1');
      await change(t, source, 'source', { 'data-1': 'value-2' });
      await t.eventually('the file follows', async () => (await read()) === 'value-2', 90_000);
    });
  }

  it(`[sig-storage] ConfigMap binary data should be reflected in volume ${end}`, async t => {
    const fields = {
      data: { 'data-1': 'value-1' },
      binaryData: { dump: Buffer.from([0xde, 0xca, 0xfe, 0xba, 0xd0, 0xfe, 0xff]).toString('base64') },
    };
    await t.client.create<ConfigMap>(
      ConfigMap,
      { metadata: { name: 'source' }, ...fields },
      { namespace: t.namespace },
    );
    const output = await outputOf(t, {
      script: 'cat /volume/data-1; hexdump -e \'1/1 "%02x"\' /volume/dump',
      ...mounting({ volume: { configMap: { name: 'source' } } }),
    });
    assert.equal(output, 'value-1decafebad0feff');
  });

  it(`[sig-storage] Secrets should be able to mount in a volume regardless of a different secret existing with same name in different namespace ${end}`, async t => {
    const other = await t.makeNamespace();
    await t.client.create<Secret>(
      Secret,
      { metadata: { name: 'source' }, stringData: { 'data-1': 'of another' } },
      { namespace: other },
    );
    await reads(t, sources[2] as Source, {}, 'data-1', '644 value-1');
  });

  for (const source of [sources[0], sources[2]] as Source[])
    it(`[sig-storage] ${source.name} should be immutable if \`immutable\` field is set [Conformance]`, async t => {
      const { client, namespace } = t;
      await make(t, source, 'fixed', data);
      const patch = (value: object) =>
        client.patch(source.kind, 'fixed', { type: 'merge', patch: value }, { namespace });
      await patch({ immutable: true });
      for (const value of [source.fields({ 'data-1': 'other' }), { immutable: false }, { immutable: null }])
        assert.equal((await refusal(patch(value))).code, 422, JSON.stringify(value));
      await patch({ metadata: { labels: { label1: 'value1' } } });
      await client.delete(source.kind, 'fixed', { namespace });
    });

  it(`[sig-storage] Projected combined should project all components that make up the projection API [Projection] ${end}`, async t => {
    await t.client.create<ConfigMap>(
      ConfigMap,
      { metadata: { name: 'map' }, data: { 'configmap-data': 'configmap-value-1' } },
      { namespace: t.namespace },
    );
    await t.client.create<Secret>(
      Secret,
      { metadata: { name: 'secret' }, stringData: { 'secret-data': 'secret-value-1' } },
      { namespace: t.namespace },
    );
    const all = {
      projected: {
        sources: [
          { configMap: { name: 'map', items: [{ key: 'configmap-data', path: 'cm' }] } },
          { secret: { name: 'secret', items: [{ key: 'secret-data', path: 's' }] } },
          { downwardAPI: { items: [{ path: 'podname', fieldRef: { fieldPath: 'metadata.name' } }] } },
        ],
      },
    };
    const output = await outputOf(t, {
      name: 'all',
      script: 'cat /volume/podname; echo; cat /volume/s; echo; cat /volume/cm',
      ...mounting({ volume: all }),
    });
    assert.equal(output, 'all\nsecret-value-1\nconfigmap-value-1');
  });
});

const data = { 'data-1': 'value-1', 'data-2': 'value-2', 'data-3': 'value-3' };

function make(
  t: Trial,
  { kind, fields }: Source,
  name: string,
  values: Readonly<Record<string, string>>,
): Promise<ApiObject> {
  return t.client.create<ApiObject>(kind, { metadata: { name }, ...fields(values) } as Partly<ApiObject>, {
    namespace: t.namespace,
  });
}

function change(
  t: Trial,
  { kind }: Source,
  name: string,
  values: Readonly<Record<string, string>>,
): Promise<ApiObject> {
  const encoded = Object.entries(values).map(([key, value]) => [
    key,
    value === null || kind !== (Secret as Kind) ? value : Buffer.from(value).toString('base64'),
  ]);
  return t.client.patch(
    kind,
    name,
    { type: 'merge', patch: { data: Object.fromEntries(encoded) } },
    { namespace: t.namespace },
  );
}

/** Each volume at the path of its name. */
function mounting(volumes: Readonly<Record<string, object>>): Pick<PodWish, 'container' | 'volumes'> {
  return {
    container: { volumeMounts: Object.keys(volumes).map(name => ({ name, mountPath: `/${name}` })) },
    volumes: Object.entries(volumes).map(([name, volume]) => ({ name, ...volume })),
  };
}

async function reads(
  t: Trial,
  source: Source,
  options: object,
  path: string,
  expected: string,
  wish: PodWish = {},
): Promise<void> {
  await make(t, source, 'source', data);
  const script = `echo $(stat -Lc %a /volume/${path}) $(cat /volume/${path})`;
  assert.equal(
    (await outputOf(t, { script, ...wish, ...mounting({ volume: source.volume('source', options) }) })).trim(),
    expected,
  );
}
