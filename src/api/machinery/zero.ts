import { resolve, type Field, type Json, type Schema } from './schema.ts';

/** What Go writes for a value that was never set: `{}`, `""`, `0`, `false`; null for lists, maps, times and raw JSON. */
export function zeroOf(schema: Schema): Json {
  switch (resolve(schema).type) {
    case 'object':
      return {};
    case 'string':
      return '';
    case 'int32':
    case 'int64':
    case 'double':
    case 'intOrString':
      return 0;
    case 'boolean':
      return false;
    case 'quantity':
      return '0';
    default:
      return null;
  }
}

/** Does Go write the field even when it was never set? Object metadata is never a pointer, so it always does. */
export function isAlwaysWritten(field: Field): boolean {
  if (field.always) return true;
  const schema = resolve(field.schema);
  return schema.type === 'object' && schema.name === objectMetaName;
}

const objectMetaName = 'io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta';
