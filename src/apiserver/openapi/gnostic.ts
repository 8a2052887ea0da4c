/**
 * An OpenAPI v2 document as protobuf, in gnostic's messages (openapi.v2.Document): the only form of it that client-go asks
 * for. Only the fields that our documents have are here; the numbers are gnostic's.
 */
type JsonObject = Readonly<Record<string, unknown>>;

/** A field of a message: its number, and its content already encoded. */
type Part = Buffer | readonly Part[];

export function encodeDocument(document: JsonObject): Buffer {
  return message([
    text(1, document.swagger),
    nested(2, info(document.info as JsonObject)),
    nested(8, named(2, document.paths, pathItem)),
    nested(9, named(1, document.definitions, schema)),
    nested(10, named(1, document.parameters, parameter)),
    ...((document.security as readonly JsonObject[] | undefined) ?? []).map(each =>
      nested(12, named(1, each, stringArray)),
    ),
    nested(13, named(1, document.securityDefinitions, securityDefinition)),
    extensions(16, document),
  ]);
}

function info(value: JsonObject): Part {
  return [text(1, value.title), text(2, value.version), text(3, value.description), extensions(7, value)];
}

const operationNumbers = { get: 2, put: 3, post: 4, delete: 5, options: 6, head: 7, patch: 8 };

function pathItem(value: JsonObject): Part {
  const operations = Object.entries(operationNumbers).map(([verb, number]) =>
    value[verb] === undefined ? [] : nested(number, operation(value[verb] as JsonObject)),
  );
  return [...operations, parameters(9, value), extensions(10, value)];
}

function operation(value: JsonObject): Part {
  const codes = named(1, value.responses, response => [nested(1, responseOf(response))]);
  return [
    texts(1, value.tags),
    text(3, value.description),
    text(5, value.operationId),
    texts(6, value.produces),
    texts(7, value.consumes),
    parameters(8, value),
    nested(9, codes),
    texts(10, value.schemes),
    flag(11, value.deprecated),
    extensions(13, value),
  ];
}

/** A list of parameters, each defined in place or by reference. */
function parameters(number: number, { parameters: list }: JsonObject): Part {
  return ((list as readonly JsonObject[] | undefined) ?? []).map(each =>
    nested(number, each.$ref === undefined ? [nested(1, parameter(each))] : [nested(2, [text(1, each.$ref)])]),
  );
}

/** Numbers of a header parameter; a query parameter has one more field in front of its type. */
function parameter(value: JsonObject): Part {
  if (value.in === 'body')
    return nested(1, [
      text(1, value.description),
      text(2, value.name),
      text(3, value.in),
      flag(4, value.required),
      nested(5, schema((value.schema as JsonObject | undefined) ?? {})),
      extensions(6, value),
    ]);
  const query = value.in === 'query';
  const shift = query ? 1 : 0;
  const sub = [
    flag(1, value.required),
    text(2, value.in),
    text(3, value.description),
    text(4, value.name),
    text(5 + shift, value.type),
    text(6 + shift, value.format),
    flag(19 + shift, value.uniqueItems),
    extensions(22 + shift, value),
  ];
  return nested(2, nested(query ? 3 : 4, sub));
}

function responseOf(value: JsonObject): Part {
  const body = value.schema === undefined ? [] : nested(2, nested(1, schema(value.schema as JsonObject)));
  return [text(1, value.description), body, extensions(5, value)];
}

function schema(value: JsonObject): Part {
  const { type, items, additionalProperties: more } = value;
  const types = type === undefined ? [] : nested(22, texts(1, Array.isArray(type) ? type : [type]));
  return [
    text(1, value.$ref),
    text(2, value.format),
    text(3, value.title),
    text(4, value.description),
    value.default === undefined ? [] : nested(5, any(value.default)),
    texts(19, value.required),
    ...((value.enum as readonly unknown[] | undefined) ?? []).map(each => nested(20, any(each))),
    more === undefined
      ? []
      : nested(21, typeof more === 'boolean' ? flag(2, more) : nested(1, schema(more as JsonObject))),
    types,
    items === undefined ? [] : nested(23, nested(1, schema(items as JsonObject))),
    value.properties === undefined ? [] : nested(25, named(1, value.properties, schema)),
    extensions(31, value),
  ];
}

function securityDefinition(value: JsonObject): Part {
  return nested(2, [text(1, value.type), text(2, value.name), text(3, value.in), text(4, value.description)]);
}

function stringArray(value: JsonObject): Part {
  return texts(1, value as unknown as readonly unknown[]);
}

/** Fields that start with `x-`. */
function extensions(number: number, value: JsonObject): Part {
  return Object.keys(value)
    .filter(key => key.startsWith('x-'))
    .map(key => nested(number, [text(1, key), nested(2, any(value[key]))]));
}

/** A map as a list of names with values. */
function named(number: number, map: unknown, encode: (value: JsonObject) => Part): Part {
  return Object.entries((map as JsonObject | undefined) ?? {}).map(([name, value]) =>
    nested(number, [text(1, name), nested(2, encode(value as JsonObject))]),
  );
}

/** Any value, as YAML; JSON is YAML. */
function any(value: unknown): Part {
  return text(2, `${JSON.stringify(value)}\n`);
}

function texts(number: number, values: unknown): Part {
  return ((values as readonly unknown[] | undefined) ?? []).map(each => text(number, each));
}

function text(number: number, value: unknown): Part {
  return typeof value === 'string' && value !== '' ? nested(number, Buffer.from(value)) : [];
}

function flag(number: number, value: unknown): Part {
  return value === true ? Buffer.concat([varint(number << 3), Buffer.of(1)]) : [];
}

function nested(number: number, content: Part): Part {
  const bytes = message(content);
  return [varint((number << 3) | 2), varint(bytes.length), bytes];
}

function message(part: Part): Buffer {
  if (Buffer.isBuffer(part)) return part;
  return Buffer.concat((part as readonly Part[]).map(message));
}

function varint(value: number): Buffer {
  const bytes: number[] = [];
  let left = value;
  for (; left > 127; left >>>= 7) bytes.push((left & 0x7f) | 0x80);
  bytes.push(left);
  return Buffer.from(bytes);
}
