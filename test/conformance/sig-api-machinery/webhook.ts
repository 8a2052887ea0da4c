import assert from 'node:assert/strict';
import { MutatingWebhookConfiguration } from '#api/admissionregistration/v1/mutating-webhook-configuration.ts';
import { ValidatingWebhookConfiguration } from '#api/admissionregistration/v1/validating-webhook-configuration.ts';
import { CustomResourceDefinition } from '#api/apiextensions/v1/custom-resource-definition.ts';
import { ConfigMap } from '#api/core/v1/config-map.ts';
import { Namespace } from '#api/core/v1/namespace.ts';
import { Pod } from '#api/core/v1/pod.ts';
import type { ApiObject, Kind, Partly } from '#api/machinery/kind.ts';
import { discovered } from '../api-operations.ts';
import { conformance, type Trial } from '../conformance.ts';
import { anything, define, definitionOf, type Custom } from '../custom.ts';
import { createPod, podOf, readyPod } from '../pods.ts';
import { refusal } from '../waiting.ts';
import { startWebhookServer, type WebhookServer } from '../webhook-server.ts';

const webhook = '[sig-api-machinery] AdmissionWebhook [Privileged:ClusterAdmin]';

/** What upstream's test image does under these names. */
const handlers = {
  configmaps: `
    const { data = {}, metadata } = request.object ?? request.oldObject;
    return data['webhook-e2e-test'] === 'webhook-disallow' ? deny('the configmap contains unwanted key and value') : allow;`,
  pods: `
    const { spec, metadata } = request.object;
    if (metadata.labels?.['webhook-e2e-test'] === 'wait-forever') await pause(60);
    const problems = [
      ...(spec.containers.some(({ name }) => name.includes('webhook-disallow')) ? ['the pod contains unwanted container name'] : []),
      ...(metadata.labels?.['webhook-e2e-test'] === 'webhook-disallow' ? ['the pod contains unwanted label'] : []),
    ];
    return problems.length > 0 ? deny(problems.join('; ')) : allow;`,
  attach: `return deny('attaching to pod \\'' + request.name + '\\' is not allowed');`,
  slow: 'await pause(5); return allow;',
  'always-deny': `return deny('this webhook denies all requests');`,
  'mutate-first': `return (request.object.data ?? {})['mutation-start'] === 'yes' ? patch({ op: 'add', path: '/data/mutation-stage-1', value: 'yes' }) : allow;`,
  'mutate-second': `return (request.object.data ?? {})['mutation-stage-1'] === 'yes' ? patch({ op: 'add', path: '/data/mutation-stage-2', value: 'yes' }) : allow;`,
  'mutate-pods': `return patch({ op: 'add', path: '/spec/initContainers', value: [{ name: 'webhook-added-init-container', image: 'webhook-added-image', resources: {} }] });`,
  'label-anything': `return patch({ op: 'add', path: '/metadata/labels', value: { touched: 'yes' } });`,
  custom: `
    const { data = {} } = (request.operation === 'DELETE' ? request.oldObject : request.object);
    return data['webhook-e2e-test'] === 'webhook-disallow' ? deny('the custom resource contains unwanted data') : allow;`,
  crds: `
    const labels = request.object.metadata.labels ?? {};
    return 'webhook-e2e-test' in labels ? deny('the crd contains unwanted label') : allow;`,
};

