/** A module that is loaded when it is first needed, so that it costs nobody else their start. Once loaded it is there without waiting. */
export class OnDemand<Module> {
  readonly #import: () => Promise<Module>;
  #module: Module | undefined;

  constructor(load: () => Promise<Module>) {
    this.#import = load;
  }

  /** Undefined when there is nothing to wait for. */
  load(): Promise<void> | undefined {
    if (this.#module !== undefined) return undefined;
    return this.#import().then(module => {
      this.#module = module;
    });
  }

  get module(): Module {
    if (this.#module === undefined) throw new Error('cannot use a module: it was not loaded beforehand');
    return this.#module;
  }
}
