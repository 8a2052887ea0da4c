/** Collects what was opened and closes it in reverse order; every closing is tried, the first error is thrown at the end. */
export class Lifetime implements AsyncDisposable {
  #closers: (() => unknown)[] = [];
  readonly #abort = new AbortController();

  /** Aborted when the lifetime ends, before anything is closed. */
  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  own<Resource extends AsyncDisposable | Disposable>(resource: Resource): Resource {
    this.defer(() =>
      Symbol.asyncDispose in resource ? resource[Symbol.asyncDispose]() : (resource as Disposable)[Symbol.dispose](),
    );
    return resource;
  }

  defer(close: () => unknown): void {
    this.#closers.push(close);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#abort.abort(new Error('the lifetime ended'));
    const errors: unknown[] = [];
    for (let close = this.#closers.pop(); close; close = this.#closers.pop()) {
      try {
        await close();
      } catch (error) {
        errors.push(error);
      }
    }
    if (errors.length > 0) throw errors[0];
  }
}
