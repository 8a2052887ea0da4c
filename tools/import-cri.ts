/**
 * Writes `src/runtime/cri/messages.ts` from the facts of the reference: the messages and services of CRI v1 without
 * those of Windows. It ran once, to begin with: the file it wrote is ours since. It refuses to overwrite it.
 *
 *   node tools/import-cri.ts ../shared/reference/kubernetes-1.36
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

type Field = readonly [tag: number, type: string, repeated: boolean];
type Method = readonly [request: string, response: string, clientStreams: boolean, serverStreams: boolean];
interface Facts {
  readonly messagesWithoutJsonType: Readonly<Record<string, Readonly<Record<string, Field>>>>;
  readonly services: Readonly<Record<string, Readonly<Record<string, Method>>>>;
}

const prefix = 'runtime.v1.';
const [reference] = process.argv.slice(2);
if (!reference) throw new Error('usage: import-cri.ts REFERENCE_DIR');
const target = join(import.meta.dirname, '..', 'src', 'runtime', 'cri', 'messages.ts');
if (existsSync(target)) throw new Error(`cannot write ${target}: it is there and ours`);
const facts = JSON.parse(readFileSync(join(reference, 'schema.json'), 'utf8')) as Facts;

const lines = [
  '/**',
  ' * The messages of the Container Runtime Interface v1 (`runtime.v1`), each field with its number and its type, and the',
  ' * services. Enumerations are in `enums.ts`. What only Windows has is left out.',
  ' */',
  'export const messages = {',
];
for (const [name, fields] of named(facts.messagesWithoutJsonType)) {
  if (name.startsWith('Windows')) continue;
  const kept = Object.entries(fields).filter(([, [, type]]) => !type.startsWith('Windows'));
  const written = kept.map(([field, [tag, type, repeated]]) => `${field}: [${tag}, '${type}${repeated ? '[]' : ''}']`);
  lines.push(`  ${name}: { ${written.join(', ')} },`);
}
lines.push(
  '} as const;',
  '',
  '/** Request and response of each method; `stream` where the runtime answers more than once. */',
);
lines.push('export const services = {');
for (const [name, methods] of named(facts.services)) {
  lines.push(`  ${name}: {`);
  for (const [method, [request, response, , streams]] of Object.entries(methods))
    lines.push(`    ${method}: ['${request}', '${response}'${streams ? ", 'stream'" : ''}],`);
  lines.push('  },');
}
lines.push('} as const;', '');
writeFileSync(target, lines.join('\n'));

function named<Value>(facts: Readonly<Record<string, Value>>): [name: string, value: Value][] {
  return Object.entries(facts)
    .filter(([name]) => name.startsWith(prefix))
    .map(([name, value]) => [name.slice(prefix.length), value]);
}
