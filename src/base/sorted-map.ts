/**
 * A map from strings to values that iterates in the order of its keys and finds ranges by prefix. Reading and replacing are
 * a Map's; inserting and deleting are a binary search and a short copy. Iterating while it changes is allowed only when the
 * change is a replacement.
 */
export class SortedMap<Value> {
  readonly #nodes = new Map<string, Node<Value>>();
  /** Short sorted runs; never an empty one, unless it is the only one. */
  #runs: Node<Value>[][] = [[]];

  get size(): number {
    return this.#nodes.size;
  }

  get(key: string): Value | undefined {
    return this.#nodes.get(key)?.value;
  }

  has(key: string): boolean {
    return this.#nodes.has(key);
  }

  set(key: string, value: Value): void {
    const known = this.#nodes.get(key);
    if (known) {
      known.value = value;
      return;
    }
    const node = { key, value };
    this.#nodes.set(key, node);
    const at = this.#runAt(key);
    const run = this.#runs[at] as Node<Value>[];
    const position = lowerBound(run, key);
    if (position === run.length) run.push(node);
    else run.splice(position, 0, node);
    if (run.length <= runLengthMax) return;
    // Keys often arrive in order: leave the front run nearly full.
    const kept = position === run.length - 1 ? run.length - 1 : run.length >> 1;
    this.#runs.splice(at + 1, 0, run.splice(kept));
  }

  delete(key: string): boolean {
    if (!this.#nodes.delete(key)) return false;
    const at = this.#runAt(key);
    const run = this.#runs[at] as Node<Value>[];
    run.splice(lowerBound(run, key), 1);
    if (run.length === 0 && this.#runs.length > 1) this.#runs.splice(at, 1);
    return true;
  }

  clear(): void {
    this.#nodes.clear();
    this.#runs = [[]];
  }

  values(): Generator<Value, void, undefined> {
    return this.prefixed('');
  }

  /** The values whose keys start with a prefix, from a key on (inclusive). */
  *prefixed(prefix: string, start = prefix): Generator<Value, void, undefined> {
    const from = start > prefix ? start : prefix;
    let at = this.#runAt(from);
    let position = lowerBound(this.#runs[at] as Node<Value>[], from);
    for (; at < this.#runs.length; at++, position = 0) {
      const run = this.#runs[at] as Node<Value>[];
      for (; position < run.length; position++) {
        const node = run[position] as Node<Value>;
        if (!node.key.startsWith(prefix)) return;
        yield node.value;
      }
    }
  }

  /** The same as `prefixed`, as an array: faster than a generator for long answers. */
  collect(prefix: string, start = prefix, limit = Number.POSITIVE_INFINITY): Value[] {
    const from = start > prefix ? start : prefix;
    const collected: Value[] = [];
    let at = this.#runAt(from);
    let position = lowerBound(this.#runs[at] as Node<Value>[], from);
    for (; at < this.#runs.length; at++, position = 0) {
      const run = this.#runs[at] as Node<Value>[];
      for (; position < run.length; position++) {
        const node = run[position] as Node<Value>;
        if (collected.length === limit || !node.key.startsWith(prefix)) return collected;
        collected.push(node.value);
      }
    }
    return collected;
  }

  /** How many keys start with a prefix, from a key on (inclusive). */
  count(prefix: string, start = prefix): number {
    const from = start > prefix ? start : prefix;
    return this.#rank(behind(prefix)) - this.#rank(from);
  }

  /** How many keys are less than this one. */
  #rank(key: string | undefined): number {
    if (key === undefined) return this.#nodes.size;
    const at = this.#runAt(key);
    let rank = lowerBound(this.#runs[at] as Node<Value>[], key);
    for (let before = 0; before < at; before++) rank += (this.#runs[before] as Node<Value>[]).length;
    return rank;
  }

  /** The last run that starts at or before the key. */
  #runAt(key: string): number {
    let low = 0;
    let high = this.#runs.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if ((this.#runs[middle] as Node<Value>[])[0]!.key <= key) low = middle;
      else high = middle - 1;
    }
    return low;
  }
}

interface Node<Value> {
  readonly key: string;
  value: Value;
}

const runLengthMax = 512;

function lowerBound(run: readonly { readonly key: string }[], key: string): number {
  let low = 0;
  let high = run.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((run[middle] as { readonly key: string }).key < key) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The first key behind all that start with a prefix; undefined when there is none. */
function behind(prefix: string): string | undefined {
  if (prefix === '') return undefined;
  return prefix.slice(0, -1) + String.fromCharCode(prefix.charCodeAt(prefix.length - 1) + 1);
}
