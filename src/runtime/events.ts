import { type ContainerEvent, RuntimeError } from './runtime.ts';

/** Events that a reader may be behind before it is told to list anew. */
const backlogMax = 4_096;

/** Hands every published event to every reader. */
export class ContainerEvents {
  readonly #readers = new Set<Reader>();

  get hasReaders(): boolean {
    return this.#readers.size > 0;
  }

  publish(event: ContainerEvent): void {
    for (const reader of this.#readers) reader.push(event);
  }

  /** Readers are registered when this is called, not when the first event is asked for. */
  subscribe(signal: AbortSignal): AsyncIterable<ContainerEvent> {
    const reader = new Reader();
    this.#readers.add(reader);
    const leave = () => {
      this.#readers.delete(reader);
      reader.end();
    };
    if (signal.aborted) leave();
    else signal.addEventListener('abort', leave, { once: true });
    return reader.read(leave);
  }

  end(): void {
    for (const reader of this.#readers) reader.end();
    this.#readers.clear();
  }
}

class Reader {
  #backlog: ContainerEvent[] = [];
  #ended = false;
  #lost = false;
  #wake: (() => void) | undefined;

  push(event: ContainerEvent): void {
    if (this.#backlog.length >= backlogMax) this.#lost = true;
    else this.#backlog.push(event);
    this.#wake?.();
  }

  end(): void {
    this.#ended = true;
    this.#wake?.();
  }

  async *read(leave: () => void): AsyncGenerator<ContainerEvent, void> {
    try {
      while (true) {
        const batch = this.#backlog;
        this.#backlog = [];
        yield* batch;
        if (this.#lost)
          throw new RuntimeError('Unavailable', `cannot read container events: ${backlogMax} were waiting unread`);
        if (this.#backlog.length > 0) continue;
        if (this.#ended) return;
        await new Promise<void>(resolve => {
          this.#wake = resolve;
        });
        this.#wake = undefined;
      }
    } finally {
      leave();
    }
  }
}
