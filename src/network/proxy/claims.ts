import type { NftTable } from '../nftables/table.ts';
import type { Element, ServiceRules } from './decide.ts';

/**
 * Which services want which elements. Two may want the same one: an endpoint of both, or an external address that both
 * were given; then the first keeps it, and when it goes the next has it.
 */
export class Claims {
  readonly #table: NftTable;
  readonly #rules = new Map<string, ServiceRules>();
  readonly #claims = new Map<string, { readonly owner: string; readonly value: string }[]>();

  constructor(table: NftTable) {
    this.#table = table;
  }

  get(owner: string): ServiceRules | undefined {
    return this.#rules.get(owner);
  }

  owners(): Iterable<string> {
    return this.#rules.keys();
  }

  /** Replaces what a service wants; `undefined`: nothing any more. */
  set(owner: string, rules: ServiceRules | undefined): void {
    const old = this.#rules.get(owner);
    for (const chain of rules?.chains ?? []) this.#table.addChain(chain.name, chain.rules);
    const unwanted = new Map(old?.elements.map(element => [idOf(element), element]));
    for (const element of rules?.elements ?? []) {
      unwanted.delete(idOf(element));
      this.#claim(owner, element);
    }
    for (const element of unwanted.values()) this.#release(owner, element);
    if (rules) this.#rules.set(owner, rules);
    else this.#rules.delete(owner);
  }

  #claim(owner: string, element: Element): void {
    const id = idOf(element);
    const claim = { owner, value: element.value };
    const claims = this.#claims.get(id);
    if (!claims) this.#claims.set(id, [claim]);
    else {
      const place = claims.findIndex(other => other.owner === owner);
      if (place < 0) claims.push(claim);
      else claims[place] = claim;
    }
    this.#table.set(element.set, element.key, claims?.[0]?.value ?? element.value);
  }

  #release(owner: string, element: Element): void {
    const id = idOf(element);
    const left = (this.#claims.get(id) ?? []).filter(claim => claim.owner !== owner);
    const [next] = left;
    if (next) {
      this.#claims.set(id, left);
      this.#table.set(element.set, element.key, next.value);
    } else {
      this.#claims.delete(id);
      this.#table.delete(element.set, element.key);
    }
  }
}

function idOf({ set, key }: Element): string {
  return `${set} ${key}`;
}
