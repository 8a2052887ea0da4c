import { exponentialBackoff } from '#base/backoff.ts';
import type { Clock } from '#base/clock.ts';
import type { Log } from '#base/log.ts';
import { deleteTable, listChain, rulesetGeneration, runNft, type NftFamily, type NftRun } from './run.ts';

export interface NftTableOptions {
  /** Absent: `inet`. */
  readonly family?: NftFamily;
  readonly name: string;
  /** Sets, maps and chains: the text between the braces of `table <family> <name> { … }`. */
  readonly declarations: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly run?: NftRun;
}

/** Between two looks at whether somebody else has emptied our table. */
const checkEveryMs = 1_000;
/** So many elements go into one command: nft's grammar takes any number, its messages repeat the command. */
const elementsPerCommandMax = 1_000;

/** A chain whose only rule tells that nobody has flushed the table. */
const sentinel = 'intact';

/**
 * One table of the kernel as we want it: chains, and sets and maps with their elements. Changes are collected and
 * written in one transaction at a time, each proportional to what has changed; when somebody else flushes or deletes
 * the table it is written anew.
 */
export class NftTable implements AsyncDisposable {
  readonly #options: NftTableOptions;
  readonly #run: NftRun;
  /** set → key → value; a set's elements have the value ''. */
  readonly #elements = new Map<string, Map<string, string>>();
  readonly #chains = new Map<string, string>();
  /** Sets beside those of the declarations, with their types. */
  readonly #sets = new Map<string, string>();
  /** What the kernel has where it differs from what we want. */
  #changed = new Map<string, Map<string, string | undefined>>();
  #newChains = new Set<string>();
  #newSets = new Set<string>();
  /** In the order in which they were given up: who refers to others comes first. */
  #oldChains = new Set<string>();
  #oldSets = new Set<string>();
  #loaded = false;
  #writing: Promise<void> | undefined;
  #generation: number | undefined;
  #cancelCheck: (() => void) | undefined;
  readonly #ended = new AbortController();

  constructor(options: NftTableOptions) {
    this.#options = options;
    this.#run = options.run ?? runNft;
  }

  get name(): string {
    return this.#options.name;
  }

  /** Wants an element; of a set without `value`. Written by the next `flush`. */
  set(set: string, key: string, value = ''): void {
    const elements = this.#elementsOf(set);
    const old = elements.get(key);
    if (old === value) return;
    this.#remember(set, key, old);
    elements.set(key, value);
  }

  delete(set: string, key: string): void {
    const elements = this.#elements.get(set);
    const old = elements?.get(key);
    if (old === undefined) return;
    this.#remember(set, key, old);
    elements?.delete(key);
  }

  get(set: string, key: string): string | undefined {
    return this.#elements.get(set)?.get(key);
  }

