import type { Clock } from '#base/clock.ts';
import type { Log } from '#base/log.ts';
import { apiVersionOf, type Kind } from '#api/machinery/kind.ts';
import { APIService } from '#api/apiregistration/v1/api-service.ts';
import { CustomResourceDefinition } from '#api/apiextensions/v1/custom-resource-definition.ts';
import type { Client } from '#client/client.ts';
import { discover } from '#client/discovery.ts';
import type { Informers } from '#client/informers.ts';

/** The kinds that the server serves, kept up to date. */
export interface ServedKinds extends AsyncDisposable {
  readonly kinds: readonly Kind[];
  /** Group-versions whose server does not answer: what they hold is not known. */
  readonly stale: readonly string[];
  /** The resource of a kind named in an owner reference, also when its group prefers another version. */
  find(apiVersion: string, kind: string): Kind | undefined;
  refresh(): Promise<void>;
}

/** Definitions change in groups; one look for all of them. */
const settleMs = 100;
const retryMs = 5_000;

/** Discovers, and discovers again when a definition or an aggregated API comes, changes or goes. */
export function openServedKinds(
  environment: { readonly client: Client; readonly informers: Informers; readonly clock: Clock; readonly log: Log },
  changed: (kinds: readonly Kind[]) => void,
): ServedKinds {
  const { client, informers, clock, log } = environment;
  const stop = new AbortController();
  let kinds: readonly Kind[] = [];
  let stale: readonly string[] = [];
  let groups = new Map<string, Kind>();
  let pending: (() => void) | undefined;

  const refresh = async () => {
    const found = await discover(client, stop.signal);
    kinds = found.kinds;
    stale = found.stale;
    groups = new Map(kinds.map(kind => [`${kind.group}/${kind.kind}`, kind]));
    changed(kinds);
  };
  const later = (delayMs: number) => {
    if (stop.signal.aborted) return;
    pending ??= clock.after(delayMs, () => {
      pending = undefined;
      refresh().catch((error: unknown) => {
        if (stop.signal.aborted) return;
        log.warn('cannot discover what is served', { error });
        later(retryMs);
      });
    });
  };
  const soon = () => later(settleMs);
  const unsubscribe = [CustomResourceDefinition, APIService].map(kind =>
    informers.of(kind as unknown as Kind).subscribe({
      added: (_object, initial) => {
        if (!initial) soon();
      },
      updated: soon,
      deleted: soon,
    }),
  );
  later(0);
  return {
    get kinds() {
      return kinds;
    },
    get stale() {
      return stale;
    },
    find(apiVersion, kind) {
      const at = apiVersion.indexOf('/');
      const group = at < 0 ? '' : apiVersion.slice(0, at);
      return groups.get(`${group}/${kind}`);
    },
    refresh,
    async [Symbol.asyncDispose]() {
      for (const each of unsubscribe) each();
      stop.abort(new Error('discovery was stopped'));
      pending?.();
    },
  };
}

export function kindId(kind: Kind): string {
  return `${apiVersionOf(kind)}/${kind.plural}`;
}
