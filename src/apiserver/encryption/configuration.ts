import { Report } from '#api/machinery/validation.ts';
import { parseGoDuration } from '#api/machinery/duration.ts';
import { readConfiguration, type Shape } from '#auth/configuration-file.ts';

export interface EncryptionConfiguration {
  readonly resources: readonly ResourceConfiguration[];
}

export interface ResourceConfiguration {
  /** `secrets`, `deployments.apps`, `*.apps`, `*.` (the core group), `*.*`. */
  readonly resources: readonly string[];
  readonly providers: readonly ProviderConfiguration[];
}

export type ProviderConfiguration =
  | { readonly type: 'aescbc' | 'aesgcm' | 'secretbox'; readonly keys: readonly NamedKey[] }
  | { readonly type: 'identity' }
  | { readonly type: 'kms'; readonly name: string; readonly socket: string; readonly timeoutMs: number };

export interface NamedKey {
  readonly name: string;
  readonly secret: Uint8Array;
}

const keys: Shape = { keys: [{ name: 'string', secret: 'string' }] };
const shape: Shape = {
  resources: [
    {
      resources: 'strings',
      providers: [
        {
          aescbc: keys,
          aesgcm: keys,
          secretbox: keys,
          identity: {},
          kms: {
            apiVersion: 'string',
            name: 'string',
            cachesize: 'number',
            endpoint: 'string',
            timeout: 'string',
          },
        },
      ],
    },
  ],
};

interface Wire {
  readonly resources?: readonly {
    readonly resources?: readonly string[];
    readonly providers?: readonly WireProvider[];
  }[];
}

interface WireProvider {
  readonly aescbc?: { readonly keys?: readonly WireKey[] };
  readonly aesgcm?: { readonly keys?: readonly WireKey[] };
  readonly secretbox?: { readonly keys?: readonly WireKey[] };
  readonly identity?: object;
  readonly kms?: WireKms;
}

interface WireKey {
  readonly name?: string;
  readonly secret?: string;
}

interface WireKms {
  readonly apiVersion?: string;
  readonly name?: string;
  readonly cachesize?: number;
  readonly endpoint?: string;
  readonly timeout?: string;
}

const keyTypes = ['aescbc', 'aesgcm', 'secretbox'] as const;
const aesKeyBytes = [16, 24, 32];
const defaultTimeoutMs = 3_000;

/** Reads a configuration file's text. Throws a sentence for what upstream refuses. */
export function parseEncryptionConfiguration(text: string, file: string): EncryptionConfiguration {
  if (text.length === 0) throw new Error(`encryption provider configuration file ${JSON.stringify(file)} is empty`);
  let wire: Wire;
  try {
    wire = readConfiguration(text, 'EncryptionConfiguration', ['v1'], shape) as Wire;
  } catch (error) {
    throw new Error(
      `error decoding encryption provider configuration file ${JSON.stringify(file)}: ${(error as Error).message}`,
      { cause: error },
    );
  }
  const report = new Report();
  const resources = wire.resources ?? [];
  if (resources.length === 0) report.at('resources').required('at least one resources is required');
  const names = new Set<string>();
  const configuration = resources.map((each, index) => {
    const at = report.at('resources').index(index);
    checkResources(each.resources ?? [], at.at('resources'));
    const { providers = [] } = each;
    if (providers.length === 0) at.at('providers').required(`at least one ${at.at('providers').path} is required`);
    return {
      resources: each.resources ?? [],
      providers: providers.flatMap((provider, position) =>
        providerOf(provider, at.at('providers').index(position), names),
      ),
    };
  });
  const problems = report.errors.map(({ field, message }) => `${field}: ${message}`);
  if (problems.length > 0)
    throw new Error(
      `the encryption provider configuration file ${JSON.stringify(file)} is wrong: ${problems.join(', ')}`,
    );
  checkMasked(configuration, file);
  return { resources: configuration };
}

export interface GroupResource {
  readonly group: string;
  readonly resource: string;
}

/** `deployments.apps`: the resource stands before the first dot. */
export function groupResourceOf(text: string): GroupResource {
  const dot = text.indexOf('.');
  return dot < 0 ? { resource: text, group: '' } : { resource: text.slice(0, dot), group: text.slice(dot + 1) };
}

function checkResources(resources: readonly string[], report: Report): void {
  if (resources.length === 0) report.required(`at least one ${report.path} is required`);
  const parsed = resources.map(groupResourceOf);
  const same = (a: GroupResource, b: GroupResource) => a.group === b.group && a.resource === b.resource;
  const pairs = parsed.flatMap((a, index) => parsed.filter((_, other) => other !== index).map(b => [a, b] as const));
  if (pairs.some(([a, b]) => same(a, b)))
    report.invalid(resources, 'the same resource cannot be specified multiple times');
  const overlap = ([a, b]: readonly [GroupResource, GroupResource]) =>
    !same(a, b) &&
    ((a.group === '*' && a.resource === '*') || (a.group === b.group && (a.resource === '*' || b.resource === '*')));
  if (pairs.some(overlap))
    report.invalid(
      resources,
      "using overlapping resources such as 'secrets' and '*.' in the same resource list is not allowed as they will be masked",
    );
  for (const [index, resource] of resources.entries()) {
    const why = wrongName(resource);
    if (why !== undefined) report.index(index).invalid(resource, why);
  }
}

