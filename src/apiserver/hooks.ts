import type { ApiObject, Kind } from '#api/machinery/kind.ts';

/** Something that a write has taken (an address, a port) and gives back when the write fails. */
export interface Allocation {
  release(): void;
}

/** What some kinds need beyond their own definition, because it looks at other objects. */
export interface KindHook {
  /** Takes what the object needs, after validation, just before it is stored. Changes the object. */
  allocate?(object: ApiObject, old: ApiObject | undefined, dryRun: boolean): Allocation | undefined;
}

/** Kind name → its hook. */
export class Hooks {
  readonly #hooks: ReadonlyMap<string, KindHook>;

  constructor(hooks: ReadonlyMap<string, KindHook>) {
    this.#hooks = hooks;
  }

  allocate(kind: Kind, object: ApiObject, old: ApiObject | undefined, dryRun: boolean): Allocation | undefined {
    if (kind.group !== '') return undefined;
    return this.#hooks.get(kind.kind)?.allocate?.(object, old, dryRun);
  }
}