conformance(it => {
  it(`${webhook} should include webhook resources in discovery documents [Conformance]`, async t => {
    await discovered(t, MutatingWebhookConfiguration);
    await discovered(t, ValidatingWebhookConfiguration);
  });

  it(`${webhook} should be able to deny pod and configmap creation [Conformance]`, async t => {
    const hooks = await hooked(t);
    await hooks.validate([
      { name: 'deny-unwanted-pod', handler: 'pods', rule: ['pods', ['CREATE']] },
      { name: 'deny-unwanted-configmap', handler: 'configmaps', rule: ['configmaps', ['CREATE', 'UPDATE', 'DELETE']] },
    ]);
    const bad = { 'webhook-e2e-test': 'webhook-disallow' };
    const pod = await refusal(createPod(t, { labels: bad, container: { name: 'webhook-disallow' } }));
    assert.match(
      pod.message ?? '',
      /admission webhook .* denied the request: the pod contains unwanted container name; the pod contains unwanted label/,
    );
    const hanging = await refusal(createPod(t, { labels: { 'webhook-e2e-test': 'wait-forever' } }));
    assert.match(hanging.message ?? '', /failed calling webhook/);
    assert.match(hanging.message ?? '', /deadline/);
    assert.match(
      (await refusal(configMap(t, 'bad', bad))).message ?? '',
      /the configmap contains unwanted key and value/,
    );
    await configMap(t, 'good', {});
    const { client, namespace } = t;
    const read = await client.get(ConfigMap, 'good', { namespace });
    assert.match(
      (await refusal(client.update(ConfigMap, { ...read, data: bad } as ConfigMap, { namespace }))).message ?? '',
      /unwanted/,
    );
    const patch = { type: 'merge', patch: { data: bad } } as const;
    assert.match((await refusal(client.patch(ConfigMap, 'good', patch, { namespace }))).message ?? '', /unwanted/);
    // A namespace that is not selected is left alone.
    const exempt = await t.makeNamespace({ 'skip-webhook': 'yes' });
    await client.create<ConfigMap>(ConfigMap, { metadata: { name: 'bad' }, data: bad }, { namespace: exempt });
  });

  it(`${webhook} should be able to deny attaching pod [Conformance]`, async t => {
    const hooks = await hooked(t);
    await hooks.validate([{ name: 'deny-attaching-pod', handler: 'attach', rule: ['pods/attach', ['CONNECT']] }]);
    const { metadata } = await readyPod(t, { name: 'to-be-attached' });
    await assert.rejects(t.kubectl('attach', metadata.name, '--stdin=false'), (error: { stderr?: string }) =>
      /attaching to pod 'to-be-attached' is not allowed/.test(error.stderr ?? ''),
    );
  });

  it(`${webhook} should be able to deny custom resource creation, update and deletion [Conformance]`, async t => {
    const hooks = await hooked(t);
    const kind = (await define(t)).kind();
    await hooks.validate([
      {
        name: 'deny-unwanted-custom',
        handler: 'custom',
        rule: [kind.plural, ['CREATE', 'UPDATE', 'DELETE'], kind.group, 'v1'],
      },
    ]);
    const { client, namespace } = t;
    const bad = { 'webhook-e2e-test': 'webhook-disallow' };
    const create = (name: string, data: object) =>
      client.create<Custom>(kind, { metadata: { name }, data } as never, { namespace });
    assert.match((await refusal(create('bad', bad))).message ?? '', /the custom resource contains unwanted data/);
    await create('good', { key: 'value' });
    const change = (data: object) => client.patch(kind, 'good', { type: 'merge', patch: { data } }, { namespace });
    assert.match((await refusal(change(bad))).message ?? '', /the custom resource contains unwanted data/);
    await hooks.without(() => change(bad));
    assert.match(
      (await refusal(client.delete(kind, 'good', { namespace }))).message ?? '',
      /the custom resource contains unwanted data/,
    );
    await hooks.without(() => change({ 'webhook-e2e-test': null }));
    await client.delete(kind, 'good', { namespace });
  });

  it(`${webhook} should deny crd creation [Conformance]`, async t => {
    const hooks = await hooked(t);
    // Definitions have no namespace to select by: others' must not be asked about for long.
    const objectSelector = { matchExpressions: [{ key: 'webhook-e2e-test', operator: 'Exists' }] };
    await hooks.validate(
      [
        {
          name: 'deny-crd',
          handler: 'crds',
          rule: ['customresourcedefinitions', ['CREATE'], 'apiextensions.k8s.io', '*'],
          objectSelector,
          everywhere: true,
        },
      ],
      { marker: false },
    );
    const denied = await t.eventually('definitions are asked about', async () => {
      const asked = definitionOf(t, { labels: { 'webhook-e2e-test': 'webhook-disallow' } });
      const status = await refusal(
        t.client.create<CustomResourceDefinition>(CustomResourceDefinition, asked, { dryRun: true }),
      );
      return status.message ?? '';
    });
    assert.match(denied, /the crd contains unwanted label/);
  });

  it(`${webhook} should unconditionally reject operations on fail closed webhook [Conformance]`, async t => {
    const hooks = await hooked(t);
    const namespace = await t.makeNamespace({ fail: 'closed' });
    await hooks.validate(
      [
        {
          name: 'fail-closed',
          handler: 'configmaps',
          rule: ['configmaps', ['CREATE']],
          caBundle: null,
          namespaceSelector: { matchLabels: { fail: 'closed', 'kubernetes.io/metadata.name': namespace } },
        },
      ],
      { marker: false },
    );
    const message = await t.eventually('nothing is let through', async () => {
      const status = await refusal(
        t.client.create(ConfigMap, { metadata: { name: 'foo' } }, { namespace, dryRun: true }),
      );
      return status.code === 500 && status.message;
    });
    assert.match(message, /failed calling webhook/);
  });

  it(
    `${webhook} should honor timeout [Conformance]`,
    async t => {
      const hooks = await hooked(t);
      const attempt = async (name: string, timeoutSeconds: number | undefined, failurePolicy: 'Fail' | 'Ignore') => {
        const undo = await hooks.validate([
          {
            name,
            handler: 'slow',
            rule: ['configmaps', ['CREATE']],
            failurePolicy,
            ...(timeoutSeconds && { timeoutSeconds }),
          },
        ]);
        const startMs = performance.now();
        try {
          return await configMap(t, name, {}).then(
            () => ({ tookMs: performance.now() - startMs, message: '' }),
            (error: Error) => ({ tookMs: performance.now() - startMs, message: error.message }),
          );
        } finally {
          await undo();
        }
      };
      const short = await attempt('short-fail', 1, 'Fail');
      assert.match(short.message, /deadline/);
      const ignored = await attempt('short-ignore', 1, 'Ignore');
      assert.equal(ignored.message, '');
      assert.ok(ignored.tookMs < 4000, `it took ${ignored.tookMs} ms`);
      for (const timeoutSeconds of [10, undefined]) {
        const { message, tookMs } = await attempt(`long-${timeoutSeconds ?? 'default'}`, timeoutSeconds, 'Fail');
        assert.equal(message, '');
        assert.ok(tookMs >= 4900, `it took ${tookMs} ms`);
      }
    },
    { slow: true },
  );

  it(`${webhook} should mutate configmap [Conformance]`, async t => {
    const hooks = await hooked(t);
    await hooks.mutate([
      { name: 'adding-configmap-data-stage-1', handler: 'mutate-first', rule: ['configmaps', ['CREATE']] },
      { name: 'adding-configmap-data-stage-2', handler: 'mutate-second', rule: ['configmaps', ['CREATE']] },
    ]);
    const { data } = await configMap(t, 'to-be-mutated', { 'mutation-start': 'yes' });
    assert.deepEqual(data, { 'mutation-start': 'yes', 'mutation-stage-1': 'yes', 'mutation-stage-2': 'yes' });
  });

  it(`${webhook} should mutate pod and apply defaults after mutation [Conformance]`, async t => {
    const hooks = await hooked(t);
    await hooks.mutate([{ name: 'adding-init-container', handler: 'mutate-pods', rule: ['pods', ['CREATE']] }]);
    const { spec } = await t.client.create<Pod>(Pod, podOf(t), { namespace: t.namespace });
    const [init] = spec?.initContainers ?? [];
    assert.equal(init?.name, 'webhook-added-init-container');
    assert.equal(init?.terminationMessagePolicy, 'File');
  });

  it(`${webhook} should mutate custom resource [Conformance]`, async t => {
    const hooks = await hooked(t);
    const kind = (await define(t, { schema: anything })).kind();
    await hooks.mutate(
      ['mutate-first', 'mutate-second'].map(handler => ({
        name: handler,
        handler,
        rule: [kind.plural, ['CREATE', 'UPDATE'], kind.group, 'v1'] as const,
      })),
    );
    const { data } = await t.client.create<Custom>(
      kind,
      { metadata: { name: 'mutated' }, data: { 'mutation-start': 'yes' } } as never,
      { namespace: t.namespace },
    );
    assert.deepEqual(data, { 'mutation-start': 'yes', 'mutation-stage-1': 'yes', 'mutation-stage-2': 'yes' });
  });

  it(`${webhook} should mutate custom resource with pruning [Conformance]`, async t => {
    const hooks = await hooked(t);
    const text = { type: 'string' };
    const properties = { 'mutation-start': text, 'mutation-stage-1': text };
    const kind = (
      await define(t, { schema: { type: 'object', properties: { data: { type: 'object', properties } } } })
    ).kind();
    await hooks.mutate(
      ['mutate-first', 'mutate-second'].map(handler => ({
        name: handler,
        handler,
        rule: [kind.plural, ['CREATE'], kind.group, 'v1'] as const,
      })),
    );
    const { data } = await t.client.create<Custom>(
      kind,
      { metadata: { name: 'pruned' }, data: { 'mutation-start': 'yes' } } as never,
      { namespace: t.namespace },
    );
    assert.deepEqual(data, { 'mutation-start': 'yes', 'mutation-stage-1': 'yes' });
  });

  it(`${webhook} should mutate custom resource with different stored version [Conformance]`, async t => {
    const hooks = await hooked(t);
    const version = (name: string, storage: boolean) => ({
      name,
      served: true,
      storage,
      schema: { openAPIV3Schema: anything },
    });
    const defined = await define(
      t,
      definitionOf(t, { versions: [version('v1', true), version('v2', false)] as never }),
    );
    const [first, second] = [defined.kind('v1'), defined.kind('v2')];
    await hooks.mutate(
      ['mutate-first', 'mutate-second'].map(handler => ({
        name: handler,
        handler,
        rule: [first.plural, ['CREATE', 'UPDATE'], first.group, '*'] as const,
      })),
    );
    const { client, namespace } = t;
    await client.create<Custom>(first, { metadata: { name: 'mutated' }, data: { 'mutation-start': 'yes' } } as never, {
      namespace,
    });
    const storage = (index: number, value: boolean) => ({
      op: 'replace',
      path: `/spec/versions/${index}/storage`,
      value,
    });
    await client.patch(CustomResourceDefinition, defined.name, {
      type: 'json',
      operations: [storage(0, false), storage(1, true)],
    });
    const patched = await client.patch(second, 'mutated', { type: 'merge', patch: { dummy: 'test' } }, { namespace });
    assert.deepEqual(patched['data'], {
      'mutation-start': 'yes',
      'mutation-stage-1': 'yes',
      'mutation-stage-2': 'yes',
    });
    assert.equal(patched['dummy'], 'test');
  });

  it(`${webhook} should not be able to mutate or prevent deletion of webhook configuration objects [Conformance]`, async t => {
    const hooks = await hooked(t);
    const rule = ['*configurations', ['DELETE', 'CREATE', 'UPDATE'], 'admissionregistration.k8s.io', '*'] as const;
    const resources = ['validatingwebhookconfigurations', 'mutatingwebhookconfigurations'];
    const objectSelector = { matchLabels: { of: t.namespace } };
    const wanted = { rule: [resources, rule[1], rule[2], rule[3]] as const, objectSelector, everywhere: true };
    await hooks.validate([{ name: 'deny-webhook-configuration-deletions', handler: 'always-deny', ...wanted }]);
    await hooks.mutate([{ name: 'add-label-to-webhook-configurations', handler: 'label-anything', ...wanted }]);
    for (const kind of [ValidatingWebhookConfiguration, MutatingWebhookConfiguration] as readonly Kind[]) {
      const name = t.unique('dummy');
      const metadata = { name, labels: { of: t.namespace } };
      const { metadata: made } = await t.client.create<ApiObject>(kind, {
        metadata,
        webhooks: [],
      } as Partly<ApiObject>);
      assert.equal(made.labels?.['touched'], undefined);
      await t.client.delete(kind, name);
    }
  });

  for (const what of ['mutating', 'validating'] as const) {
    const kind: Kind = what === 'mutating' ? MutatingWebhookConfiguration : ValidatingWebhookConfiguration;
    /** A ConfigMap that the webhook under test turns away or changes. */
    const data = what === 'mutating' ? { 'mutation-start': 'yes' } : { 'webhook-e2e-test': 'webhook-disallow' };
    const handler = what === 'mutating' ? 'mutate-first' : 'configmaps';
    const acts = async (t: Trial) => {
      const attempt = t.client.create<ConfigMap>(
        ConfigMap,
        { metadata: { name: t.unique('probe') }, data },
        { namespace: t.namespace, dryRun: true },
      );
      if (what === 'mutating') return 'mutation-stage-1' in ((await attempt).data ?? {});
      return attempt.then(
        () => false,
        () => true,
      );
    };
    const eventually = (t: Trial, whether: boolean) =>
      t.eventually(`the webhook ${whether ? 'acts' : 'no longer acts'}`, async () => (await acts(t)) === whether);

    it(`${webhook} listing ${what} webhooks should work [Conformance]`, async t => {
      const hooks = await hooked(t);
      for (let index = 0; index < 10; index++)
        await hooks.configure(what, [{ name: `${what}-${index}`, handler, rule: ['configmaps', ['CREATE']] }], {
          marker: false,
        });
      const labelSelector = `of=${t.namespace}`;
      assert.equal((await t.client.list(kind, { labelSelector })).items.length, 10);
      await eventually(t, true);
      await t.client.deleteCollection(kind, { labelSelector });
      assert.equal((await t.client.list(kind, { labelSelector })).items.length, 0);
      await eventually(t, false);
    });

    it(`${webhook} patching/updating a ${what} webhook should work [Conformance]`, async t => {
      const hooks = await hooked(t);
      await hooks.configure(what, [{ name: what, handler, rule: ['configmaps', ['CREATE']] }], { marker: false });
      await eventually(t, true);
      const [made] = (await t.client.list(kind, { labelSelector: `of=${t.namespace}` })).items as [Configuration];
      const [own] = made.webhooks;
      const rules = [{ ...own?.rules?.[0], operations: ['UPDATE'] }];
      await t.client.update(kind, { ...made, webhooks: [{ ...own, rules }] } as ApiObject);
      await eventually(t, false);
      const operations = [{ op: 'replace', path: '/webhooks/0/rules/0/operations', value: ['CREATE'] }];
      await t.client.patch(kind, made.metadata.name ?? '', { type: 'json', operations });
      await eventually(t, true);
    });

    it(`${webhook} should be able to create and update ${what} webhook configurations with match conditions [Conformance]`, async t => {
      const server = { clientConfig: { url: 'https://127.0.0.1:1/none' } };
      const conditions = (...expressions: readonly string[]) =>
        expressions.map((expression, index) => ({ name: `expression-${index}`, expression }));
      const configuration = (matchConditions: object) => ({
        metadata: { name, labels: { of: t.namespace } },
        webhooks: [
          {
            name: 'conditional.example.com',
            ...server,
            matchConditions,
            sideEffects: 'None',
            admissionReviewVersions: ['v1'],
            rules: [],
            namespaceSelector: { matchLabels: { of: t.namespace } },
          },
        ],
      });
      const name = t.unique('conditional');
      t.defer(() => t.client.delete(kind, name));
      const created = await t.client.create<ApiObject>(
        kind,
        configuration(conditions("object.metadata.name == 'a'")) as never,
      );
      assert.deepEqual(
        (created as Configuration).webhooks[0]?.matchConditions,
        conditions("object.metadata.name == 'a'"),
      );
      const changed = conditions("object.metadata.name != 'b'", 'has(object.metadata.labels)');
      const updated = await t.client.update(kind, {
        ...created,
        webhooks: configuration(changed).webhooks,
      } as ApiObject);
      assert.deepEqual((updated as Configuration).webhooks[0]?.matchConditions, changed);
    });

    it(`${webhook} should reject ${what} webhook configurations with invalid match conditions [Conformance]`, async t => {
      const webhooks = [
        {
          name: 'invalid.example.com',
          clientConfig: { url: 'https://127.0.0.1:1/none' },
          matchConditions: [{ name: 'expression-1', expression: '... [] bad expression' }],
          sideEffects: 'None',
          admissionReviewVersions: ['v1'],
          rules: [],
        },
      ];
      const status = await refusal(
        t.client.create<ApiObject>(kind, { metadata: { name: t.unique('invalid') }, webhooks } as never),
      );
      assert.equal(status.code, 422);
      assert.match(status.message ?? '', /compilation failed/);
    });
  }

  it(`${webhook} should mutate everything except 'skip-me' configmaps [Conformance]`, async t => {
    const hooks = await hooked(t);
    await hooks.mutate([
      {
        name: 'adding-configmap-data',
        handler: 'mutate-first',
        rule: ['configmaps', ['CREATE']],
        matchConditions: [{ name: 'skip-me', expression: "object.metadata.name != 'skip-me'" }],
      },
    ]);
    const start = { 'mutation-start': 'yes' };
    assert.deepEqual((await configMap(t, 'skip-me', start)).data, start);
    assert.deepEqual((await configMap(t, 'mutate-me', start)).data, { ...start, 'mutation-stage-1': 'yes' });
  });
});

