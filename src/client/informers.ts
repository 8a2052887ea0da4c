import type { Clock } from '#base/clock.ts';
import type { Log } from '#base/log.ts';
import type { Random } from '#base/random.ts';
import { apiVersionOf, type ApiObject, type Kind } from '#api/machinery/kind.ts';
import type { Client } from './client.ts';
import { openInformer, type Informer, type InformerOptions } from './informer.ts';

/** Shares informers, so that a process watches each kind once. */
export interface Informers extends Disposable {
  /** The informer of a kind and selection; the first call starts it. */
  of<Type extends ApiObject>(kind: Kind<Type>, selection?: InformerOptions): Informer<Type>;
  /** Ends the informer of a kind that does not exist any more (a deleted CustomResourceDefinition). */
  forget(kind: Kind, selection?: InformerOptions): void;
  /** Every informer that was asked for so far has read its initial state. */
  readonly synced: Promise<void>;
}

export function openInformers(
  client: Client,
  options: { readonly clock?: Clock; readonly random?: Random; readonly log?: Log } = {},
): Informers {
  const open = new Map<string, { readonly informer: Informer<ApiObject>; readonly stop: AbortController }>();
  return {
    of<Type extends ApiObject>(kind: Kind<Type>, selection: InformerOptions = {}): Informer<Type> {
      const id = idOf(kind, selection);
      let entry = open.get(id);
      if (!entry) {
        const stop = new AbortController();
        const informer = openInformer(client, kind, { ...options, ...selection }, stop.signal);
        entry = { informer: informer as unknown as Informer<ApiObject>, stop };
        open.set(id, entry);
      }
      return entry.informer as unknown as Informer<Type>;
    },
    forget(kind, selection = {}) {
      const id = idOf(kind, selection);
      open.get(id)?.stop.abort(new Error('the informer was forgotten'));
      open.delete(id);
    },
    get synced() {
      return Promise.all([...open.values()].map(({ informer }) => informer.synced)).then(() => undefined);
    },
    [Symbol.dispose]() {
      for (const { stop } of open.values()) stop.abort(new Error('the informers were closed'));
      open.clear();
    },
  };
}

function idOf(kind: Kind, { namespace = '', labelSelector = '', fieldSelector = '' }: InformerOptions): string {
  return [apiVersionOf(kind), kind.plural, namespace, labelSelector, fieldSelector].join('\n');
}
