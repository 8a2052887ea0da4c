import type { Labels } from '#api/machinery/selector.ts';
import type { NftTable } from '../nftables/table.ts';
import { familyOf } from '../proxy/chains.ts';
import { setName, setType, type PodSet, type PodView } from './compile.ts';

const families = [familyOf('0.0.0.0'), familyOf('::')];

interface Kept {
  readonly set: PodSet;
  /** By the pods' uids; those without elements are absent. */
  readonly members: Map<string, readonly string[]>;
  /** An address can be two pods' for a moment: the one that had it and the one that has it. */
  readonly counts: Map<string, number>;
}

export interface PodSource {
  pods(): Iterable<PodView>;
  podsOf(namespace: string): Iterable<PodView>;
  namespaceLabels(namespace: string): Labels | undefined;
}

/**
 * The sets of pods that chains look at, in the table. A change of a pod is held against the sets that it can be in, and
 * writes the elements that differ.
 */
export class PodSets {
  readonly #table: NftTable;
  readonly #source: PodSource;
  readonly #kept = new Map<string, Kept>();
  readonly #byNamespace = new Map<string, Set<Kept>>();
  readonly #everywhere = new Set<Kept>();

  constructor(table: NftTable, source: PodSource) {
    this.#table = table;
    this.#source = source;
  }

  /** Has it kept from now on; once more is fine. */
  keep(set: PodSet): void {
    if (this.#kept.has(set.name)) return;
    const kept: Kept = { set, members: new Map(), counts: new Map() };
    this.#kept.set(set.name, kept);
    for (const family of families) this.#table.addSet(setName(set, family), setType(set, family));
    const { namespace } = set;
    if (namespace === undefined) this.#everywhere.add(kept);
    else {
      const beside = this.#byNamespace.get(namespace);
      if (beside) beside.add(kept);
      else this.#byNamespace.set(namespace, new Set([kept]));
    }
    const pods = namespace === undefined ? this.#source.pods() : this.#source.podsOf(namespace);
    for (const pod of pods) this.#put(kept, pod.uid, this.#elements(kept, pod));
  }

  /** Gives up all but these. No chain looks at the others any more. */
  keepOnly(names: ReadonlySet<string>): void {
    for (const [name, kept] of this.#kept) {
      if (names.has(name)) continue;
      this.#kept.delete(name);
      this.#everywhere.delete(kept);
      const { namespace } = kept.set;
      if (namespace !== undefined) {
        const beside = this.#byNamespace.get(namespace);
        beside?.delete(kept);
        if (beside?.size === 0) this.#byNamespace.delete(namespace);
      }
      for (const family of families) this.#table.removeSet(setName(kept.set, family));
    }
  }

  changed(pod: PodView): void {
    for (const kept of this.#byNamespace.get(pod.namespace) ?? []) this.#put(kept, pod.uid, this.#elements(kept, pod));
    for (const kept of this.#everywhere) this.#put(kept, pod.uid, this.#elements(kept, pod));
  }

  gone(pod: PodView): void {
    for (const kept of this.#byNamespace.get(pod.namespace) ?? []) this.#put(kept, pod.uid, []);
    for (const kept of this.#everywhere) this.#put(kept, pod.uid, []);
  }

  namespaceChanged(namespace: string): void {
    for (const kept of this.#everywhere)
      if (kept.set.usesNamespaceLabels)
        for (const pod of this.#source.podsOf(namespace)) this.#put(kept, pod.uid, this.#elements(kept, pod));
  }

  #elements({ set }: Kept, pod: PodView): readonly string[] {
    return set.elements(pod, set.usesNamespaceLabels ? this.#source.namespaceLabels(pod.namespace) : undefined);
  }

  #put({ set, members, counts }: Kept, uid: string, elements: readonly string[]): void {
    const before = members.get(uid) ?? [];
    if (before.length === 0 && elements.length === 0) return;
    if (elements.length === 0) members.delete(uid);
    else members.set(uid, elements);
    for (const element of elements) {
      const count = (counts.get(element) ?? 0) + 1;
      counts.set(element, count);
      if (count === 1) this.#table.set(setName(set, familyOf(element)), element);
    }
    for (const element of before) {
      const count = (counts.get(element) ?? 0) - 1;
      if (count > 0) counts.set(element, count);
      else {
        counts.delete(element);
        this.#table.delete(setName(set, familyOf(element)), element);
      }
    }
  }
}
