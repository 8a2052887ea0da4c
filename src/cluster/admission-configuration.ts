import { readFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import type { Clock } from '#base/clock.ts';
import type { PluginChoice } from '#admission/chain.ts';
import type { LimitedResource, PluginConfiguration } from '#admission/configuration.ts';
import { eventLimitTypes, type EventLimit } from '#admission/plugins/event-rate-limit.ts';
import type { ImagePolicy } from '#admission/plugins/image-policy-webhook.ts';
import type { PodTolerationConfiguration } from '#admission/plugins/pod-toleration-restriction.ts';
import type { PodSecurityConfiguration } from '#admission/pod-security/policy.ts';
import type { CredentialsFor, WebhookCredentials } from '#admission/webhooks/call.ts';
import { decodeYaml } from '#api/machinery/yaml.ts';
import type { KubeApiserverArguments } from './flags/kube-apiserver.ts';

/** What the flags of the API server say of admission. */
export interface AdmissionSettings {
  readonly choice: PluginChoice;
  readonly configuration: PluginConfiguration;
  /** How webhooks learn who asks them. */
  readonly credentialsFor: CredentialsFor | undefined;
}

type Fields = Readonly<Record<string, unknown>>;

/** Reads the file of `--admission-control-config-file` with all that it names. Throws a sentence about the first thing that is wrong. */
export async function admissionSettingsFrom(
  given: KubeApiserverArguments,
  outside: { readonly clock: Clock; readonly signal: AbortSignal },
): Promise<AdmissionSettings> {
  const file = given['admission-control-config-file'];
  const plugins = file === undefined ? new Map<string, PluginFile>() : await pluginsOf(file);
  const read = <Value>(name: string, parse: (fields: Fields, directory: string) => Value): Value | undefined => {
    const found = plugins.get(name);
    if (!found) return undefined;
    try {
      return parse(found.fields, found.directory);
    } catch (error) {
      throw new Error(`cannot configure the admission plugin ${name}: ${(error as Error).message}`, { cause: error });
    }
  };
  const enabled = given['enable-admission-plugins'] ?? [];
  const imagePolicy = read('ImagePolicyWebhook', (fields, directory) => imagePolicyOf(fields, directory, outside));
  if (enabled.includes('ImagePolicyWebhook') && !imagePolicy)
    throw new Error('cannot enable the admission plugin ImagePolicyWebhook: no config specified');
  const webhookFile =
    read('MutatingAdmissionWebhook', kubeconfigOf) ?? read('ValidatingAdmissionWebhook', kubeconfigOf);
  return {
    choice: { enabled, disabled: given['disable-admission-plugins'] ?? [] },
    configuration: {
      podSecurity: read('PodSecurity', podSecurityOf),
      eventLimits: read('EventRateLimit', eventLimitsOf),
      podNodeSelectors: read('PodNodeSelector', fields => texts(fields['podNodeSelectorPluginConfig'] ?? {})),
      podTolerations: read('PodTolerationRestriction', podTolerationsOf),
      limitedResources: read('ResourceQuota', limitedResourcesOf),
      imagePolicy: await imagePolicy,
      tolerationSeconds: {
        notReady: given['default-not-ready-toleration-seconds'],
        unreachable: given['default-unreachable-toleration-seconds'],
      },
    },
    credentialsFor: webhookFile === undefined ? undefined : await credentialsFrom(webhookFile),
  };
}

interface PluginFile {
  readonly fields: Fields;
  /** Where relative paths begin. */
  readonly directory: string;
}

async function pluginsOf(file: string): Promise<Map<string, PluginFile>> {
  const document = await documentAt(file);
  checkKind(document, ['apiserver.config.k8s.io/v1', 'apiserver.k8s.io/v1alpha1'], 'AdmissionConfiguration');
  const plugins = new Map<string, PluginFile>();
  for (const each of list(document['plugins'])) {
    const { name, path, configuration } = object(each);
    if (typeof name !== 'string') throw new Error(`cannot read ${file}: a plugin has no name`);
    const at = typeof path === 'string' && path !== '' ? resolve(dirname(file), path) : undefined;
    const fields = at === undefined ? object(configuration ?? {}) : await documentAt(at);
    plugins.set(name, { fields, directory: dirname(at ?? file) });
  }
  return plugins;
}

const levels = ['privileged', 'baseline', 'restricted'];

function podSecurityOf(fields: Fields): PodSecurityConfiguration {
  const group = 'pod-security.admission.config.k8s.io';
  checkKind(fields, [`${group}/v1`, `${group}/v1beta1`, `${group}/v1alpha1`], 'PodSecurityConfiguration');
  const defaults = texts(fields['defaults'] ?? {});
  for (const [mode, value] of Object.entries(defaults)) {
    const isVersion = mode.endsWith('-version');
    if (!/^(enforce|audit|warn)(-version)?$/.test(mode)) throw new Error(`unknown field "defaults.${mode}"`);
    const fits = isVersion ? /^(latest|v1\.(\d|[1-9]\d+))$/.test(value) : levels.includes(value);
    const wanted = isVersion ? 'must be "latest" or "v1.x"' : `must be one of ${levels.join(', ')}`;
    if (!fits) throw new Error(`defaults.${mode}: Invalid value: ${JSON.stringify(value)}: ${wanted}`);
  }
  const { usernames, runtimeClasses, namespaces } = object(fields['exemptions'] ?? {});
  return {
    defaults,
    exemptions: {
      usernames: strings(usernames),
      runtimeClasses: strings(runtimeClasses),
      namespaces: strings(namespaces),
    },
  };
}

function eventLimitsOf(fields: Fields): readonly EventLimit[] {
  checkKind(fields, ['eventratelimit.admission.k8s.io/v1alpha1'], 'Configuration');
  const limits = list(fields['limits']).map((each, index) => {
    const { type, qps, burst, cacheSize } = object(each);
    const known = eventLimitTypes.find(name => name === type);
    if (!known)
      throw new Error(
        `limits[${index}].type: Unsupported value: ${JSON.stringify(type ?? '')}: supported values: ${[
          ...eventLimitTypes,
        ]
          .sort()
          .map(name => JSON.stringify(name))
          .join(', ')}`,
      );
    if (!isPositive(burst))
      throw new Error(`limits[${index}].burst: Invalid value: ${String(burst ?? 0)}: must be positive`);
    if (!isPositive(qps)) throw new Error(`limits[${index}].qps: Invalid value: ${String(qps ?? 0)}: must be positive`);
    if (cacheSize !== undefined && !(Number.isInteger(cacheSize) && (cacheSize as number) >= 0))
      throw new Error(`limits[${index}].cacheSize: Invalid value: ${String(cacheSize)}: must not be negative`);
    return { type: known, qps, burst, ...(isPositive(cacheSize) && { cacheSize }) };
  });
  if (limits.length === 0) throw new Error('limits: Invalid value: []: must not be empty');
  return limits;
}

function podTolerationsOf(fields: Fields): PodTolerationConfiguration {
  checkKind(fields, ['podtolerationrestriction.admission.k8s.io/v1alpha1'], 'Configuration');
  type Tolerations = NonNullable<PodTolerationConfiguration['default']>;
  return { default: list(fields['default']) as Tolerations, whitelist: list(fields['whitelist']) as Tolerations };
}

function limitedResourcesOf(fields: Fields): readonly LimitedResource[] {
  const old = 'resourcequota.admission.k8s.io';
  const versions = ['apiserver.config.k8s.io/v1', ...['v1', 'v1beta1', 'v1alpha1'].map(each => `${old}/${each}`)];
  checkKind(fields, versions, ['ResourceQuotaConfiguration', 'Configuration']);
  return list(fields['limitedResources']).map(each => {
    const { apiGroup = '', resource = '', matchContains, matchScopes } = object(each);
    return {
      apiGroup: String(apiGroup),
      resource: String(resource),
      matchContains: strings(matchContains),
      matchScopes: list(matchScopes).map(scope => {
        const { scopeName, operator, values } = object(scope);
        return { scopeName: String(scopeName), operator: String(operator), values: strings(values) };
      }),
    };
  });
}

/** Upstream's bounds of what the file says; negative: no pause, nothing kept. */
const imagePolicyBounds = {
  allowTTL: { unitMs: 1000, least: 1, most: 1800, otherwise: 300 },
  denyTTL: { unitMs: 1000, least: 1, most: 1800, otherwise: 30 },
  retryBackoff: { unitMs: 1, least: 1, most: 300_000, otherwise: 500 },
} as const;
const imagePolicyTimeoutMs = 30_000;

async function imagePolicyOf(
  fields: Fields,
  directory: string,
  { clock, signal }: { readonly clock: Clock; readonly signal: AbortSignal },
): Promise<ImagePolicy> {
  const { kubeConfigFile, defaultAllow, ...numbers } = object(fields['imagePolicy'] ?? {});
  if (typeof kubeConfigFile !== 'string' || kubeConfigFile === '')
    throw new Error('cannot configure the admission plugin ImagePolicyWebhook: imagePolicy.kubeConfigFile is missing');
  const millis = (name: keyof typeof imagePolicyBounds) => {
    const { unitMs, least, most, otherwise } = imagePolicyBounds[name];
    const said = numbers[name];
    if (said === undefined || said === 0) return otherwise * unitMs;
    if (typeof said === 'number' && said < 0) return 0;
    if (typeof said !== 'number' || said < least || said > most)
      throw new Error(
        `cannot configure the admission plugin ImagePolicyWebhook: valid value of ${name} is between ${least} and ${most}, got ${String(said)}`,
      );
    return said * unitMs;
  };
  const { endpointFromKubeconfig, outgoingTo } = await import('#auth/outgoing.ts');
  const endpoint = await endpointFromKubeconfig(resolve(directory, kubeConfigFile));
  const outgoing = outgoingTo(endpoint, { clock, timeoutMs: imagePolicyTimeoutMs, signal });
  signal.addEventListener('abort', () => outgoing[Symbol.dispose](), { once: true });
  return {
    review: body => outgoing.post(body),
    allowTtlMs: millis('allowTTL'),
    denyTtlMs: millis('denyTTL'),
    retryBackoffMs: millis('retryBackoff'),
    defaultAllow: defaultAllow === true,
  };
}

function kubeconfigOf(fields: Fields, directory: string): string {
  const old = 'apiserver.config.k8s.io/v1alpha1';
  const versions = ['apiserver.config.k8s.io/v1', old];
  checkKind(fields, versions, ['WebhookAdmissionConfiguration', 'WebhookAdmission']);
  const { kubeConfigFile } = fields;
  if (typeof kubeConfigFile !== 'string' || kubeConfigFile === '') throw new Error('kubeConfigFile is missing');
  return resolve(directory, kubeConfigFile);
}

/** Users of the kubeconfig are named after who is called: a host, `*.domain`, or `*` for everybody. */
async function credentialsFrom(file: string): Promise<CredentialsFor> {
  const users = new Map<string, WebhookCredentials>();
  for (const each of list((await documentAt(file))['users'])) {
    const { name, user } = object(each);
    if (typeof name === 'string') users.set(name, await credentialsOf(object(user ?? {}), dirname(file)));
  }
  return host => {
    const exact = users.get(host);
    if (exact) return exact;
    const steps = host.split('.');
    for (let at = 1; at < steps.length; at++) {
      const found = users.get(`*.${steps.slice(at).join('.')}`);
      if (found) return found;
    }
    return users.get('*');
  };
}

async function credentialsOf(user: Fields, directory: string): Promise<WebhookCredentials> {
  const pem = async (name: string) => {
    const data = user[`${name}-data`];
    if (typeof data === 'string') return Buffer.from(data, 'base64').toString();
    const file = user[name];
    return typeof file === 'string' ? readFile(resolve(directory, file), 'utf8') : undefined;
  };
  const [certPem, keyPem] = await Promise.all([pem('client-certificate'), pem('client-key')]);
  const { token, tokenFile, username, password } = user;
  const bearer = typeof tokenFile === 'string' ? (await readFile(resolve(directory, tokenFile), 'utf8')).trim() : token;
  const authorization =
    typeof bearer === 'string'
      ? `Bearer ${bearer}`
      : typeof username === 'string'
        ? `Basic ${Buffer.from(`${username}:${String(password ?? '')}`).toString('base64')}`
        : undefined;
  return {
    ...(certPem !== undefined && { certPem }),
    ...(keyPem !== undefined && { keyPem }),
    ...(authorization !== undefined && { authorization }),
  };
}

async function documentAt(file: string): Promise<Fields> {
  try {
    return object(decodeYaml(await readFile(file, 'utf8')));
  } catch (error) {
    throw new Error(`cannot read ${file}: ${(error as Error).message}`, { cause: error });
  }
}

function checkKind(fields: Fields, versions: readonly string[], kinds: string | readonly string[]): void {
  const { apiVersion, kind } = fields;
  if (versions.includes(String(apiVersion)) && [kinds].flat().includes(String(kind))) return;
  throw new Error(
    `no kind ${JSON.stringify(kind ?? '')} is registered for version ${JSON.stringify(apiVersion ?? '')}; known is ${[kinds].flat()[0]} of ${versions.join(', ')}`,
  );
}

function object(value: unknown): Fields {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new Error('it is no object');
  return value as Fields;
}

function list(value: unknown): readonly unknown[] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) throw new Error('a list was expected');
  return value;
}

function strings(value: unknown): readonly string[] {
  return list(value).map(String);
}

function texts(value: unknown): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(object(value)).map(([name, each]) => [name, String(each)]));
}

function isPositive(value: unknown): value is number {
  return Number.isInteger(value) && (value as number) > 0;
}