  /** Wants a chain that elements or later chains jump to. A name always means the same rules. */
  addChain(name: string, rules: string): void {
    if (this.#chains.has(name)) return;
    this.#chains.set(name, rules);
    if (!this.#oldChains.delete(name)) this.#newChains.add(name);
  }

  /** Nothing may lead to it any more but chains that are removed before it. */
  removeChain(name: string): void {
    if (this.#chains.delete(name) && !this.#newChains.delete(name)) this.#oldChains.add(name);
  }

  /** Wants a set (`type ipv4_addr;`) that later chains look at. A name always means the same type. */
  addSet(name: string, type: string): void {
    if (this.#sets.has(name)) return;
    this.#sets.set(name, type);
    if (!this.#oldSets.delete(name)) this.#newSets.add(name);
  }

  /** With its elements. */
  removeSet(name: string): void {
    if (!this.#sets.delete(name)) return;
    const isUnwritten = this.#newSets.delete(name);
    if (!isUnwritten) this.#oldSets.add(name);
    for (const key of this.#elements.get(name)?.keys() ?? []) this.delete(name, key);
    this.#elements.delete(name);
    if (isUnwritten) this.#changed.delete(name);
  }

  /** Resolves when the kernel has everything that was wanted when it was called. */
  async flush(): Promise<void> {
    // What is being written now may have begun before the last change.
    await this.#writing?.catch(() => undefined);
    this.#writing ??= this.#write().finally(() => {
      this.#writing = undefined;
    });
    await this.#writing;
  }

  /** Watches for others' hands in the table until the table object is disposed of. The kernel's table stays. */
  guard(): void {
    const { clock, log } = this.#options;
    const backoff = exponentialBackoff({ initialMs: checkEveryMs, maxMs: 60_000 });
    const again = (delayMs: number) => {
      if (this.#ended.signal.aborted) return;
      this.#cancelCheck = clock.after(delayMs, () => {
        this.#check().then(
          () => {
            backoff.reset();
            again(checkEveryMs);
          },
          (error: unknown) => {
            if (!this.#ended.signal.aborted) log.error('cannot restore the table', { table: this.name, error });
            again(backoff.next());
          },
        );
      });
    };
    this.#cancelCheck?.();
    again(checkEveryMs);
  }

  /** Deletes the kernel's table too. */
  async remove(): Promise<void> {
    await this[Symbol.asyncDispose]();
    await deleteTable(this.name, this.#options.family);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#cancelCheck?.();
    this.#ended.abort(new Error('the table was closed'));
    await this.#writing?.catch(() => undefined);
  }

  async #check(): Promise<void> {
    if (!this.#loaded) return this.flush();
    const { family = 'inet' } = this.#options;
    const generation = rulesetGeneration();
    if (generation !== undefined && generation === this.#generation) return;
    const { signal } = this.#ended;
    const said = await listChain(`${family} ${this.name}`, sentinel, signal);
    if (said?.includes(`comment "${sentinel}"`)) {
      this.#generation = generation;
      return;
    }
    if (this.#writing) return;
    this.#options.log.warn('somebody else has emptied the table; writing it anew', { table: this.name });
    this.#loaded = false;
    await this.flush();
  }

  async #write(): Promise<void> {
    const { signal } = this.#ended;
    signal.throwIfAborted();
    const script = this.#loaded ? this.#changes() : this.#whole();
    if (script === '') return;
    try {
      await this.#run(script, signal);
      this.#loaded = true;
    } catch (error) {
      if (signal.aborted) throw error;
      const wasLoaded = this.#loaded;
      // What the kernel has is not known any more: the whole table replaces it.
      this.#loaded = false;
      if (!wasLoaded) throw error;
      this.#options.log.warn('cannot change the table; writing it anew', { table: this.name, error });
      await this.#run(this.#whole(), signal);
      this.#loaded = true;
    }
  }

  #elementsOf(set: string): Map<string, string> {
    let elements = this.#elements.get(set);
    if (!elements) {
      elements = new Map();
      this.#elements.set(set, elements);
    }
    return elements;
  }

  #remember(set: string, key: string, kernelValue: string | undefined): void {
    let changed = this.#changed.get(set);
    if (!changed) {
      changed = new Map();
      this.#changed.set(set, changed);
    }
    if (!changed.has(key)) changed.set(key, kernelValue);
  }

  #whole(): string {
    const { name, declarations, family = 'inet' } = this.#options;
    // The same transaction holds all: packets see the old table or the new one.
    const lines = [`add table ${family} ${name}`, `delete table ${family} ${name}`];
    lines.push(`table ${family} ${name} {`, declarations);
    lines.push(`chain ${sentinel} { return comment "${sentinel}"; }`);
    for (const [set, type] of this.#sets) lines.push(`set ${set} { ${type} }`);
    for (const [chain, rules] of this.#chains) lines.push(`chain ${chain} {`, rules, '}');
    lines.push('}');
    for (const [set, elements] of this.#elements)
      lines.push(...commands('add', `${family} ${name}`, set, [...elements].map(elementText)));
    // Everything wanted so far is in it.
    this.#forgetChanges();
    return `${lines.join('\n')}\n`;
  }

  #forgetChanges(): void {
    this.#changed = new Map();
    for (const names of [this.#newChains, this.#newSets, this.#oldChains, this.#oldSets]) names.clear();
  }

  #changes(): string {
    const { name, family = 'inet' } = this.#options;
    const lines: string[] = [];
    for (const set of this.#newSets) lines.push(`add set ${family} ${name} ${set} { ${this.#sets.get(set)} }`);
    for (const chain of this.#newChains)
      lines.push(`table ${family} ${name} {`, `chain ${chain} {`, this.#chains.get(chain) ?? '', '}', '}');
    const [removals, additions]: [string[], string[]] = [[], []];
    for (const [set, keys] of this.#changed) {
      if (this.#oldSets.has(set)) continue;
      const wanted = this.#elements.get(set);
      const [removed, added]: [string[], string[]] = [[], []];
      for (const [key, kernelValue] of keys) {
        const value = wanted?.get(key);
        if (value === kernelValue) continue;
        if (kernelValue !== undefined) removed.push(key);
        if (value !== undefined) added.push(elementText([key, value]));
      }
      removals.push(...commands('delete', `${family} ${name}`, set, removed));
      additions.push(...commands('add', `${family} ${name}`, set, added));
    }
    lines.push(...removals, ...additions);
    for (const chain of this.#oldChains)
      lines.push(`flush chain ${family} ${name} ${chain}`, `delete chain ${family} ${name} ${chain}`);
    for (const set of this.#oldSets) lines.push(`delete set ${family} ${name} ${set}`);
    this.#forgetChanges();
    return lines.length === 0 ? '' : `${lines.join('\n')}\n`;
  }
}

function elementText([key, value]: readonly [string, string]): string {
  return value === '' ? key : `${key} : ${value}`;
}

function commands(verb: 'add' | 'delete', table: string, set: string, elements: readonly string[]): string[] {
  const lines: string[] = [];
  for (let at = 0; at < elements.length; at += elementsPerCommandMax) {
    const part = elements.slice(at, at + elementsPerCommandMax);
    // One element a line: nft quotes the line in its message.
    lines.push(`${verb} element ${table} ${set} {`, part.join(',\n'), '}');
  }
  return lines;
}
