import type { ConfigMap } from '#api/core/v1/config-map.ts';
import type { Pod } from '#api/core/v1/pod.ts';
import type { DownwardAPIVolumeFile, KeyToPath } from '#api/core/v1/pod-spec.ts';
import type { Secret } from '#api/core/v1/secret.ts';
import type { Node } from '#api/core/v1/node.ts';
import type { ProjectedFile } from './atomic-writer.ts';
import { fieldValue, resourceValue } from './downward-api.ts';

export type Payload = Map<string, ProjectedFile>;

/** The files of a ConfigMap. An optional one that is missing, or lacks a key, gives none. */
export function configMapFiles(
  object: ConfigMap | undefined,
  options: { name: string; items: readonly KeyToPath[] | undefined; mode: number; optional: boolean },
): Payload {
  if (!object && !options.optional) throw new Error(`configmap ${JSON.stringify(options.name)} not found`);
  const data = new Map<string, Uint8Array>();
  for (const [key, value] of Object.entries(object?.data ?? {})) data.set(key, Buffer.from(value));
  for (const [key, value] of Object.entries(object?.binaryData ?? {})) data.set(key, Buffer.from(value, 'base64'));
  return chosen(data, options, 'configmap');
}

export function secretFiles(
  object: Secret | undefined,
  options: { name: string; items: readonly KeyToPath[] | undefined; mode: number; optional: boolean },
): Payload {
  if (!object && !options.optional) throw new Error(`secret ${JSON.stringify(options.name)} not found`);
  const data = new Map<string, Uint8Array>();
  for (const [key, value] of Object.entries(object?.data ?? {})) data.set(key, Buffer.from(value, 'base64'));
  return chosen(data, options, 'secret');
}

function chosen(
  data: ReadonlyMap<string, Uint8Array>,
  { items, mode, optional }: { items: readonly KeyToPath[] | undefined; mode: number; optional: boolean },
  what: 'configmap' | 'secret',
): Payload {
  const files: Payload = new Map();
  if (!items?.length) {
    for (const [key, content] of data) files.set(key, { content, mode });
    return files;
  }
  for (const item of items) {
    const content = data.get(item.key);
    if (content) files.set(item.path, { content, mode: item.mode ?? mode });
    else if (!optional)
      throw new Error(
        `${what === 'configmap' ? 'configmap' : 'secret'} references non-existent ${what === 'configmap' ? 'config' : 'secret'} key: ${item.key}`,
      );
  }
  return files;
}

export function downwardFiles(
  items: readonly DownwardAPIVolumeFile[] | undefined,
  mode: number,
  pod: Pod,
  node: Node | undefined,
): Payload {
  const files: Payload = new Map();
  for (const item of items ?? []) {
    const text = item.fieldRef
      ? fieldValue(item.fieldRef, pod)
      : item.resourceFieldRef
        ? resourceValue(item.resourceFieldRef, pod, undefined, node)
        : '';
    files.set(item.path, { content: Buffer.from(text), mode: item.mode ?? mode });
  }
  return files;
}
