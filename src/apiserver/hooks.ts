import type { ApiObject, Kind } from '#api/machinery/kind.ts';

/** Something that a write has taken (an address, a port). */
export interface Allocation {
  /** The write has failed, or was only tried: gives it back. */
  release(): Promise<void>;
  /** The write is done: gives back what the old object had and the new one has not. */
  settle(): Promise<void>;
}

/** What some kinds need beyond their own definition, because it looks at other objects. */
export interface KindHook {
  /** Takes what the object needs, after validation, just before it is stored. Changes the object. */
  allocate?(object: ApiObject, old: ApiObject | undefined, dryRun: boolean): Promise<Allocation>;
  /** The object is gone: gives back what it had. */
  deleted?(object: ApiObject): Promise<void>;
}

/** Kind name → its hook. */
export class Hooks {
  readonly #hooks: ReadonlyMap<string, KindHook>;

  constructor(hooks: ReadonlyMap<string, KindHook>) {
    this.#hooks = hooks;
  }

  /** Whether something changes objects of the kind after they were validated. */
  changes(kind: Kind): boolean {
    return this.#of(kind)?.allocate !== undefined;
  }

  /** Undefined for kinds that take nothing. */
  allocate(
    kind: Kind,
    object: ApiObject,
    old: ApiObject | undefined,
    dryRun: boolean,
  ): Promise<Allocation> | undefined {
    return this.#of(kind)?.allocate?.(object, old, dryRun);
  }

  deleted(kind: Kind, object: ApiObject): Promise<void> | undefined {
    return this.#of(kind)?.deleted?.(object);
  }

  #of(kind: Kind): KindHook | undefined {
    return kind.group === '' ? this.#hooks.get(kind.kind) : undefined;
  }
}
