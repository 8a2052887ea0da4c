import { embeddedStructs, namedTypes } from './go-names.ts';
import { resolve, type Json, type ObjectSchema, type ScalarSchema, type ScalarType, type Schema } from './schema.ts';

/** A value cannot be what its schema says. Whoever tells it asks for `text`. */
export class DecodeFailure extends Error {
  override readonly name: string = 'DecodeFailure';

  /** It was found in this field: the one around it is told last. */
  under(_field: string, _owner: ObjectSchema): this {
    return this;
  }

  get text(): string {
    return this.message;
  }
}

/** A value has another type than its schema says: in Go's sentence, with Go's names. */
export class TypeMismatch extends DecodeFailure {
  override readonly name = 'TypeMismatch';
  readonly #value: string;
  readonly #type: string;
  readonly #path: { readonly field: string; readonly owner: ObjectSchema }[] = [];

  constructor(value: Json, schema: Schema) {
    super();
    this.#type = goType(schema);
    this.#value = shown(value, this.#type);
  }

  override under(field: string, owner: ObjectSchema): this {
    this.#path.unshift({ field, owner });
    return this;
  }

  override get text(): string {
    const innermost = this.#path.at(-1);
    const embedded = embeddedStructs();
    const path = this.#path.flatMap(({ field, owner }) => [...embeddedAround(field, owner, embedded), field]).join('.');
    // What is read by a type's own reader is told as of the struct around that reader.
    const around = this.#path.find(({ field, owner }) => isReadByItself(owner.fields[field]?.schema)) ?? innermost;
    const place = around ? `struct field ${around.owner.name.split('.').at(-1)}.${path}` : 'value';
    const type = innermost ? namedType(innermost.field, innermost.owner, this.#type) : this.#type;
    return `json: cannot unmarshal ${this.#value} into Go ${place} of type ${type}`;
  }
}

function embeddedAround(
  name: string,
  owner: ObjectSchema,
  embedded: ReturnType<typeof embeddedStructs>,
): readonly string[] {
  const field = Object.hasOwn(owner.fields, name) ? owner.fields[name] : undefined;
  return field ? (embedded[keyOf(owner)] ?? []).slice(0, field.within?.length ?? 0) : ['TypeMeta'];
}

/** The name Go has for a type at or below a field: below `[]v1.Capability` stands `v1.Capability`. */
function namedType(name: string, owner: ObjectSchema, type: string): string {
  let named = namedTypes()[keyOf(owner)]?.[name];
  let schema = owner.fields[name]?.schema;
  while (named !== undefined && schema !== undefined && goType(schema) !== type) {
    const { type: sort, ...each } = resolve(schema) as { type: string; items?: Schema; values?: Schema };
    schema = sort === 'list' ? each.items : each.values;
    named = /^(?:\[\]|map\[[^\]]*\])(.*)/.exec(named)?.[1];
  }
  return named ?? type;
}

function keyOf({ name }: ObjectSchema): string {
  return name.replace(/^io\.k8s\./, '');
}

function isReadByItself(schema: Schema | undefined): boolean {
  switch (schema?.type) {
    case 'json':
      return schema.of !== undefined;
    case 'list':
      return isReadByItself(schema.items);
    case 'map':
      return isReadByItself(schema.values);
    default:
      return false;
  }
}

/** Go says which number it was where it wanted another one. */
function shown(value: Json, type: string): string {
  if (Array.isArray(value)) return 'array';
  switch (typeof value) {
    case 'number':
    case 'bigint':
      return ['int32', 'int64', 'float64'].includes(type) ? `number ${value}` : 'number';
    case 'boolean':
      return 'bool';
    default:
      return typeof value;
  }
}

/** The name of a type in Go: `[]v1.Container`. */
function goType(schema: Schema): string {
  switch (schema.type) {
    case 'lazy':
      return goType(resolve(schema));
    case 'object':
      return schema.name === '' ? 'map[string]interface {}' : schema.name.split('.').slice(-2).join('.');
    case 'list':
      return `[]${goType(schema.items)}`;
    case 'map':
      return `map[string]${goType(schema.values)}`;
    default:
      return goScalars[(schema as ScalarSchema).type];
  }
}

const goScalars: Readonly<Record<ScalarType, string>> = {
  string: 'string',
  int32: 'int32',
  int64: 'int64',
  double: 'float64',
  boolean: 'bool',
  bytes: '[]uint8',
  quantity: 'resource.Quantity',
  time: 'string',
  microTime: 'string',
  intOrString: 'int32',
  rawExtension: 'runtime.RawExtension',
  fieldsV1: 'v1.FieldsV1',
  json: 'interface {}',
};
