import type { ApiObject, Kind } from '#api/machinery/kind.ts';
import { ApiError } from '#api/machinery/errors.ts';
import type { Trial } from './conformance.ts';

interface Where {
  /** The test's own without; `null` for what has none. */
  readonly namespace?: string | null;
  readonly withinMs?: number;
}

/** An object as the API has it: named. */
export type Stored<Type extends ApiObject> = Type & {
  readonly metadata: { readonly name: string; readonly uid: string; readonly resourceVersion: string };
};

/** Resolves with the object as soon as it is as wanted; it need not be there yet. Woken by a watch, not by the clock. */
export async function until<Type extends ApiObject>(
  t: Trial,
  kind: Kind<Type>,
  name: string,
  what: string,
  condition: (object: Type) => boolean,
  where: Where = {},
): Promise<Stored<Type>> {
  const holds = (object: Type | undefined) => (object && condition(object) ? (object as Stored<Type>) : undefined);
  return follow(t, kind, name, what, holds, where);
}

/** Resolves when there is no such object any more (or yet). */
export async function untilGone(t: Trial, kind: Kind, name: string, where: Where = {}): Promise<void> {
  await follow<ApiObject, true>(t, kind, name, 'it is gone', object => (object ? undefined : true), where);
}

async function follow<Type extends ApiObject, Value>(
  t: Trial,
  kind: Kind<Type>,
  name: string,
  what: string,
  condition: (object: Type | undefined) => Value | undefined,
  { namespace = t.namespace, withinMs = 60_000 }: Where,
): Promise<Value> {
  const inNamespace = namespace !== null && { namespace };
  const signal = AbortSignal.timeout(withinMs);
  let last: Type | undefined;
  try {
    for (;;) {
      const { items, metadata } = await t.client.list(kind, {
        ...inNamespace,
        fieldSelector: `metadata.name=${name}`,
        signal,
      });
      last = items[0];
      const holds = condition(last);
      if (holds !== undefined) return holds;
      const { resourceVersion } = metadata;
      const events = t.client.watch(kind, {
        ...inNamespace,
        fieldSelector: `metadata.name=${name}`,
        resourceVersion,
        signal,
      });
      for await (const event of events) {
        if (event.type === 'BOOKMARK') continue;
        last = event.type === 'DELETED' ? undefined : event.object;
        const value = condition(last);
        if (value !== undefined) return value;
      }
    }
  } catch (error) {
    if (!signal.aborted) throw error;
    throw new Error(
      `within ${withinMs} ms it did not come to pass that ${what}: ${kind.kind} ${name} is ${JSON.stringify(last)?.slice(0, 1500)}`,
      {
        cause: error,
      },
    );
  }
}

/** The refusal that a call ends with; fails when it ends without one. */
export async function refusal(call: Promise<unknown>): Promise<ApiError['status']> {
  try {
    await call;
  } catch (error) {
    if (error instanceof ApiError) return error.status;
    throw error;
  }
  throw new Error('the request was expected to be refused, and was not');
}
