/**
 * The domains of a topology (zones, hosts, …) as small numbers, for as long as the nodes and their labels stay: asking each of
 * thousands of nodes for a label costs more than all the rest of a decision.
 */
export class NodeDomains {
  /** The number of each node's domain by the node's index; -1 where it has no such label. */
  readonly byNode: Int32Array;
  readonly #numbers = new Map<string, number>();

  constructor(labels: readonly (string | undefined)[]) {
    this.byNode = Int32Array.from(labels, label => (label === undefined ? -1 : this.#add(label)));
  }

  get size(): number {
    return this.#numbers.size;
  }

  get names(): ReadonlySet<string> {
    return new Set(this.#numbers.keys());
  }

  numberOf(domain: string): number | undefined {
    return this.#numbers.get(domain);
  }

  #add(label: string): number {
    const known = this.#numbers.get(label);
    if (known !== undefined) return known;
    this.#numbers.set(label, this.#numbers.size);
    return this.#numbers.size - 1;
  }
}

/** How many of something are in each domain. */
export class DomainTally {
  readonly #byDomain = new Map<string, number>();
  /** The same by number. */
  #domains: NodeDomains | undefined;
  #counts = new Int32Array(0);

  get byDomain(): ReadonlyMap<string, number> {
    return this.#byDomain;
  }

  change(domain: string, sign: 1 | -1): void {
    const left = (this.#byDomain.get(domain) ?? 0) + sign;
    if (left > 0) this.#byDomain.set(domain, left);
    else this.#byDomain.delete(domain);
    const number = this.#domains?.numberOf(domain);
    if (number !== undefined) this.#counts[number] = Math.max(0, left);
  }

  /** By the numbers that the domains have now. Good until the next change. */
  counts(domains: NodeDomains): Int32Array {
    if (this.#domains === domains) return this.#counts;
    this.#domains = domains;
    this.#counts = new Int32Array(domains.size);
    for (const [domain, count] of this.#byDomain) {
      const number = domains.numberOf(domain);
      if (number !== undefined) this.#counts[number] = count;
    }
    return this.#counts;
  }
}