interface Configuration extends ApiObject {
  readonly webhooks: readonly { readonly rules?: readonly object[]; readonly matchConditions?: unknown }[];
}

interface Hook {
  readonly name: string;
  readonly handler: string;
  /** Resources, operations, group, version. */
  readonly rule: readonly [string | readonly string[], readonly string[], string?, string?];
  readonly caBundle?: null;
  readonly timeoutSeconds?: number;
  readonly failurePolicy?: 'Fail' | 'Ignore';
  readonly objectSelector?: object;
  readonly namespaceSelector?: object;
  readonly matchConditions?: object;
  /** For what has no namespace. */
  readonly everywhere?: boolean;
}

interface Hooks {
  readonly server: WebhookServer;
  /** Resolves with what takes it away again, once it is seen to act. */
  configure(
    what: 'validating' | 'mutating',
    hooks: readonly Hook[],
    options?: { readonly marker?: boolean },
  ): Promise<() => Promise<unknown>>;
  validate(hooks: readonly Hook[], options?: { readonly marker?: boolean }): Promise<() => Promise<unknown>>;
  mutate(hooks: readonly Hook[], options?: { readonly marker?: boolean }): Promise<() => Promise<unknown>>;
  /** Does something that the validating webhooks would turn away. */
  without(act: () => Promise<unknown>): Promise<void>;
}

