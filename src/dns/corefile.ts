/** One line of a server block: a plugin's name with its arguments, and the lines of its own block. */
export interface Directive {
  readonly name: string;
  readonly args: readonly string[];
  readonly block: readonly Directive[];
  readonly line: number;
}

/** `zone:port …  { … }` */
export interface ServerBlock {
  /** As they stand: `.:53`, `dns://example.org`, `10.0.0.0/24`. */
  readonly keys: readonly string[];
  readonly directives: readonly Directive[];
  readonly line: number;
}

/** What is wrong with a Corefile, and in which line. */
export class CorefileError extends Error {
  constructor(line: number, why: string) {
    super(`Corefile:${line}: ${why}`);
  }
}

interface Token {
  readonly text: string;
  readonly line: number;
  readonly quoted: boolean;
}

const textBytesMax = 1024 * 1024;
const importsMax = 100;

/** Reads the syntax of CoreDNS' configuration: blocks, comments, quotes, snippets `(name) { … }` with `import name`. */
export function parseCorefile(text: string): readonly ServerBlock[] {
  if (text.length > textBytesMax) throw new CorefileError(1, 'the file is too long');
  const lines = linesOf(tokensOf(text));
  const snippets = new Map<string, readonly Directive[]>();
  const blocks: ServerBlock[] = [];
  const reader = { lines, at: 0 };
  for (let line = lines[reader.at]; line; line = lines[reader.at]) {
    const [first] = line;
    const keys: string[] = [];
    // Keys may go on in the next line behind a comma.
    for (let open = false; !open; reader.at++) {
      const tokens = lines[reader.at];
      if (!tokens) throw new CorefileError(first?.line ?? 1, 'the server block has no body');
      for (const token of tokens)
        if (isBrace(token, '{')) open = true;
        else if (open) throw new CorefileError(token.line, `unexpected ${JSON.stringify(token.text)} behind {`);
        else keys.push(...token.text.split(',').filter(key => key !== ''));
    }
    if (keys.length === 0) throw new CorefileError(first?.line ?? 1, 'a server block without a zone');
    const directives = readBlock(reader, first?.line ?? 1, snippets, 0);
    const snippet = /^\((.+)\)$/.exec(keys[0] ?? '')?.[1];
    if (snippet !== undefined && keys.length === 1) snippets.set(snippet, directives);
    else blocks.push({ keys, directives, line: first?.line ?? 1 });
  }
  return blocks;
}

interface Reader {
  readonly lines: readonly (readonly Token[])[];
  at: number;
}

const depthMax = 8;

function readBlock(
  reader: Reader,
  opened: number,
  snippets: ReadonlyMap<string, readonly Directive[]>,
  depth: number,
): readonly Directive[] {
  if (depth > depthMax) throw new CorefileError(opened, 'blocks are nested too deep');
  const directives: Directive[] = [];
  let imports = 0;
  for (let tokens = reader.lines[reader.at]; tokens; tokens = reader.lines[reader.at]) {
    reader.at++;
    const [first, ...rest] = tokens;
    if (!first) continue;
    if (isBrace(first, '}')) {
      if (rest.length > 0) throw new CorefileError(first.line, `unexpected ${JSON.stringify(rest[0]?.text)} behind }`);
      return directives;
    }
    if (isBrace(first, '{')) throw new CorefileError(first.line, 'a block without a name');
    const last = rest.at(-1);
    const opens = last !== undefined && isBrace(last, '{');
    const args = (opens ? rest.slice(0, -1) : rest).map(token => token.text);
    if (first.text === 'import') {
      // As upstream has it: a pattern may match no file, and there are none here.
      if (args[0]?.includes('*') === true && !opens) continue;
      const snippet = snippets.get(args[0] ?? '');
      if (!snippet || opens)
        throw new CorefileError(first.line, `there is no snippet ${JSON.stringify(args[0] ?? '')}`);
      if (++imports > importsMax) throw new CorefileError(first.line, 'too many imports');
      directives.push(...snippet);
      continue;
    }
    const block = opens ? readBlock(reader, first.line, snippets, depth + 1) : [];
    directives.push({ name: first.text, args, block, line: first.line });
  }
  throw new CorefileError(opened, 'the block does not end');
}

function isBrace({ text, quoted }: Token, brace: '{' | '}'): boolean {
  return text === brace && !quoted;
}

