import { defineKind, type ObjectOf } from '../../machinery/kind.ts';
import { boolean, map, struct, types } from '../../machinery/schema.ts';
import { checkMessages } from '../../machinery/checks.ts';
import { ageColumn, nameColumn, text } from '../../machinery/columns.ts';
import { byteLength, isConfigMapKey } from '../../machinery/names.ts';
import { dataBytesMax, decodedLength, validateImmutableData } from './data-validation.ts';
import { ObjectMeta } from '../../meta/v1/object-meta.ts';

export const ConfigMap = defineKind({
  group: '',
  version: 'v1',
  kind: 'ConfigMap',
  plural: 'configmaps',
  namespaced: true,
  doc: 'Settings as keys and values, for pods to read.',
  shortNames: ['cm'],
  type: 'io.k8s.api.core.v1.ConfigMap',
  fields: {
    binaryData: map(3, types.bytes, { doc: 'Entries that are no text, in base64.' }),
    data: map(2, types.string, { doc: 'Entries that are text.' }),
    immutable: boolean(4, { pointer: true, doc: 'Whether the entries are fixed for good.' }),
    metadata: struct(1, ObjectMeta, { required: true }),
  },
  columns: [
    nameColumn,
    text('Data', 'Number of entries.', ({ data, binaryData }) => count(data) + count(binaryData)),
    ageColumn,
  ],
  validate({ data = {}, binaryData = {} }, report) {
    let size = 0;
    for (const [key, value] of Object.entries(data)) {
      const at = report.at('data').key(key);
      checkMessages(isConfigMapKey(key), key, at);
      if (Object.hasOwn(binaryData, key)) at.invalid(key, 'duplicate of key present in binaryData');
      size += byteLength(value);
    }
    for (const [key, value] of Object.entries(binaryData)) {
      checkMessages(isConfigMapKey(key), key, report.at('binaryData').key(key));
      size += decodedLength(value);
    }
    // Upstream's path for the whole object.
    if (size > dataBytesMax) report.at('[]').tooLong(dataBytesMax);
  },
  validateUpdate(map, old, report) {
    validateImmutableData(map, old, ['data', 'binaryData'], report);
  },
});
export type ConfigMap = ObjectOf<typeof ConfigMap>;

function count(entries: object | undefined): number {
  return Object.keys(entries ?? {}).length;
}
