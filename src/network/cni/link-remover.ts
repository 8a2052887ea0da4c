import type { LinkChange, Netlink } from '#base/kernel/netlink.ts';

/**
 * Removes links, many at a time: one removal waits 20 ms for the other processors, and so does one of fifty. It uses the
 * same thread as everything else: another one would cost 8 MB, and the kernel's lock is held meanwhile anyway.
 */
export class LinkRemover {
  readonly #netlink: Netlink;
  readonly #group: number;
  #names = new Set<string>();
  #next: Promise<void> | undefined;
  #current: Promise<void> = Promise.resolve();

  constructor(netlink: Netlink, group: number) {
    this.#netlink = netlink;
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

  /** Resolves when no removal is under way. */
  async idle(): Promise<void> {
    await this.#current.catch(() => undefined);
  }

  async #removeAll(names: readonly string[]): Promise<void> {
    const group = this.#group;
    await this.#netlink.apply([
      { changes: names.map((name): LinkChange => ({ do: 'setLink', name, group })), tolerate: ['ENODEV'] },
      { changes: [{ do: 'deleteGroup', group }], tolerate: ['ENODEV'] },
    ]);
  }
}
