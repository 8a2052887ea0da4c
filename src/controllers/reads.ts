import type { Clock } from '#base/clock.ts';
import type { LabelSelector } from '#api/meta/v1/label-selector.ts';
import { compileLabelMap, compileLabelSelector, type LabelPredicate, type Labels } from '#api/machinery/selector.ts';
import { apiVersionOf, type ApiObject, type Kind } from '#api/machinery/kind.ts';
import { keyFrom, type Informer } from '#client/informer.ts';
import type { Informers } from '#client/informers.ts';

/** One thing that a controller observes beside its own object: where it comes from, and whom its changes wake. */
export interface Read<Type extends ApiObject, Value> {
  readonly kinds: readonly Kind[];
  /** Called once; what it returns is called for each decision and must not cost more than what it finds. */
  open(source: ReadSource<Type>): (object: Type) => Value;
}

export interface ReadSource<Type extends ApiObject> {
  readonly informers: Informers;
  /** The controller's own kind. */
  readonly subject: Informer<Type>;
  readonly clock: Clock;
  wake(key: string): void;
  wakeAfter(key: string, delayMs: number): void;
}

/** The owner that controls an object, if there is one. */
export function controllerOf(object: ApiObject) {
  return object.metadata.ownerReferences?.find(reference => reference.controller);
}

/** The objects of another kind, whichever; their changes wake the objects whose keys `wakes` names. */
export function watched<Type extends ApiObject, Other extends ApiObject, Value>(
  kind: Kind<Other>,
  read: (informer: Informer<Other>, subject: Informer<Type>) => (object: Type) => Value,
  wakes: (
    object: Other,
    old: Other | undefined,
    subject: Informer<Type>,
    event: 'added' | 'updated' | 'deleted',
  ) => Iterable<string>,
): Read<Type, Value> {
  return {
    kinds: [kind],
    open({ informers, subject, wake }) {
      const informer = informers.of(kind);
      const value = read(informer, subject);
      const wakeAll = (keys: Iterable<string>) => {
        for (const key of keys) wake(key);
      };
      informer.subscribe({
        added: object => wakeAll(wakes(object, undefined, subject, 'added')),
        updated: (object, old) => wakeAll(wakes(object, old, subject, 'updated')),
        deleted: object => wakeAll(wakes(object, undefined, subject, 'deleted')),
      });
      return value;
    },
  };
}

/** The informer of another kind, for look-ups; its changes wake nobody. */
export function lookup<Type extends ApiObject, Other extends ApiObject>(
  kind: Kind<Other>,
): Read<Type, Informer<Other>> {
  return { kinds: [kind], open: ({ informers }) => constant(informers.of(kind)) };
}

function constant<Value>(value: Value): () => Value {
  return () => value;
}

export interface Claims<Other> {
  /** Controlled by the object, whether the selector matches or not. */
  readonly owned: readonly Other[];
  /** Controlled by nobody, and the selector matches. */
  readonly orphans: readonly Other[];
}

/**
 * Objects that the reconciled object controls or may adopt. With `wakesOn` false a change does not wake the owner
 * (additions and deletions always do).
 */
export function claimable<Type extends ApiObject, Other extends ApiObject>(
  kind: Kind<Other>,
  selectorOf: (object: Type) => LabelSelector | Labels | undefined,
): Read<Type, Claims<Other>> {
  return {
    kinds: [kind],
    open({ informers, subject, wake }) {
      const informer = informers.of(kind);
      const byOwner = informer.index('controller', object => {
        const owner = controllerOf(object);
        return owner ? [owner.uid] : [];
      });
      const orphans = informer.index('orphans', object =>
        controllerOf(object) ? [] : [object.metadata.namespace ?? ''],
      );
      const selecting = selectorIndex(subject, selectorOf);
      const apiVersion = apiVersionOf(subject.kind);
      const wakeFor = (object: Other) => {
        const owner = controllerOf(object);
        if (!owner) for (const key of selecting(object.metadata.namespace, object.metadata.labels)) wake(key);
        else if (owner.kind === subject.kind.kind && owner.apiVersion === apiVersion)
          wake(keyFrom(owner.name, object.metadata.namespace));
      };
      informer.subscribe({
        added: wakeFor,
        updated(object, old) {
          wakeFor(object);
          if (controllerOf(old)?.uid !== controllerOf(object)?.uid) wakeFor(old);
        },
        deleted: wakeFor,
      });
      return object => {
        const matches = predicateOf(selectorOf(object));
        const own = [...byOwner.get(object.metadata.uid ?? '').values()].filter(
          other => other.metadata.namespace === object.metadata.namespace,
        );
        const free: Other[] = [];
        for (const other of orphans.get(object.metadata.namespace ?? '').values())
          if (matches(other.metadata.labels)) free.push(other);
        return { owned: own, orphans: free };
      };
    },
  };
}

