/** The characters of a string token, or what is wrong with it. */
export function unescapeString(token: string): string | { readonly problem: string } {
  const body = bodyOf(token);
  if (body.raw || !body.text.includes('\\')) return body.text;
  let problem: string | undefined;
  const text = body.text.replace(escape, (_, sequence: string) => {
    const simple = simpleEscapes[sequence];
    if (simple !== undefined) return simple;
    const point = /^[0-3]/.test(sequence) ? parseInt(sequence, 8) : parseInt(sequence.slice(1), 16);
    if (point <= 0x10ffff && (point < 0xd800 || point > 0xdfff)) return String.fromCodePoint(point);
    problem = 'invalid unicode code point';
    return '';
  });
  return problem === undefined ? text : { problem };
}

/** The bytes of a bytes token: what is not escaped as UTF-8. */
export function unescapeBytes(token: string): Uint8Array | { readonly problem: string } {
  const body = bodyOf(token.slice(1));
  if (body.raw || !body.text.includes('\\')) return new TextEncoder().encode(body.text);
  const parts: Uint8Array[] = [];
  let start = 0;
  for (const match of body.text.matchAll(escape)) {
    const sequence = match[1] as string;
    parts.push(new TextEncoder().encode(body.text.slice(start, match.index)));
    start = match.index + match[0].length;
    if (/^[uU]/.test(sequence)) return { problem: 'unable to unescape string' };
    const simple = simpleEscapes[sequence];
    if (simple !== undefined) parts.push(new TextEncoder().encode(simple));
    else parts.push(Uint8Array.of(/^[0-3]/.test(sequence) ? parseInt(sequence, 8) : parseInt(sequence.slice(1), 16)));
  }
  parts.push(new TextEncoder().encode(body.text.slice(start)));
  return new Uint8Array(Buffer.concat(parts));
}

const escape = /\\([abfnrtv"'\\?`]|[0-3][0-7][0-7]|[xX][0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8})/g;

const simpleEscapes: Readonly<Record<string, string>> = {
  __proto__: null as never,
  a: '\x07',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
  v: '\v',
  '\\': '\\',
  "'": "'",
  '"': '"',
  '`': '`',
  '?': '?',
};

function bodyOf(token: string): { text: string; raw: boolean } {
  const raw = token[0] === 'r' || token[0] === 'R';
  const quoted = raw ? token.slice(1) : token;
  const width = quoted.length >= 6 && (quoted.startsWith('"""') || quoted.startsWith("'''")) ? 3 : 1;
  return { text: quoted.slice(width, -width).replace(/\r\n?/g, '\n'), raw };
}
