import type { ConfigMap } from '#api/core/v1/config-map.ts';
import type { Node } from '#api/core/v1/node.ts';
import type { Pod } from '#api/core/v1/pod.ts';
import type { Container, EnvFromSource, EnvVarSource } from '#api/core/v1/pod-spec.ts';
import type { Secret } from '#api/core/v1/secret.ts';
import type { Service } from '#api/core/v1/service.ts';
import { fieldValue, resourceValue, type PodPlace } from '#volumes/downward-api.ts';
import { expand } from './expansion.ts';
import { serviceEnvironment } from './services.ts';

export interface EnvironmentSources {
  configMap(namespace: string, name: string): Promise<ConfigMap | undefined>;
  secret(namespace: string, name: string): Promise<Secret | undefined>;
  /** The Services of a namespace. */
  services(namespace: string): Iterable<Service>;
  node(): Node | undefined;
}

/**
 * The environment of a container. Later definitions win: Services, then `envFrom`, then `env`. Throws with upstream's
 * words when something it needs is missing.
 */
export async function environmentOf(
  pod: Pod,
  container: Container,
  place: PodPlace,
  sources: EnvironmentSources,
): Promise<Map<string, string>> {
  const result = new Map<string, string>();
  for (const source of container.envFrom ?? [])
    for (const [key, value] of await allOf(source, pod, sources)) result.set(`${source.prefix ?? ''}${key}`, value);
  const services = serviceEnvironment(linkedServices(pod, sources));
  const lookUp = (name: string) => result.get(name) ?? services.get(name);
  for (const { name, value, valueFrom } of container.env ?? []) {
    if (valueFrom) {
      const found = await valueOf(valueFrom, pod, container, place, sources);
      if (found !== undefined) result.set(name, found);
    } else result.set(name, expand(value ?? '', lookUp));
  }
  for (const [name, value] of services) if (!result.has(name)) result.set(name, value);
  return result;
}

/** Every pod knows the API server; the other Services of its namespace unless it does not want them. */
function linkedServices(pod: Pod, sources: EnvironmentSources): Iterable<Service> {
  const own = [...sources.services(pod.metadata.namespace ?? '')];
  const linked = pod.spec?.enableServiceLinks === false ? [] : own;
  if (linked.some(({ metadata }) => metadata.name === 'kubernetes')) return linked;
  const api = [...sources.services('default')].filter(({ metadata }) => metadata.name === 'kubernetes');
  return [...linked, ...api];
}

async function allOf(source: EnvFromSource, pod: Pod, sources: EnvironmentSources): Promise<Map<string, string>> {
  const namespace = pod.metadata.namespace ?? '';
  const { configMapRef, secretRef } = source;
  if (configMapRef) {
    const { name = '', optional = false } = configMapRef;
    const found = await sources.configMap(namespace, name);
    if (!found && !optional) throw new Error(`configmap ${JSON.stringify(name)} not found`);
    return usable(new Map(Object.entries(found?.data ?? {})));
  }
  if (secretRef) {
    const { name = '', optional = false } = secretRef;
    const found = await sources.secret(namespace, name);
    if (!found && !optional) throw new Error(`secret ${JSON.stringify(name)} not found`);
    return usable(new Map(Object.entries(found?.data ?? {}).map(([key, value]) => [key, decoded(value)])));
  }
  return new Map();
}

/** A variable's name is anything but empty, and has no equals sign. */
function usable(values: Map<string, string>): Map<string, string> {
  for (const key of values.keys()) if (key === '' || key.includes('=')) values.delete(key);
  return values;
}

async function valueOf(
  from: EnvVarSource,
  pod: Pod,
  container: Container,
  place: PodPlace,
  sources: EnvironmentSources,
): Promise<string | undefined> {
  const namespace = pod.metadata.namespace ?? '';
  const { fieldRef, resourceFieldRef, configMapKeyRef, secretKeyRef } = from;
  if (fieldRef) return fieldValue(fieldRef, pod, place);
  if (resourceFieldRef) return resourceValue(resourceFieldRef, pod, container, sources.node());
  if (configMapKeyRef) {
    const { name = '', key, optional = false } = configMapKeyRef;
    const object = await sources.configMap(namespace, name);
    if (!object && !optional) throw new Error(`configmap ${JSON.stringify(name)} not found`);
    const value = own(object?.data, key);
    if (value === undefined && !optional) throw new Error(`couldn't find key ${key} in ConfigMap ${namespace}/${name}`);
    return value;
  }
  if (secretKeyRef) {
    const { name = '', key, optional = false } = secretKeyRef;
    const object = await sources.secret(namespace, name);
    if (!object && !optional) throw new Error(`secret ${JSON.stringify(name)} not found`);
    const value = own(object?.data, key);
    if (value === undefined && !optional) throw new Error(`couldn't find key ${key} in Secret ${namespace}/${name}`);
    return value === undefined ? undefined : decoded(value);
  }
  throw new Error(
    `the source ${Object.keys(from).join(', ')} of an environment variable is not supported by this node`,
  );
}

function own(values: Readonly<Record<string, string>> | undefined, key: string): string | undefined {
  return values && Object.hasOwn(values, key) ? values[key] : undefined;
}

function decoded(base64: string): string {
  return Buffer.from(base64, 'base64').toString();
}
