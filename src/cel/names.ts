/** Words that no variable can have as its name; fields that have them are escaped. */
export const reservedWords: ReadonlySet<string> = new Set([
  'true',
  'false',
  'null',
  'in',
  'as',
  'break',
  'const',
  'continue',
  'else',
  'for',
  'function',
  'if',
  'import',
  'let',
  'loop',
  'package',
  'namespace',
  'return',
  'var',
  'void',
  'while',
]);

const escapes: Readonly<Record<string, string>> = {
  __: '__underscores__',
  '.': '__dot__',
  '-': '__dash__',
  '/': '__slash__',
};

/** The name under which expressions reach the property; undefined when they cannot. */
export function escapeName(property: string): string | undefined {
  if (/^[A-Za-z_][A-Za-z0-9_]*$/.test(property) && !property.includes('__')) {
    return reservedWords.has(property) ? `__${property}__` : property;
  }
  if (property === '' || /^[0-9]/.test(property) || /[^A-Za-z0-9_./-]/.test(property)) return undefined;
  return property.replace(/__|[./-]/g, match => escapes[match] as string);
}

/** The property that an escaped name stands for; undefined when the escape is not one. */
export function unescapeName(name: string): string | undefined {
  if (!name.includes('__')) return name;
  let wrong = false;
  const property = name.replace(/__[^_]+__/g, match => {
    const word = match.slice(2, -2);
    for (const [from, to] of Object.entries(escapes)) if (to === match) return from;
    if (!reservedWords.has(word) || match.length !== name.length) wrong = true;
    return word;
  });
  return wrong ? undefined : property;
}
