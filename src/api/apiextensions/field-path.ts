import type { JSONSchemaProps } from './v1/custom-resource-definition.ts';
import { schemaIn } from './v1/schema-parts.ts';

/** A path within a schema, as rules name one: its steps in the form of a field path, and the schema it leads to. */
export interface SchemaPath {
  /** `spec.ports[http]` */
  readonly text: string;
  readonly first: string;
  readonly schema: JSONSchemaProps;
}

/** Reads `.spec.x` or `.spec['x.y']`. Throws an Error in upstream's words for a path that leads nowhere. */
export function schemaPathOf(path: string, root: JSONSchemaProps, allowsBrackets = true): SchemaPath {
  const tokens = tokensOf(path);
  let schema = root;
  let text = '';
  let first = '';
  const step = (name: string) => {
    const { properties } = schema;
    const values = schemaIn(schema.additionalProperties);
    if (first === '') first = name;
    if (properties !== undefined && Object.keys(properties).length > 0) {
      const next = Object.hasOwn(properties, name) ? properties[name] : undefined;
      if (!next) throw new Error('does not refer to a valid field');
      text += text === '' ? name : `.${name}`;
      schema = next;
    } else if (values) {
      text += `[${name}]`;
      schema = values;
    } else throw new Error('does not refer to a valid field');
  };
  for (let at = 0; at < tokens.length; at++) {
    const token = tokens[at] as string;
    if (token === '.') {
      const name = tokens[++at];
      if (name === undefined) throw new Error('unexpected end of JSON path');
      step(name);
    } else if (token === '[') {
      if (!allowsBrackets) throw new Error('array notation is not allowed');
      const quoted = tokens[++at];
      if (quoted === undefined) throw new Error('unexpected end of JSON path');
      if (quoted.length < 2 || !quoted.startsWith("'") || !quoted.endsWith("'"))
        throw new Error(`expected single quoted string but got ${quoted}`);
      step(unescaped(quoted.slice(1, -1)));
      const end = tokens[++at];
      if (end === undefined) throw new Error('unexpected end of JSON path');
      if (end !== ']') throw new Error(`expected ] but got ${end}`);
    } else throw new Error(`expected [ or . but got: ${token}`);
  }
  return { text, first, schema };
}

/** Dots, brackets, quoted texts, and what stands between them. */
function tokensOf(path: string): readonly string[] {
  return path.match(/[.[\]]|'(?:[^'\\]|\\.)*'|[^.[\]]+/g) ?? [];
}

const escapes: Readonly<Record<string, string>> = {
  a: '\u0007',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
  v: '\v',
  "'": "'",
  '\\': '\\',
};

function unescaped(text: string): string {
  return text.replaceAll(/\\(.)/g, (match, letter: string) => {
    if (!Object.hasOwn(escapes, letter)) throw new Error(`invalid string literal: invalid escape char ${match}`);
    return escapes[letter] as string;
  });
}