async function hooked(t: Trial): Promise<Hooks> {
  const server = await startWebhookServer(t, handlers);
  await t.client.patch(Namespace, t.namespace, {
    type: 'merge',
    patch: { metadata: { labels: { [t.namespace]: 'true' } } },
  });
  const marker = t.unique('marker');
  const configure = async (what: 'validating' | 'mutating', hooks: readonly Hook[], { marker: waits = true } = {}) => {
    const kind: Kind = what === 'mutating' ? MutatingWebhookConfiguration : ValidatingWebhookConfiguration;
    const name = t.unique(`e2e-${what}`);
    const marking: Hook = {
      name: 'marker',
      handler: 'always-deny',
      rule: ['configmaps', ['CREATE']],
      objectSelector: { matchLabels: { [marker]: name } },
    };
    const webhooks = [...hooks, ...(waits ? [marking] : [])].map(hook => webhookOf(t, server, hook));
    await t.client.create<ApiObject>(kind, { metadata: { name, labels: { of: t.namespace } }, webhooks } as never);
    const undo = () => t.client.delete(kind, name).catch(() => undefined);
    t.defer(undo);
    if (waits)
      await t.eventually(`${name} acts`, async () => {
        const probe = { metadata: { name: 'marker', labels: { [marker]: name } } };
        return (await refusal(t.client.create(ConfigMap, probe, { namespace: t.namespace, dryRun: true }))).code >= 400;
      });
    return undo;
  };
  return {
    server,
    configure,
    validate: (hooks, options) => configure('validating', hooks, options),
    mutate: (hooks, options) => configure('mutating', hooks, options),
    async without(act) {
      const labelSelector = `of=${t.namespace}`;
      const { items } = await t.client.list(ValidatingWebhookConfiguration, { labelSelector });
      await t.client.deleteCollection(ValidatingWebhookConfiguration, { labelSelector });
      await t.eventually('they act no more', () => act().then(() => true));
      for (const { metadata, webhooks } of items) {
        const again = { metadata: { name: metadata.name, labels: metadata.labels }, webhooks };
        await t.client.create<ApiObject>(ValidatingWebhookConfiguration as Kind, again as never);
        await t.eventually('they act again', async () => {
          const probe = { metadata: { name: 'marker', labels: { [marker]: metadata.name ?? '' } } };
          return (
            (await refusal(t.client.create(ConfigMap, probe, { namespace: t.namespace, dryRun: true }))).code >= 400
          );
        });
      }
    },
  };
}

function webhookOf({ namespace }: Trial, server: WebhookServer, hook: Hook): object {
  const { name, handler, caBundle, rule, everywhere = false, ...wishes } = hook;
  const [resources, operations, apiGroup = '', apiVersion = 'v1'] = rule;
  const { service, caBundle: own } = server.clientConfig(handler);
  return {
    name: `${name}.k8s.io`,
    clientConfig: { service, ...(caBundle === null ? {} : { caBundle: own }) },
    rules: [{ operations, apiGroups: [apiGroup], apiVersions: [apiVersion], resources: [resources].flat() }],
    sideEffects: 'None',
    admissionReviewVersions: ['v1', 'v1beta1'],
    // Other tests run beside this one.
    ...(!everywhere && { namespaceSelector: { matchLabels: { [namespace]: 'true' } } }),
    ...wishes,
  };
}

function configMap(
  { client, namespace }: Trial,
  name: string,
  data: Readonly<Record<string, string>>,
): Promise<ConfigMap> {
  return client.create<ConfigMap>(ConfigMap, { metadata: { name }, data }, { namespace });
}
