import { parseFieldSelector } from '#api/machinery/selector.ts';
import type { RequestInfo } from '../request-info.ts';

/** Counts the watches that a write would be told to, by resource, namespace and name. */
export class WatchTracker {
  readonly #counts = new Map<string, number>();

  /** The returned function takes the watch out again. */
  add(info: RequestInfo): () => void {
    // Each pod is told to one of the many watchers that select a node; counting them all would be far off.
    if (info.resource === 'pods' && selectsNode(info.fieldSelector)) return () => {};
    const key = keyOf(info.group, info.resource, info.namespace, info.name);
    this.#counts.set(key, (this.#counts.get(key) ?? 0) + 1);
    return () => {
      const left = (this.#counts.get(key) ?? 0) - 1;
      if (left > 0) this.#counts.set(key, left);
      else this.#counts.delete(key);
    };
  }

  /** How many watches may be told of a write. */
  interested({ group, resource, namespace, name }: RequestInfo): number {
    if (this.#counts.size === 0) return 0;
    let count = this.#counts.get(keyOf(group, resource, '', '')) ?? 0;
    if (namespace !== '') count += this.#counts.get(keyOf(group, resource, namespace, '')) ?? 0;
    if (name !== '') count += this.#counts.get(keyOf(group, resource, namespace, name)) ?? 0;
    return count;
  }
}

function keyOf(group: string, resource: string, namespace: string, name: string): string {
  return `${resource}.${group}/${namespace}/${name}`;
}

function selectsNode(selector: string | undefined): boolean {
  if (selector === undefined || !selector.includes('spec.nodeName')) return false;
  try {
    return parseFieldSelector(selector).some(
      ({ field, operator, value }) => field === 'spec.nodeName' && operator === '=' && value !== '',
    );
  } catch {
    // A selector that cannot be read is refused where it is used.
    return false;
  }
}
