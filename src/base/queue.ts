/** An unbounded-looking channel with a limit: one producer side, one consumer that iterates. */
export class Channel<Item> implements AsyncIterable<Item> {
  #items: Item[] = [];
  #head = 0;
  #wake: (() => void) | undefined;
  #closed = false;
  #error: unknown;
  readonly #limit: number;

  constructor(limit = Number.POSITIVE_INFINITY) {
    this.#limit = limit;
  }

  get length(): number {
    return this.#items.length - this.#head;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** False when the channel is full or closed; the item is then not taken. */
  push(item: Item): boolean {
    if (this.#closed || this.length >= this.#limit) return false;
    this.#items.push(item);
    this.#wakeUp();
    return true;
  }

  /** Ends the iteration after the items already pushed; with an error the iteration throws it. */
  close(error?: unknown): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#error = error;
    this.#wakeUp();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Item, void, undefined> {
    try {
      while (true) {
        while (this.length > 0) yield this.#shift();
        if (this.#closed) {
          if (this.#error !== undefined) throw this.#error;
          return;
        }
        await new Promise<void>(resolve => {
          this.#wake = resolve;
        });
      }
    } finally {
      this.close();
    }
  }

  #shift(): Item {
    const item = this.#items[this.#head] as Item;
    this.#items[this.#head] = undefined as Item;
    this.#head++;
    // Drop the consumed half now and then, so that shifting stays constant time.
    if (this.#head > 1024 && this.#head * 2 > this.#items.length) {
      this.#items = this.#items.slice(this.#head);
      this.#head = 0;
    }
    return item;
  }

  #wakeUp(): void {
    const wake = this.#wake;
    this.#wake = undefined;
    wake?.();
  }
}
