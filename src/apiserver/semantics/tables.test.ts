/** What is served as documents, beside upstream's recorded ones: columns of every kind, and field selectors. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { kinds } from '#api/kinds.ts';
import { openTestServer } from '../test-server.ts';

const reference = new URL('../../../../shared/reference/kubernetes-1.36/', import.meta.url);
const skip = !existsSync(reference) && 'the reference is not there';
const read = (name: string): unknown => JSON.parse(readFileSync(new URL(name, reference), 'utf8'));
const table = { accept: 'application/json;as=Table;v=v1;g=meta.k8s.io' };

interface ColumnOf {
  readonly name: string;
  readonly type: string;
  readonly format: string;
  readonly priority: number;
}

interface RecordedKind {
  readonly group: string;
  readonly version: string;
  readonly kind: string;
  readonly plural: string;
  readonly verbs: readonly string[];
  readonly default: boolean;
  readonly fieldSelectors: string;
}

const listed = kinds.filter(each => each.served && each.verbs.includes('list'));
const pathOf = ({ group, version, plural }: { group: string; version: string; plural: string }) =>
  `${group === '' ? '/api' : `/apis/${group}`}/${version}/${plural}`;

/** Kind → why our columns are others than those recorded from v1.34. */
const otherColumns: Readonly<Record<string, string>> = {
  APIService: 'the aggregator has columns of its own, which are not recorded',
};

test('columns are upstream’s: name, type, format and priority', { skip }, async () => {
  const recorded = new Map(
    Object.values(read('table-columns.json') as Record<string, { kinds: string[]; columns: ColumnOf[] }>).flatMap(
      ({ kinds: names, columns }) => names.map(name => [name, columns] as const),
    ),
  );
  await using server = await openTestServer();
  const different: string[] = [];
  for (const kind of listed) {
    const { code, body, text } = await server.call('GET', pathOf(kind), undefined, table);
    assert.equal(code, 200, text);
    const ours = body.columnDefinitions.map(({ name, type, format, priority }: ColumnOf) => ({
      name,
      type,
      priority,
      format,
    }));
    const theirs = recorded.get(kind.kind) ?? [
      { name: 'Name', type: 'string', priority: 0, format: 'name' },
      { name: 'Created At', type: 'date', priority: 0, format: '' },
    ];
    try {
      assert.deepEqual(ours, theirs);
    } catch {
      different.push(kind.kind);
      if (!Object.hasOwn(otherColumns, kind.kind)) assert.deepEqual(ours, theirs, kind.kind);
    }
  }
  assert.deepEqual(
    [...new Set(different)].sort(),
    Object.keys(otherColumns).sort(),
    'the list of differences is exact',
  );
});

test('every recorded field selector is known, and another one is refused in the words of the kind', {
  skip,
}, async () => {
  await using server = await openTestServer();
  for (const kind of listed) {
    const known = [
      'metadata.name',
      ...(kind.namespaced ? ['metadata.namespace'] : []),
      ...Object.keys(kind.fieldSelectors),
    ];
    for (const field of known) {
      const answer = await server.call('GET', `${pathOf(kind)}?fieldSelector=${field}%3Dx`);
      assert.equal(answer.code, 200, `${kind.kind} ${field} ${answer.text}`);
    }
    const { code, body } = await server.call('GET', `${pathOf(kind)}?fieldSelector=spec.nothing%3Dx`);
    assert.equal(code, 400);
    assert.equal(
      body.message,
      Object.keys(kind.fieldSelectors).length > 0
        ? 'field label not supported: spec.nothing'
        : '"spec.nothing" is not a known field selector: only "metadata.name", "metadata.namespace"',
    );
  }
  for (const { group, version, kind: name, default: served, fieldSelectors } of read(
    'resources.json',
  ) as RecordedKind[]) {
    if (!served || fieldSelectors === '') continue;
    const kind = listed.find(each => each.group === group && each.version === version && each.kind === name);
    assert.ok(kind, name);
    for (const field of Object.keys(kind.fieldSelectors)) {
      const last = field.split('.').at(-1) as string;
      assert.ok(fieldSelectors.includes(last), `${name}: ${field} is not upstream’s`);
    }
  }
});
