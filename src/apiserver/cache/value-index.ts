import type { ApiObject } from '#api/machinery/kind.ts';
import type { CachedObject } from './entry.ts';

/** Which objects have which value of one label or field. Made when first asked for, then kept current. */
export class ValueIndex {
  readonly #read: (object: ApiObject) => string | undefined;
  readonly #keys = new Map<string, Set<string>>();

  constructor(read: (object: ApiObject) => string | undefined, objects: Iterable<CachedObject>) {
    this.#read = read;
    for (const entry of objects) this.#add(this.#read(entry.object), entry.key);
  }

  /** Keys of the objects with one of the values; unordered. */
  keysOf(values: readonly string[]): string[] {
    return values.flatMap(value => [...(this.#keys.get(value) ?? [])]);
  }

  countOf(values: readonly string[]): number {
    let count = 0;
    for (const value of values) count += this.#keys.get(value)?.size ?? 0;
    return count;
  }

  update(key: string, before: ApiObject | undefined, after: ApiObject | undefined): void {
    const old = before && this.#read(before);
    const now = after && this.#read(after);
    if (old === now) return;
    if (old !== undefined) this.#remove(old, key);
    this.#add(now, key);
  }

  #add(value: string | undefined, key: string): void {
    if (value === undefined) return;
    const keys = this.#keys.get(value);
    if (keys) keys.add(key);
    else this.#keys.set(value, new Set([key]));
  }

  #remove(value: string, key: string): void {
    const keys = this.#keys.get(value);
    keys?.delete(key);
    if (keys?.size === 0) this.#keys.delete(value);
  }
}