/** Tokens by line; a closing brace stands alone wherever it is. */
function linesOf(tokens: readonly Token[]): readonly (readonly Token[])[] {
  const lines: Token[][] = [];
  let current: Token[] = [];
  const end = () => {
    if (current.length > 0) lines.push(current);
    current = [];
  };
  for (const token of tokens) {
    const before = current.at(-1);
    if (before && (before.line !== token.line || isBrace(before, '{') || isBrace(before, '}'))) end();
    if (isBrace(token, '}')) end();
    current.push(token);
  }
  end();
  return lines;
}

function tokensOf(text: string): readonly Token[] {
  const tokens: Token[] = [];
  let line = 1;
  for (let at = 0; at < text.length; ) {
    const char = text[at] as string;
    if (char === '\n') line++;
    if (/\s/.test(char)) {
      at++;
    } else if (char === '#') {
      while (at < text.length && text[at] !== '\n') at++;
    } else if (char === '"') {
      const started = line;
      let value = '';
      for (at++; text[at] !== '"'; at++) {
        if (at >= text.length) throw new CorefileError(started, 'a quote does not end');
        // Only a quote is escaped, so that regular expressions need no double backslashes.
        if (text[at] === '\\' && text[at + 1] === '"') at++;
        if (text[at] === '\n') line++;
        value += text[at];
      }
      at++;
      tokens.push({ text: value, line: started, quoted: true });
    } else {
      const start = at;
      while (at < text.length && !/\s/.test(text[at] as string)) at++;
      tokens.push({ text: text.slice(start, at), line, quoted: false });
    }
  }
  return tokens;
}

/** The only directive of this name that a block may have. */
export function only(directives: readonly Directive[]): Directive {
  const [first, second] = directives;
  if (second) throw new CorefileError(second.line, `${second.name} may stand in a block only once`);
  return first as Directive;
}

export function wrong({ line, name }: Directive, why: string): CorefileError {
  return new CorefileError(line, `${name}: ${why}`);
}

export function argCount(directive: Directive, min: number, max = min): void {
  const { args } = directive;
  if (args.length < min || args.length > max) throw wrong(directive, 'wrong argument count or unexpected line ending');
}

export function wholeNumber(directive: Directive, text: string | undefined, min: number, max: number): number {
  const value = /^\d{1,15}$/.test(text ?? '') ? Number(text) : Number.NaN;
  if (!(value >= min && value <= max))
    throw wrong(directive, `${JSON.stringify(text ?? '')} is no number from ${min} to ${max}`);
  return value;
}

const unitMs: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
};

/** `5s`, `1m30s`; a bare number is seconds. */
export function durationMs(directive: Directive, text: string | undefined): number {
  if (/^\d{1,9}$/.test(text ?? '')) return Number(text) * 1000;
  if (!/^(\d+(\.\d+)?(ns|us|µs|ms|s|m|h))+$/.test(text ?? '') || (text ?? '').length > 40)
    throw wrong(directive, `${JSON.stringify(text ?? '')} is no duration`);
  let total = 0;
  for (const [, number, , unit] of (text ?? '').matchAll(/(\d+(\.\d+)?)(ns|us|µs|ms|s|m|h)/g))
    total += Number(number) * (unitMs[unit ?? ''] ?? 0);
  return total;
}

/** `example.org.` → `example.org`; `10.0.0.0/8` → `10.in-addr.arpa`; the root is empty. */
export function zoneName(directive: { readonly line: number; readonly name: string }, text: string): string {
  const wrongZone = () => new CorefileError(directive.line, `${directive.name}: ${JSON.stringify(text)} is no zone`);
  const slash = text.indexOf('/');
  if (slash >= 0) {
    const bits = Number(text.slice(slash + 1));
    const octets = text.slice(0, slash).split('.');
    if (octets.length !== 4 || octets.some(octet => !/^\d{1,3}$/.test(octet)) || ![8, 16, 24, 32].includes(bits))
      throw wrongZone();
    return `${octets
      .slice(0, bits / 8)
      .toReversed()
      .join('.')}.in-addr.arpa`;
  }
  const name = text.toLowerCase().replace(/\.$/, '');
  const labels = name === '' ? [] : name.split('.');
  if (name.length > 253 || labels.some(label => label === '' || label.length > 63)) throw wrongZone();
  return name;
}

/** Is the name (lower case, no last dot) the zone or below it? The longest zone that it is in, or undefined. */
export function zoneOf(name: string, zones: readonly string[]): string | undefined {
  let found: string | undefined;
  for (const zone of zones)
    if ((zone === '' || name === zone || name.endsWith(`.${zone}`)) && zone.length >= (found?.length ?? 0))
      found = zone;
  return found;
}
