import type { RE2JS } from '@bufbuild/re2';

/** Matches in linear time, and tells the groups of what matches. Throws what is wrong with the pattern. */
export type CompilePattern = (pattern: string) => Pattern;

export interface Pattern {
  exec(text: string): Groups | undefined;
}

export interface Groups {
  /** The whole match, then the groups by number. */
  readonly numbered: readonly string[];
  readonly named: ReadonlyMap<string, string>;
}

/** Patterns in RE2's syntax, loaded only for a Corefile that has some. */
export async function patternCompiler(): Promise<CompilePattern> {
  const { RE2JS: Expression } = await import('@bufbuild/re2');
  return pattern => {
    const gate: RE2JS = new Expression(pattern);
    // Go's way to write what ECMAScript has, too.
    const flags = /^\(\?([ims]+)\)/.exec(pattern);
    const source = (flags ? pattern.slice(flags[0].length) : pattern).replaceAll('(?P<', '(?<');
    const groups = new RegExp(source, flags?.[1] ?? '');
    return {
      exec(text) {
        // The engine that tells groups goes back and forth; it only gets what the linear one has let through.
        if (!gate.test(text)) return undefined;
        const match = groups.exec(text);
        if (!match) return undefined;
        const named = Object.entries(match.groups ?? {}).map(([name, value]) => [name, value ?? ''] as const);
        return { numbered: Array.from(match, value => value ?? ''), named: new Map(named) };
      },
    };
  };
}

/** For a Corefile in which nothing asks for one. */
export const noPatterns: CompilePattern = pattern => {
  throw new Error(`cannot match ${pattern}: no patterns are loaded`);
};
