import type { ApiObject } from '#api/machinery/kind.ts';
import type { Informer } from '#client/informer.ts';
import type { Webhook } from './matching.ts';

/** One webhook of a configuration, with its place among all: audit annotations count by it. */
export interface Registered<Hook extends Webhook = Webhook> {
  readonly webhook: Hook;
  readonly configuration: string;
  readonly index: number;
}

interface Configuration<Hook> extends ApiObject {
  readonly webhooks?: readonly Hook[] | undefined;
}

/** All webhooks in the order of their configurations' names; put together anew only when one has changed. */
export function registeredWebhooks<Hook extends Webhook>(
  configurations: Informer<Configuration<Hook>>,
): () => readonly Registered<Hook>[] {
  let known: readonly Registered<Hook>[] | undefined;
  const outdated = () => {
    known = undefined;
  };
  configurations.subscribe({ added: outdated, updated: outdated, deleted: outdated });
  return () => {
    known ??= [...configurations.objects.values()]
      .sort((left, right) => compare(left.metadata.name ?? '', right.metadata.name ?? ''))
      .flatMap(({ metadata, webhooks }) =>
        (webhooks ?? []).map(webhook => ({ webhook, configuration: metadata.name ?? '' })),
      )
      .map((each, index) => ({ ...each, index }));
    return known;
  };
}

function compare(left: string, right: string): number {
  return left < right ? -1 : left > right ? 1 : 0;
}
