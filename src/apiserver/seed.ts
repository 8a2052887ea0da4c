import { trackUpdate } from '#api/machinery/apply/apply.ts';
import { decodeObject } from '#api/machinery/decode.ts';
import { defaultObject } from '#api/machinery/defaults.ts';
import { apiVersionOf, type ApiObject, type Draft, type Kind, type Partly } from '#api/machinery/kind.ts';
import type { Json } from '#api/machinery/schema.ts';
import { loopbackAdmin } from '#auth/user.ts';
import type { Foundation } from './call.ts';
import { copyOf } from './copy.ts';
import { prepareForCreate, store } from './create-object.ts';
import { keyOf } from './registry.ts';
import { StaleError } from './writer.ts';

/** Puts an object of the server's own making into the store, unless there is one of its name; says whether it did. */
export type Seed = <Type extends ApiObject>(kind: Kind<Type>, object: Partly<Type>) => Promise<boolean>;

/**
 * For the two hundred objects that every cluster begins with: they are known to be good, so nobody admits or validates
 * them, which is half of a start in a test.
 */
export function seedOf(foundation: Foundation): Seed {
  const { registry, cache, clock, random } = foundation;
  return async (kind, object) => {
    const of = kind as unknown as Kind;
    const resource = registry.of(of);
    const { name = '', namespace = '' } = object.metadata ?? {};
    const key = keyOf(of, namespace, name);
    if (resource.cache.get(key)) return false;
    const { metadata, ...rest } = decodeObject(of.schema, copyOf(object) as unknown as Json, { unknown: 'drop' })
      .object as unknown as Draft<ApiObject>;
    const nowMs = clock.now();
    const draft = { apiVersion: apiVersionOf(of), kind: of.kind, metadata, ...rest } as Draft<ApiObject>;
    defaultObject(of, draft as never);
    trackUpdate({ kind: of, old: undefined, updated: draft, manager: 'kube-apiserver', nowMs });
    prepareForCreate(of, draft, nowMs, random.uuid(), loopbackAdmin);
    try {
      await store(foundation, resource, draft, false);
      return true;
    } catch (error) {
      // Another API server may be starting at the same time, and have taken the name, or the address.
      if (error instanceof StaleError) return false;
      if (cache.isShared) await cache.catchUp();
      if (resource.cache.get(key)) return false;
      throw error;
    }
  };
}
