import type { Issues } from './issues.ts';

export interface Token {
  /** A punctuation mark or keyword is its own kind. */
  readonly kind: string;
  readonly text: string;
  readonly offset: number;
}

const space = /[\t \r\n\f]+|\/\/[^\n]*/y;
const escape = String.raw`\\(?:[abfnrtv"'\\?${'`'}]|[0-3][0-7][0-7]|[xX][0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8})`;
const strings = [
  String.raw`[rR]"""[^]*?"""`,
  String.raw`[rR]'''[^]*?'''`,
  String.raw`"""(?:${escape}|[^\\])*?"""`,
  String.raw`'''(?:${escape}|[^\\])*?'''`,
  String.raw`[rR]"[^"\n\r]*"`,
  String.raw`[rR]'[^'\n\r]*'`,
  String.raw`"(?:${escape}|[^\\"\n\r])*"`,
  String.raw`'(?:${escape}|[^\\'\n\r])*'`,
].join('|');

/** Tried in order; where two could match, the longer stands first. */
const rules: readonly (readonly [kind: string | undefined, pattern: RegExp])[] = [
  ['BYTES', new RegExp(`[bB](?:${strings})`, 'uy')],
  ['STRING', new RegExp(strings, 'uy')],
  ['NUM_FLOAT', /(?:[0-9]+\.[0-9]+(?:[eE][+-]?[0-9]+)?|[0-9]+[eE][+-]?[0-9]+|\.[0-9]+(?:[eE][+-]?[0-9]+)?)/y],
  ['NUM_UINT', /(?:0x[0-9a-fA-F]+|[0-9]+)[uU]/y],
  ['NUM_INT', /0x[0-9a-fA-F]+|[0-9]+/y],
  ['IDENTIFIER', /[A-Za-z_][A-Za-z0-9_]*/y],
  ['ESC_IDENTIFIER', /`[A-Za-z0-9_.\-/ ]+`/y],
  [undefined, /==|!=|<=|>=|&&|\|\||[<>[\]{}().,\-!?:+*/%]/y],
];

const keywords = new Set(['in', 'true', 'false', 'null']);

/** What cannot be read is reported and skipped. The last token is `<EOF>`. */
export function tokenize(text: string, issues: Issues): Token[] {
  const tokens: Token[] = [];
  let offset = 0;
  scan: while (offset < text.length) {
    space.lastIndex = offset;
    const blank = space.exec(text);
    if (blank !== null) {
      offset += blank[0].length;
      continue;
    }
    for (const [kind, pattern] of rules) {
      pattern.lastIndex = offset;
      const match = pattern.exec(text)?.[0];
      if (match === undefined) continue;
      const own = kind === undefined || (kind === 'IDENTIFIER' && keywords.has(match));
      tokens.push({ kind: own ? match : kind, text: match, offset });
      offset += match.length;
      continue scan;
    }
    const unread = unreadable(text, offset);
    issues.report(offset, `Syntax error: token recognition error at: '${shown(unread)}'`);
    offset += unread.length;
  }
  tokens.push({ kind: '<EOF>', text: '<EOF>', offset: text.length });
  return tokens;
}

/** As much as the lexer looked at before it gave up. */
function unreadable(text: string, offset: number): string {
  const rest = text.slice(offset);
  const open = /^[bB]?(?:[rR]?)(["'])/.exec(rest);
  if (open !== null) {
    const quote = open[1] as string;
    const raw = /^[bB]?[rR]/.test(rest);
    for (let index = open[0].length; index < rest.length; index++) {
      const character = rest[index] as string;
      if (character === '\n' || character === '\r') return rest.slice(0, index + 1);
      if (character === '\\' && !raw) {
        const match = new RegExp(`^${escape}`).exec(rest.slice(index));
        if (match === null) return rest.slice(0, index + brokenEscape(rest.slice(index)));
        index += match[0].length - 1;
      }
      if (character === quote) return rest.slice(0, index + 1);
    }
    return rest;
  }
  if (rest[0] === '`') return /^`[A-Za-z0-9_.\-/ ]*[^]?/.exec(rest)?.[0] ?? rest;
  if (rest[0] === '&' || rest[0] === '|' || rest[0] === '=') return rest.slice(0, Math.min(2, rest.length));
  return String.fromCodePoint(rest.codePointAt(0) as number);
}

/** An escape sequence up to the character that breaks it. */
function brokenEscape(text: string): number {
  const read = /^\\(?:[xX][0-9a-fA-F]?|u[0-9a-fA-F]{0,3}|U[0-9a-fA-F]{0,7}|[0-3][0-7]?)?/.exec(text)?.[0].length ?? 1;
  return Math.min(read + 1, text.length);
}

export function shown(text: string): string {
  return text.replaceAll('\n', '\\n').replaceAll('\r', '\\r').replaceAll('\t', '\\t');
}
