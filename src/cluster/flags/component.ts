import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { parseGoDuration } from '#api/machinery/duration.ts';

/** One command-line flag of an upstream component that Windlass knows, too. */
export interface ComponentFlag<Value> {
  readonly does: string;
  /** `FILE`, `DURATION`, …: what stands behind `=` in help. */
  readonly value: string;
  /** From the text of one `NAME=VALUE`; throws what is wrong with it ("takes a whole number"). */
  parse(text: string): Value;
  /** Given several times: how two values become one. Without it the last one holds, as upstream. */
  merge?(before: Value, next: Value): Value;
  /** What is kept of the text for the next `up`, where that differs: a file's absolute path. */
  kept?(text: string): string;
}

export type ComponentFlags = Readonly<Record<string, ComponentFlag<unknown>>>;

/** What was given, by the flag's name; a flag that was not given is absent. */
export type ComponentArguments<Table> = {
  readonly [Name in keyof Table]?: Table[Name] extends ComponentFlag<infer Value> ? Value : never;
};

/** Reads `NAME=VALUE` words (`NAME` alone is `NAME=true`) against the component's table. Throws a sentence. */
export function parseComponentArguments<Table extends ComponentFlags>(
  component: string,
  table: Table,
  words: readonly string[],
): ComponentArguments<Table> {
  const given = new Map<string, unknown>();
  for (const word of words) {
    const [name, text] = split(word);
    const flag = Object.hasOwn(table, name) ? table[name] : undefined;
    if (!flag) throw new Error(`${component} has no flag ${JSON.stringify(name)} here; known are ${knownOf(table)}`);
    let value: unknown;
    try {
      value = flag.parse(text);
    } catch (error) {
      throw new Error(`${component} ${name} ${error instanceof Error ? error.message : String(error)}`, {
        cause: error,
      });
    }
    given.set(name, given.has(name) && flag.merge ? flag.merge(given.get(name), value) : value);
  }
  return Object.fromEntries(given) as ComponentArguments<Table>;
}

/** `--audit-policy-file=x`, `audit-policy-file=x` and `profiling` are all understood. */
function split(word: string): readonly [string, string] {
  const bare = word.replace(/^--/, '');
  const at = bare.indexOf('=');
  return at < 0 ? [bare, 'true'] : [bare.slice(0, at), bare.slice(at + 1)];
}

/** The same words with nothing in them that depends on where `up` was called. */
export function keptArguments(table: ComponentFlags, words: readonly string[]): readonly string[] {
  return words.map(word => {
    const [name, text] = split(word);
    const flag = Object.hasOwn(table, name) ? table[name] : undefined;
    return `${name}=${flag?.kept ? flag.kept(text) : text}`;
  });
}

function knownOf(table: ComponentFlags): string {
  const names = Object.keys(table);
  return names.length === 0 ? 'none' : names.join(', ');
}

export function text(does: string, value = 'TEXT'): ComponentFlag<string> {
  return { does, value, parse: given => given };
}

/** A file that must be there; the value is its absolute path, so that every process of the cluster finds it. */
export function file(does: string): ComponentFlag<string> {
  return {
    does,
    value: 'FILE',
    parse(given) {
      const path = resolve(given);
      if (!existsSync(path)) throw new Error(`names a file that is not there: ${path}`);
      return path;
    },
    kept: given => resolve(given),
  };
}

/** Comma-separated, and the flag may be given several times. */
export function list(does: string, value = 'LIST'): ComponentFlag<readonly string[]> {
  return {
    does,
    value,
    parse: given =>
      given
        .split(',')
        .map(each => each.trim())
        .filter(each => each !== ''),
    merge: (before, next) => [...before, ...next],
  };
}

export function wholeNumber(does: string): ComponentFlag<number> {
  return {
    does,
    value: 'N',
    parse(given) {
      if (!/^\d{1,15}$/.test(given)) throw new Error(`takes a whole number, not ${JSON.stringify(given)}`);
      return Number(given);
    },
  };
}

export function boolean(does: string): ComponentFlag<boolean> {
  return {
    does,
    value: 'true|false',
    parse(given) {
      if (given !== 'true' && given !== 'false') throw new Error(`takes true or false, not ${JSON.stringify(given)}`);
      return given === 'true';
    },
  };
}

/** `1h30m`, as Go writes durations; the value is in milliseconds. */
export function duration(does: string): ComponentFlag<number> {
  return {
    does,
    value: 'DURATION',
    parse(given) {
      try {
        return parseGoDuration(given);
      } catch (error) {
        throw new Error(`takes a duration like 1h30m, not ${JSON.stringify(given)}`, { cause: error });
      }
    },
  };
}

export function choice<const Choice extends string>(does: string, choices: readonly Choice[]): ComponentFlag<Choice> {
  return {
    does,
    value: choices.join('|'),
    parse(given) {
      const chosen = choices.find(each => each === given);
      if (chosen === undefined) throw new Error(`is one of ${choices.join(', ')}, not ${JSON.stringify(given)}`);
      return chosen;
    },
  };
}
