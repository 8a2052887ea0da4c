const many = 256;
const known = new Map<object, readonly string[]>();

/** The names of the properties of data; listing many takes long and is done once in an evaluation. */
export function propertyNames(object: object): readonly string[] {
  let names = known.get(object);
  if (names !== undefined) return names;
  names = Object.keys(object);
  if (names.length > many) known.set(object, names);
  return names;
}

/** Data may change between evaluations. */
export function forgetPropertyNames(): void {
  if (known.size > 0) known.clear();
}
