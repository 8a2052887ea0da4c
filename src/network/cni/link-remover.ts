import { Netlink, type LinkChange } from '#base/kernel/netlink.ts';

/**
 * Removes links, many at a time: one removal waits 20 ms for the other processors, and so does one of fifty. On a thread
 * of its own, so that pods that start do not wait for pods that go.
 */
export class LinkRemover implements AsyncDisposable {
  readonly #netlink = new Netlink();
  readonly #group: number;
  #names = new Set<string>();
  #next: Promise<void> | undefined;
  #current: Promise<void> = Promise.resolve();

  constructor(group: number) {
    this.#group = group;
  }

  /** Resolves when the link is gone; none of that name is fine. */
  remove(name: string): Promise<void> {
    this.#names.add(name);
    this.#next ??= this.#current
      .catch(() => undefined)
      .then(() => {
        const names = [...this.#names];
        this.#names = new Set();
        this.#next = undefined;
        this.#current = this.#removeAll(names);
        return this.#current;
      });
    return this.#next;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#current.catch(() => undefined);
    await this.#netlink[Symbol.asyncDispose]();
  }

  async #removeAll(names: readonly string[]): Promise<void> {
    const group = this.#group;
    await this.#netlink.apply([
      { changes: names.map((name): LinkChange => ({ do: 'setLink', name, group })), tolerate: ['ENODEV'] },
      { changes: [{ do: 'deleteGroup', group }], tolerate: ['ENODEV'] },
    ]);
  }
}
