import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { ManualClock } from '#base/clock.ts';
import { admissionSettingsFrom } from './admission-configuration.ts';
import { kubeApiserverFlags, type KubeApiserverArguments } from './flags/kube-apiserver.ts';
import { parseComponentArguments } from './flags/component.ts';

let directory: string;
before(() => {
  directory = mkdtempSync(join(tmpdir(), 'windlass-admission-'));
});
after(() => rmSync(directory, { recursive: true, force: true }));

function file(name: string, text: string): string {
  const path = join(directory, name);
  writeFileSync(path, text);
  return path;
}

const settings = (given: KubeApiserverArguments) =>
  admissionSettingsFrom(given, { clock: new ManualClock(), signal: new AbortController().signal });

/** With one plugin, configured in place. */
const configured = (name: string, configuration: string) =>
  settings({
    'admission-control-config-file': file(
      'admission.yaml',
      `apiVersion: apiserver.config.k8s.io/v1
kind: AdmissionConfiguration
plugins:
- name: ${name}
  configuration:
${configuration.replace(/^/gm, '    ')}`,
    ),
  });

test('flags choose plugins by their names', () => {
  const parsed = parseComponentArguments('kube-apiserver', kubeApiserverFlags, [
    'enable-admission-plugins=AlwaysPullImages,DenyServiceExternalIPs',
    'enable-admission-plugins=EventRateLimit',
    'default-not-ready-toleration-seconds=30',
  ]);
  assert.deepEqual(parsed['enable-admission-plugins'], [
    'AlwaysPullImages',
    'DenyServiceExternalIPs',
    'EventRateLimit',
  ]);
  assert.throws(
    () => parseComponentArguments('kube-apiserver', kubeApiserverFlags, ['disable-admission-plugins=Nonsense']),
    /plugin "Nonsense" is unknown/,
  );
});

test('without a file nothing is configured', async () => {
  const { choice, configuration, credentialsFor } = await settings({ 'default-unreachable-toleration-seconds': 7 });
  assert.deepEqual(choice, { enabled: [], disabled: [] });
  assert.equal(configuration.podSecurity, undefined);
  assert.deepEqual(configuration.tolerationSeconds, { notReady: undefined, unreachable: 7 });
  assert.equal(credentialsFor, undefined);
});

test('Pod Security has defaults and exemptions, in place or in a file beside', async () => {
  const text = `apiVersion: pod-security.admission.config.k8s.io/v1
kind: PodSecurityConfiguration
defaults: { enforce: baseline, enforce-version: v1.30, warn: restricted }
exemptions: { usernames: [root], runtimeClasses: [], namespaces: [kube-system] }
`;
  const inPlace = (await configured('PodSecurity', text)).configuration.podSecurity;
  file('pod-security.yaml', text);
  const beside = await settings({
    'admission-control-config-file': file(
      'admission.yaml',
      'apiVersion: apiserver.config.k8s.io/v1\nkind: AdmissionConfiguration\nplugins: [{ name: PodSecurity, path: pod-security.yaml }]\n',
    ),
  });
  assert.deepEqual(inPlace, {
    defaults: { enforce: 'baseline', 'enforce-version': 'v1.30', warn: 'restricted' },
    exemptions: { usernames: ['root'], runtimeClasses: [], namespaces: ['kube-system'] },
  });
  assert.deepEqual(beside.configuration.podSecurity, inPlace);
  await assert.rejects(
    configured('PodSecurity', text.replace('baseline', 'strict')),
    /cannot configure the admission plugin PodSecurity: defaults.enforce: Invalid value: "strict": must be one of privileged, baseline, restricted/,
  );
  await assert.rejects(configured('PodSecurity', 'kind: Other'), /no kind "Other" is registered for version ""/);
});

