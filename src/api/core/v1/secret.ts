import { defineKind, type ObjectOf } from '../../machinery/kind.ts';
import { boolean, map, string, struct, types } from '../../machinery/schema.ts';
import { checkImmutable, checkMessages } from '../../machinery/checks.ts';
import { ageColumn, nameColumn, text } from '../../machinery/columns.ts';
import { isConfigMapKey } from '../../machinery/names.ts';
import type { Report } from '../../machinery/validation.ts';
import { dataBytesMax, decodedLength, validateImmutableData } from './data-validation.ts';
import { ObjectMeta } from '../../meta/v1/object-meta.ts';

export const Secret = defineKind({
  group: '',
  version: 'v1',
  kind: 'Secret',
  plural: 'secrets',
  namespaced: true,
  doc: 'Passwords, keys and the like, for pods to read.',
  type: 'io.k8s.api.core.v1.Secret',
  fields: {
    data: map(2, types.bytes, { doc: 'The entries, in base64.' }),
    immutable: boolean(5, { pointer: true, doc: 'Whether the entries are fixed for good.' }),
    metadata: struct(1, ObjectMeta, { required: true }),
    stringData: map(4, types.string, { doc: 'Entries as plain text, for writing only.' }),
    type: string(3, { default: 'Opaque', doc: 'What kind of secret it is.' }),
  },
  columns: [
    nameColumn,
    text('Type', 'What kind of secret it is.', ({ type }) => type),
    text('Data', 'Number of entries.', ({ data }) => Object.keys(data ?? {}).length),
    ageColumn,
  ],
  fieldSelectors: { type: ({ type }) => type },
  default(secret) {
    mergeStringData(secret);
  },
  validate(secret, report) {
    validateSecret(secret, report);
  },
  validateUpdate(secret, old, report) {
    checkImmutable(secret.type, old.type, report.at('type'));
    validateImmutableData(secret, old, ['data'], report);
  },
});
export type Secret = ObjectOf<typeof Secret>;

interface SecretData {
  readonly data?: Readonly<Record<string, string>> | undefined;
  readonly type: string;
  readonly metadata: ObjectMeta;
}

/** `stringData` is for writing only: it becomes part of `data`. */
function mergeStringData(secret: {
  data?: Record<string, string> | undefined;
  stringData?: Record<string, string> | undefined;
}): void {
  const { stringData } = secret;
  if (!stringData) return;
  const encoded = Object.entries(stringData).map(([key, value]) => [key, Buffer.from(value).toString('base64')]);
  secret.data = { ...secret.data, ...(Object.fromEntries(encoded) as Record<string, string>) };
  delete secret.stringData;
}

function validateSecret({ metadata, data = {}, type }: SecretData, report: Report): void {
  const at = report.at('data');
  let size = 0;
  for (const [key, value] of Object.entries(data)) {
    checkMessages(isConfigMapKey(key), key, at.key(key));
    size += decodedLength(value);
  }
  if (size > dataBytesMax) at.tooLong(dataBytesMax);
  const has = (key: string) => Object.hasOwn(data, key);
  const account = 'kubernetes.io/service-account.name';
  switch (type) {
    case 'kubernetes.io/service-account-token':
      if (!metadata.annotations?.[account]) report.at('metadata', 'annotations').key(account).required();
      return;
    case 'kubernetes.io/dockercfg':
      checkJsonEntry(data, '.dockercfg', at);
      return;
    case 'kubernetes.io/dockerconfigjson':
      checkJsonEntry(data, '.dockerconfigjson', at);
      return;
    case 'kubernetes.io/basic-auth':
      if (!has('username') && !has('password')) for (const key of ['username', 'password']) at.key(key).required();
      return;
    case 'kubernetes.io/ssh-auth':
      if (!data['ssh-privatekey']) at.key('ssh-privatekey').required();
      return;
    case 'kubernetes.io/tls':
      for (const key of ['tls.crt', 'tls.key']) if (!has(key)) at.key(key).required();
      return;
    default:
  }
}

function checkJsonEntry(data: Readonly<Record<string, string>>, key: string, report: Report): void {
  const encoded = Object.hasOwn(data, key) ? data[key] : undefined;
  if (encoded === undefined) {
    report.key(key).required();
    return;
  }
  const text = Buffer.from(encoded, 'base64').toString();
  const problem = jsonProblem(text);
  if (problem !== undefined) report.key(key).invalid('<secret contents redacted>', problem);
}

/** In the words of Go's encoding/json. */
function jsonProblem(text: string): string | undefined {
  if (text.trim() === '') return 'unexpected end of JSON input';
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && !Array.isArray(value)) return undefined;
    const type = Array.isArray(value) ? 'array' : typeof value === 'boolean' ? 'bool' : typeof value;
    return `json: cannot unmarshal ${type} into Go value of type map[string]interface {}`;
  } catch {
    const first = text.trimStart().charAt(0);
    return `invalid character '${first}' looking for beginning of value`;
  }
}
