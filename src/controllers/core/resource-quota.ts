import { kinds as allKinds } from '#api/kinds.ts';
import { Pod } from '#api/core/v1/pod.ts';
import { resourcesOfKind, scopesHold, usageOf } from '#api/core/v1/quota-usage.ts';
import { ResourceQuota } from '#api/core/v1/resource-quota.ts';
import { CustomResourceDefinition } from '#api/apiextensions/v1/custom-resource-definition.ts';
import { apiVersionOf, defineKind, type ApiObject, type Kind } from '#api/machinery/kind.ts';
import { addQuantities, formatQuantity, zeroQuantity, type Quantity } from '#api/machinery/quantity.ts';
import { keyOf, type Informer } from '#client/informer.ts';
import type { Informers } from '#client/informers.ts';
import { updateStatus } from '../actions.ts';
import { defineController } from '../controller.ts';
import type { Read } from '../reads.ts';
import { sameApartFromZeros } from '../same.ts';
import { isTerminal } from './pod-state.ts';

/** Counts what a namespace uses: what admission charged is put right, and what is gone is given back. */
export const resourceQuotaController = defineController({
  name: 'resourcequota-controller',
  reconciles: ResourceQuota,
  // What admission has charged is looked at a little later.
  changed: (quota, old) =>
    JSON.stringify([quota.spec, quota.metadata.deletionTimestamp]) !==
    JSON.stringify([old.spec, old.metadata.deletionTimestamp]),
  reads: { contents: contents() },
  writes: [ResourceQuota],
  decide(quota, { contents: each, nowMs }) {
    const { spec } = quota;
    const hard = spec?.hard ?? {};
    const used = new Map<string, Quantity>(Object.keys(hard).map(name => [name, zeroQuantity]));
    for (const { kind, objects } of each(Object.keys(hard)))
      for (const object of objects) {
        if (!scopesHold(spec ?? {}, kind, object)) continue;
        for (const [name, amount] of usageOf(kind, object, nowMs)) {
          const before = used.get(name);
          if (before) used.set(name, addQuantities(before, amount));
        }
      }
    const status = {
      hard,
      used: Object.fromEntries([...used].map(([name, amount]) => [name, formatQuantity(amount)])),
    };
    const old = quota.status;
    // A zero that is said is another thing than nothing that is said.
    const isSaid = Object.keys(old?.used ?? {}).length === used.size;
    return isSaid && sameApartFromZeros(status, old) ? [] : [updateStatus(ResourceQuota, { ...quota, status })];
  },
});

/** Admission counts what is made; to count all of it again for each object would cost the square of them. */
const checkMs = 1_000;

interface Content {
  readonly kind: Kind;
  readonly objects: Iterable<ApiObject>;
}

/** What is in the quota's namespace of the kinds that its resources are about; each kind is watched from then on. */
function contents(): Read<ResourceQuota, (names: readonly string[]) => Iterable<Content>> {
  const countable = allKinds.filter(
    kind => kind.served && kind.namespaced && kind.plural !== '' && !kind.storedAs && kind.verbs.includes('list'),
  );
  return {
    kinds: [Pod, CustomResourceDefinition],
    open({ informers, subject, wake, wakeAfter }) {
      subject.subscribe({ updated: quota => wakeAfter(keyOf(quota), checkMs) });
      const watched = new Map<Kind, Informer<ApiObject>>();
      const wakeQuotas = (object: ApiObject) => {
        for (const key of subject.inNamespace(object.metadata.namespace ?? '').keys()) wake(key);
      };
      const checkQuotas = (object: ApiObject) => {
        for (const key of subject.inNamespace(object.metadata.namespace ?? '').keys()) wakeAfter(key, checkMs);
      };
      const watch = (kind: Kind) => {
        const known = watched.get(kind);
        if (known) return known;
        const informer = informers.of(kind) as unknown as Informer<ApiObject>;
        watched.set(kind, informer);
        informer.subscribe({
          // What was there before is news to us.
          added: object => (informer.hasSynced ? checkQuotas : wakeQuotas)(object),
          updated: (object, old) => {
            if (mayCountDifferently(kind, object, old)) wakeQuotas(object);
          },
          deleted: wakeQuotas,
        });
        return informer;
      };
      const custom = customKinds(informers, {
        changed(name) {
          for (const [key, quota] of subject.objects)
            if (Object.hasOwn(quota.spec?.hard ?? {}, `count/${name}`)) wake(key);
        },
        gone(kind) {
          watched.delete(kind);
          informers.forget(kind);
        },
      });
      return quota => names =>
        [...countable.filter(kind => resourcesOfKind(kind, names).length > 0), ...custom(names)].map(kind => ({
          kind,
          objects: watch(kind)
            .inNamespace(quota.metadata.namespace ?? '')
            .values(),
        }));
    },
  };
}

/** The kinds of custom resources that names like `count/crates.example.com` are about, as long as they are served. */
function customKinds(
  informers: Informers,
  tell: { changed(name: string): void; gone(kind: Kind): void },
): (names: readonly string[]) => readonly Kind[] {
  const definitions = informers.of(CustomResourceDefinition);
  const known = new Map<string, Kind>();
  const update = ({ metadata: { name = '' } }: CustomResourceDefinition, kind: Kind | undefined) => {
    const before = known.get(name);
    if (kind && before && apiVersionOf(before) === apiVersionOf(kind)) return;
    if (before) tell.gone(before);
    if (kind) known.set(name, kind);
    else known.delete(name);
    if (before || kind) tell.changed(name);
  };
  definitions.subscribe({
    added: each => update(each, kindOf(each)),
    updated: each => update(each, kindOf(each)),
    deleted: each => update(each, undefined),
  });
  return names =>
    names.flatMap(name => (name.startsWith('count/') ? (known.get(name.slice('count/'.length)) ?? []) : []));
}

/** Undefined: nothing is served of it, or nothing in namespaces. */
function kindOf({ spec, status }: CustomResourceDefinition): Kind | undefined {
  const isEstablished = status?.conditions?.some(each => each.type === 'Established' && each.status === 'True');
  const version = spec.versions.find(each => each.served);
  if (!isEstablished || !version || spec.scope !== 'Namespaced') return undefined;
  const { kind, plural } = spec.names;
  return defineKind({
    group: spec.group,
    version: version.name,
    kind,
    plural,
    namespaced: true,
    custom: true,
    type: '',
    fields: {},
  }) as unknown as Kind;
}

function mayCountDifferently(kind: Kind, object: ApiObject, old: ApiObject): boolean {
  if (kind.group !== '') return false;
  if (kind.plural === 'pods')
    return (
      isTerminal(object as Pod) !== isTerminal(old as Pod) ||
      object.metadata.deletionTimestamp !== old.metadata.deletionTimestamp ||
      object.metadata.generation !== old.metadata.generation
    );
  return kind.plural === 'services' || kind.plural === 'persistentvolumeclaims';
}