test('limits of Events, tolerations, node selectors and limited resources', async () => {
  const limits = await configured(
    'EventRateLimit',
    'apiVersion: eventratelimit.admission.k8s.io/v1alpha1\nkind: Configuration\nlimits:\n- { type: Namespace, qps: 50, burst: 100, cacheSize: 2000 }\n- { type: User, qps: 10, burst: 50 }',
  );
  assert.deepEqual(limits.configuration.eventLimits, [
    { type: 'Namespace', qps: 50, burst: 100, cacheSize: 2000 },
    { type: 'User', qps: 10, burst: 50 },
  ]);
  await assert.rejects(
    configured(
      'EventRateLimit',
      'apiVersion: eventratelimit.admission.k8s.io/v1alpha1\nkind: Configuration\nlimits: [{ type: Any, qps: 1, burst: 1 }]',
    ),
    /limits\[0\].type: Unsupported value: "Any": supported values: "Namespace", "Server", "SourceAndObject", "User"/,
  );
  const selectors = await configured(
    'PodNodeSelector',
    'podNodeSelectorPluginConfig:\n  clusterDefaultNodeSelector: pool=x\n  ns: pool=y',
  );
  assert.deepEqual(selectors.configuration.podNodeSelectors, { clusterDefaultNodeSelector: 'pool=x', ns: 'pool=y' });
  const tolerations = await configured(
    'PodTolerationRestriction',
    'apiVersion: podtolerationrestriction.admission.k8s.io/v1alpha1\nkind: Configuration\ndefault: [{ key: a, operator: Exists }]',
  );
  assert.deepEqual(tolerations.configuration.podTolerations, {
    default: [{ key: 'a', operator: 'Exists' }],
    whitelist: [],
  });
  const quota = await configured(
    'ResourceQuota',
    'apiVersion: apiserver.config.k8s.io/v1\nkind: ResourceQuotaConfiguration\nlimitedResources:\n- resource: pods\n  matchScopes: [{ scopeName: PriorityClass, operator: In, values: [high] }]',
  );
  assert.deepEqual(quota.configuration.limitedResources, [
    {
      apiGroup: '',
      resource: 'pods',
      matchContains: [],
      matchScopes: [{ scopeName: 'PriorityClass', operator: 'In', values: ['high'] }],
    },
  ]);
});

test('webhooks learn who asks them: by host, by domain, or all the same', async () => {
  file('token', 'from-file\n');
  file(
    'webhooks.kubeconfig',
    `apiVersion: v1
kind: Config
users:
- { name: hook.ns.svc, user: { token: exact } }
- { name: '*.example.com', user: { username: me, password: secret } }
- { name: '*', user: { tokenFile: token } }
`,
  );
  const { credentialsFor } = await configured(
    'ValidatingAdmissionWebhook',
    'apiVersion: apiserver.config.k8s.io/v1\nkind: WebhookAdmissionConfiguration\nkubeConfigFile: webhooks.kubeconfig',
  );
  assert.equal(credentialsFor?.('hook.ns.svc')?.authorization, 'Bearer exact');
  assert.equal(
    credentialsFor?.('a.b.example.com')?.authorization,
    `Basic ${Buffer.from('me:secret').toString('base64')}`,
  );
  assert.equal(credentialsFor?.('hook.ns.svc:8443')?.authorization, 'Bearer from-file');
});

test('who judges images has to be named, within bounds', async () => {
  await assert.rejects(
    settings({ 'enable-admission-plugins': ['ImagePolicyWebhook'] }),
    /cannot enable the admission plugin ImagePolicyWebhook: no config specified/,
  );
  file(
    'images.kubeconfig',
    `apiVersion: v1
kind: Config
current-context: c
contexts: [{ name: c, context: { cluster: images, user: me } }]
clusters: [{ name: images, cluster: { server: 'https://images.example.com/policy' } }]
users: [{ name: me, user: {} }]
`,
  );
  const policy = (more: string) =>
    configured('ImagePolicyWebhook', `imagePolicy:\n  kubeConfigFile: images.kubeconfig\n${more}`);
  const { configuration } = await policy('  denyTTL: 50\n  retryBackoff: -1\n  defaultAllow: true');
  const { allowTtlMs, denyTtlMs, retryBackoffMs, defaultAllow } = configuration.imagePolicy ?? assert.fail();
  assert.deepEqual([allowTtlMs, denyTtlMs, retryBackoffMs, defaultAllow], [300_000, 50_000, 0, true]);
  await assert.rejects(policy('  allowTTL: 5000'), /valid value of allowTTL is between 1 and 1800, got 5000/);
});
