/** NUMA nodes as bits: node 0 is 1, node 1 is 2, … */
export type NodeSet = number;

/** Where something could come from; without nodes: from anywhere. */
export interface Hint {
  readonly nodes: NodeSet | undefined;
  /** As few nodes as it can be at all. */
  readonly preferred: boolean;
}

/** What a resource says: `undefined` does not care, an empty list has nothing that fits. */
export type Hints = readonly Hint[] | undefined;

export type AlignmentPolicy = 'none' | 'best-effort' | 'restricted' | 'single-numa-node';

export interface Alignment {
  readonly hint: Hint;
  readonly admitted: boolean;
}

/**
 * The nodes that everything a container (or a whole pod) asks for comes from, as upstream's topology manager finds them:
 * every combination of hints is looked at, the best one counts, and the policy says whether it is good enough.
 */
export function align(policy: AlignmentPolicy, nodes: readonly number[], asked: Iterable<Hints>): Alignment {
  if (policy === 'none') return { hint: anywhere, admitted: true };
  const all = setOf(nodes);
  let lists = [...asked].map((hints): readonly Hint[] =>
    hints === undefined ? [anywhere] : hints.length === 0 ? [nowhere] : hints,
  );
  if (policy === 'single-numa-node')
    lists = lists.map(hints =>
      hints.filter(each => each.preferred && (each.nodes === undefined || count(each.nodes) === 1)),
    );
  const best = bestOf(all, lists);
  // One that is all nodes says nothing.
  const hint = policy === 'single-numa-node' && best.nodes === all ? { ...best, nodes: undefined } : best;
  return { hint, admitted: policy === 'best-effort' || hint.preferred };
}

const anywhere: Hint = { nodes: undefined, preferred: true };
const nowhere: Hint = { nodes: undefined, preferred: false };

export function setOf(nodes: Iterable<number>): NodeSet {
  let set = 0;
  for (const node of nodes) set |= 1 << node;
  return set;
}

export function nodesOf(set: NodeSet): readonly number[] {
  return Array.from({ length: 31 }, (_, node) => node).filter(node => (set >> node) & 1);
}

export function count(set: NodeSet): number {
  return nodesOf(set).length;
}

/** All sets of these nodes but the empty one, small ones first. */
export function subsetsOf(nodes: readonly number[]): readonly NodeSet[] {
  const sets = nodes.reduce<NodeSet[]>((found, node) => [...found, ...found.map(each => each | (1 << node))], [0]);
  return sets.slice(1).toSorted((a, b) => count(a) - count(b) || a - b);
}

/**
 * Hints for something that is counted: a set of nodes will do when it has enough free, and is preferred when no smaller one
 * could ever do.
 */
export function hintsFor(
  nodes: readonly number[],
  total: (set: NodeSet) => number,
  free: (set: NodeSet) => number,
  wanted: number,
): readonly Hint[] {
  const sets = subsetsOf(nodes);
  const least = Math.min(...sets.filter(set => total(set) >= wanted).map(count));
  return sets.filter(set => free(set) >= wanted).map(set => ({ nodes: set, preferred: count(set) === least }));
}

function bestOf(all: NodeSet, lists: readonly (readonly Hint[])[]): Hint {
  const smallest = lists.map(hints =>
    Math.min(...hints.flatMap(each => (each.nodes === undefined ? [] : [count(each.nodes)]))),
  );
  // Nothing that is not preferred can do better than what is hardest to please.
  const narrowest = Math.max(0, ...smallest.filter(Number.isFinite));
  let best: Hint | undefined;
  for (const hints of combinations(lists)) {
    const given = hints.flatMap(each => (each.nodes === undefined ? [] : [each.nodes]));
    const nodes = given.reduce((common, each) => common & each, all);
    if (nodes === 0) continue;
    const isSame = given.every(each => each === given[0]);
    const found = { nodes, preferred: isSame && hints.every(each => each.preferred) };
    if (!best || isBetter(found, best, narrowest)) best = found;
  }
  return best ?? { nodes: all, preferred: false };
}

function* combinations(lists: readonly (readonly Hint[])[], from = 0): Generator<readonly Hint[]> {
  const hints = lists[from];
  if (!hints) return yield [];
  for (const rest of combinations(lists, from + 1)) for (const hint of hints) yield [hint, ...rest];
}

type Found = Hint & { readonly nodes: NodeSet };

function isBetter(found: Found, best: Hint, narrowest: number): boolean {
  if (found.preferred !== best.preferred) return found.preferred;
  const [size, than] = [count(found.nodes), count(best.nodes ?? 0)];
  const isNarrower = size < than || (size === than && found.nodes < (best.nodes ?? 0));
  if (found.preferred || than > narrowest) return isNarrower;
  if (than === narrowest) return size === narrowest && isNarrower;
  if (size > narrowest) return false;
  return size === than ? isNarrower : size > than;
}