/** The objects that the reconciled object controls. */
export function owned<Type extends ApiObject, Other extends ApiObject>(
  kind: Kind<Other>,
): Read<Type, readonly Other[]> {
  return {
    kinds: [kind],
    open({ informers, subject, wake }) {
      const informer = informers.of(kind);
      const byOwner = informer.index('controller', object => {
        const owner = controllerOf(object);
        return owner ? [owner.uid] : [];
      });
      const apiVersion = apiVersionOf(subject.kind);
      const wakeFor = (object: Other) => {
        const owner = controllerOf(object);
        if (owner?.kind === subject.kind.kind && owner.apiVersion === apiVersion)
          wake(keyFrom(owner.name, object.metadata.namespace));
      };
      informer.subscribe({ added: wakeFor, updated: wakeFor, deleted: wakeFor });
      return object => [...byOwner.get(object.metadata.uid ?? '').values()];
    },
  };
}

/** The objects in the same namespace whose labels the reconciled object selects. */
export function selected<Type extends ApiObject, Other extends ApiObject>(
  kind: Kind<Other>,
  selectorOf: (object: Type) => LabelSelector | Labels | undefined,
  matters: (object: Other, old: Other) => boolean = () => true,
): Read<Type, readonly Other[]> {
  return {
    kinds: [kind],
    open({ informers, subject, wake }) {
      const informer = informers.of(kind);
      const byLabel = informer.index('label', labelPairs);
      const selecting = selectorIndex(subject, selectorOf);
      const wakeFor = (object: Other) => {
        for (const key of selecting(object.metadata.namespace, object.metadata.labels)) wake(key);
      };
      informer.subscribe({
        added: wakeFor,
        updated(object, old) {
          const moved = !sameLabels(object.metadata.labels, old.metadata.labels);
          if (moved) wakeFor(old);
          if (moved || matters(object, old)) wakeFor(object);
        },
        deleted: wakeFor,
      });
      return object => {
        const selector = selectorOf(object);
        const matches = predicateOf(selector);
        const { namespace = '' } = object.metadata;
        const pair = firstPair(selector);
        const candidates = pair === undefined ? informer.inNamespace(namespace) : byLabel.get(`${namespace}/${pair}`);
        const found: Other[] = [];
        for (const other of candidates.values()) if (matches(other.metadata.labels)) found.push(other);
        return found;
      };
    },
  };
}

/** Which objects' selectors select these labels: looks only at those that share one of the labels. */
export function selectorIndex<Type extends ApiObject>(
  subject: Informer<Type>,
  selectorOf: (object: Type) => LabelSelector | Labels | undefined,
): (namespace: string | undefined, labels: Labels | undefined) => readonly string[] {
  const index = subject.index('selector', object => {
    const selector = selectorOf(object);
    return selector ? [`${object.metadata.namespace ?? ''}/${firstPair(selector) ?? ''}`] : [];
  });
  return (namespace = '', labels = {}) => {
    // Of many kinds there is nothing in a cluster, and every pod comes by here for each of them.
    if (subject.objects.size === 0) return none;
    const keys: string[] = [];
    const collect = (bucket: ReadonlyMap<string, Type>) => {
      for (const [key, object] of bucket) if (predicateOf(selectorOf(object))(labels)) keys.push(key);
    };
    collect(index.get(`${namespace}/`));
    for (const label in labels) collect(index.get(`${namespace}/${label}=${labels[label]}`));
    return keys;
  };
}

const none: readonly string[] = [];

function labelPairs(object: ApiObject): string[] {
  const { namespace = '', labels = {} } = object.metadata;
  const pairs: string[] = [];
  for (const label in labels) pairs.push(`${namespace}/${label}=${labels[label]}`);
  return pairs;
}

function isLabelSelector(selector: LabelSelector | Labels): selector is LabelSelector {
  return (
    typeof (selector as LabelSelector).matchLabels === 'object' ||
    Array.isArray((selector as LabelSelector).matchExpressions)
  );
}

/** `{}` as a label selector selects everything; as a map of labels nothing. Whoever has maps passes undefined for an empty one. */
export function predicateOf(selector: LabelSelector | Labels | undefined): LabelPredicate {
  if (!selector) return () => false;
  if (isLabelSelector(selector)) return compileLabelSelector(selector);
  return Object.keys(selector).length === 0 ? () => true : compileLabelMap(selector as Labels);
}

/** A label that every selected object has, if the selector names one. The last by name: `app` is shared more than `pod-template-hash`. */
function firstPair(selector: LabelSelector | Labels | undefined): string | undefined {
  const labels = selector && (isLabelSelector(selector) ? (selector.matchLabels ?? {}) : (selector as Labels));
  let last: string | undefined;
  for (const label of Object.keys(labels ?? {})) if (last === undefined || label > last) last = label;
  return last === undefined ? undefined : `${last}=${labels?.[last]}`;
}

export function sameLabels(a: Labels | undefined = {}, b: Labels | undefined = {}): boolean {
  if (a === b) return true;
  const keys = Object.keys(a);
  return keys.length === Object.keys(b).length && keys.every(key => a[key] === b[key]);
}
