import { createHash } from 'node:crypto';
import type { Pod } from '#api/core/v1/pod.ts';
import type { Container } from '#api/core/v1/pod-spec.ts';

/** Labels and annotations in the runtime, by upstream's names, so that crictl and others understand them. */
export const labels = {
  podName: 'io.kubernetes.pod.name',
  podNamespace: 'io.kubernetes.pod.namespace',
  podUid: 'io.kubernetes.pod.uid',
  containerName: 'io.kubernetes.container.name',
} as const;

export const annotations = {
  hash: 'io.kubernetes.container.hash',
  restartCount: 'io.kubernetes.container.restartCount',
  terminationMessagePath: 'io.kubernetes.container.terminationMessagePath',
  terminationMessagePolicy: 'io.kubernetes.container.terminationMessagePolicy',
  graceSeconds: 'io.kubernetes.pod.terminationGracePeriod',
} as const;

/** Marks this node agent's sandboxes among those of other nodes on the same machine. */
export const nodeLabel = 'windlass.dev/node';

/** Where a pod came from and what it is a picture of, by upstream's annotations. */
export const sourceAnnotations = {
  source: 'kubernetes.io/config.source',
  hash: 'kubernetes.io/config.hash',
  seen: 'kubernetes.io/config.seen',
  mirror: 'kubernetes.io/config.mirror',
} as const;

/** From a file of the node, not from the API. */
export function isStatic({ metadata }: Pod): boolean {
  const source = metadata.annotations?.[sourceAnnotations.source];
  return source !== undefined && source !== 'api';
}

/** The API's picture of a static pod. */
export function isMirror({ metadata }: Pod): boolean {
  return metadata.annotations?.[sourceAnnotations.mirror] !== undefined;
}

/** `name_namespace(uid)`, as upstream's messages have it. */
export function podText({ metadata }: Pod): string {
  return `${metadata.name}_${metadata.namespace}(${metadata.uid})`;
}

/** A container with another hash has to be replaced. Only name and image count: the rest cannot change or is resized. */
export function containerHash({ name, image }: Container): string {
  return createHash('sha256')
    .update(JSON.stringify([name, image]))
    .digest('hex')
    .slice(0, 8);
}

export function isSidecar(container: Container): boolean {
  return container.restartPolicy === 'Always';
}

/** Go's way to print a duration: `12ms`, `1.5s`, `1m10s`. */
export function durationText(ms: number): string {
  if (ms <= 0) return '0s';
  if (ms < 1000) return `${Math.round(ms)}ms`;
  const hours = Math.floor(ms / 3_600_000);
  const minutes = Math.floor((ms % 3_600_000) / 60_000);
  const seconds = `${Number(((ms % 60_000) / 1000).toFixed(3))}s`;
  if (hours > 0) return `${hours}h${minutes}m${seconds}`;
  return minutes > 0 ? `${minutes}m${seconds}` : seconds;
}
