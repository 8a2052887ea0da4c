import { trackUpdate } from '#api/machinery/apply/apply.ts';
import { decodeObject } from '#api/machinery/decode.ts';
import { defaultObject } from '#api/machinery/defaults.ts';
import { apiVersionOf, type ApiObject, type Draft, type Kind, type Partly } from '#api/machinery/kind.ts';
import type { Json } from '#api/machinery/schema.ts';
import { formatTime } from '#api/machinery/time.ts';
import type { Foundation } from './call.ts';
import { copyOf } from './copy.ts';
import { hasGeneration } from './create-object.ts';
import { keyOf } from './registry.ts';
import { StaleError } from './writer.ts';

/** Puts an object of the server's own making into the store, unless there is one of its name. */
export type Seed = <Type extends ApiObject>(kind: Kind<Type>, object: Partly<Type>) => Promise<void>;

/**
 * For the hundred objects that every cluster begins with: they are known to be good, so nobody admits or validates them,
 * which is half of a start in a test.
 */
export function seedOf({ registry, writer, clock, random }: Foundation): Seed {
  return async (kind, object) => {
    const of = kind as unknown as Kind;
    const { metadata, ...rest } = decodeObject(of.schema, copyOf(object) as unknown as Json, { unknown: 'drop' })
      .object as unknown as Draft<ApiObject>;
    const nowMs = clock.now();
    const draft = {
      apiVersion: apiVersionOf(of),
      kind: of.kind,
      metadata: {
        ...metadata,
        uid: random.uuid(),
        ...(hasGeneration(of) && { generation: 1 }),
        creationTimestamp: formatTime(nowMs),
      },
      ...rest,
    } as Draft<ApiObject>;
    defaultObject(of, draft as never);
    trackUpdate({ kind: of, old: undefined, updated: draft, manager: 'kube-apiserver', nowMs });
    const { namespace = '', name = '' } = draft.metadata;
    try {
      await writer.create(registry.of(of), keyOf(of, namespace, name), draft as ApiObject);
    } catch (error) {
      // Another API server may be starting at the same time.
      if (!(error instanceof StaleError)) throw error;
    }
  };
}