function wrongName(name: string): string | undefined {
  if (name.toLowerCase() !== name) return 'resource name should not contain capital letters';
  if (name === '*') return "use '*.' to encrypt all the resources from core API group or *.* to encrypt all resources";
  if (['apiserveripinfo', 'serviceipallocations', 'servicenodeportallocations'].includes(name))
    return 'resources which do not have REST API/s cannot be encrypted';
  const { group, resource } = groupResourceOf(name);
  if (group === 'events.k8s.io')
    return "'*.events.k8s.io' objects are stored using the 'events' API group in etcd. Use 'events' instead in the config file";
  if (group === 'extensions') return "'extensions' group has been removed and cannot be used for encryption";
  if (group === '*' && resource !== '*') return 'encrypting the same resource across groups is not supported';
  return undefined;
}

function providerOf(provider: WireProvider, report: Report, names: Set<string>): readonly ProviderConfiguration[] {
  const found = Object.entries(provider).filter(([, value]) => value !== null && value !== undefined);
  if (found.length === 0) {
    report.invalid(
      {},
      'provider does not contain any of the expected providers: KMS, AESGCM, AESCBC, Secretbox, Identity',
    );
    return [];
  }
  if (found.length > 1) {
    // The value would show the keys.
    report.invalid(
      found.map(([name]) => name),
      'more than one provider specified in a single element, should split into different list elements',
    );
    return [];
  }
  if (provider.kms) return kmsOf(provider.kms, report.at('kms'), names);
  for (const type of keyTypes) {
    const wire = provider[type];
    if (wire) return [{ type, keys: keysOf(wire.keys ?? [], type, report.at(type, 'keys')) }];
  }
  return [{ type: 'identity' }];
}

function keysOf(wire: readonly WireKey[], type: (typeof keyTypes)[number], report: Report): readonly NamedKey[] {
  if (wire.length === 0) report.required('at least one keys is required');
  const lengths = type === 'secretbox' ? [32] : aesKeyBytes;
  return wire.flatMap(({ name = '', secret = '' }, index) => {
    const at = report.index(index);
    if (name === '') at.at('name').required('name is a mandatory field for a key');
    if (secret === '') {
      at.at('secret').required('secret is a mandatory field for a key');
      return [];
    }
    const bytes = Buffer.from(secret, 'base64');
    if (bytes.toString('base64') !== secret) {
      at.at('secret').invalid('REDACTED', 'secrets must be base64 encoded');
      return [];
    }
    if (!lengths.includes(bytes.length))
      at.at('secret').invalid(
        'REDACTED',
        `secret is not of the expected length, got ${bytes.length}, expected one of [${lengths.join(' ')}]`,
      );
    return [{ name, secret: bytes }];
  });
}

function kmsOf(wire: WireKms, report: Report, names: Set<string>): readonly ProviderConfiguration[] {
  const { apiVersion = 'v1', name = '', endpoint = '', timeout } = wire;
  if (apiVersion === 'v1') {
    report
      .at('apiVersion')
      .invalid(
        apiVersion,
        'KMSv1 is deprecated and will only receive security updates going forward; it is not served here: use KMSv2 (apiVersion: v2) instead',
      );
    return [];
  }
  if (name === '') report.at('name').required('name is a mandatory field for a provider');
  if (name.includes(':')) report.at('name').invalid(name, `invalid KMS provider name ${name}, must not contain ':'`);
  if (names.has(name)) report.at('name').invalid(name, `duplicate KMS provider name ${name}, names must be unique`);
  names.add(name);
  let timeoutMs = defaultTimeoutMs;
  if (timeout !== undefined) {
    try {
      timeoutMs = parseGoDuration(timeout);
    } catch (error) {
      report.at('timeout').invalid(timeout, (error as Error).message);
    }
    if (timeoutMs <= 0) report.at('timeout').invalid(timeout, 'timeout should be a positive value');
  }
  const at = report.at('endpoint');
  const [scheme, socket] = splitScheme(endpoint);
  if (endpoint === '') at.invalid('', 'endpoint is a mandatory field for a kms');
  else if (scheme !== 'unix')
    at.invalid(endpoint, `unsupported scheme ${JSON.stringify(scheme)} for KMS provider, only unix is supported`);
  if (wire.cachesize !== undefined) report.at('cachesize').invalid(wire.cachesize, 'cachesize is not supported in v2');
  if (apiVersion !== 'v2')
    report
      .at('apiVersion')
      .invalid(apiVersion, 'unsupported apiVersion apiVersion for KMS provider, only v1 and v2 are supported');
  return [{ type: 'kms', name, socket, timeoutMs }];
}

/** `unix:///run/kms.sock`, and `unix:@name` for Linux' abstract sockets. */
function splitScheme(endpoint: string): readonly [string, string] {
  const colon = endpoint.indexOf(':');
  return [endpoint.slice(0, colon), endpoint.slice(colon + 1).replace(/^\/\//, '')];
}

/** What an earlier rule has for all is never reached by a later one. */
function checkMasked(resources: readonly ResourceConfiguration[], file: string): void {
  const wildcards: string[] = [];
  for (const each of resources) {
    for (const name of each.resources) {
      const { group } = groupResourceOf(name);
      const mask = wildcards.find(wildcard => wildcard === '*.*' || groupResourceOf(wildcard).group === group);
      if (mask !== undefined)
        throw new Error(
          `the encryption provider configuration file ${JSON.stringify(file)} is wrong: resource ${JSON.stringify(name)} is masked by earlier rule ${JSON.stringify(mask)}`,
        );
    }
    wildcards.push(...each.resources.filter(name => groupResourceOf(name).resource === '*'));
  }
}
