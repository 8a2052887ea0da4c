import assert from 'node:assert/strict';
import { test } from 'node:test';
import { validateLabelSelector, validateObjectMeta, validateObjectMetaUpdate } from './object-meta-validation.ts';
import { Report } from './validation.ts';

const namespaced = { namespaced: true };

function found(check: (report: Report) => void): string[] {
  const report = new Report('metadata');
  check(report);
  return report.errors.map(({ type, field, message }) => `${type} ${field}: ${message}`);
}

test('a good object has no errors', () => {
  const meta = {
    name: 'a.b',
    namespace: 'c',
    labels: { 'x.y/z': 'v' },
    annotations: { 'X/y': '1' },
    finalizers: ['a/b'],
  };
  assert.deepEqual(
    found(report => validateObjectMeta(namespaced, meta, report)),
    [],
  );
});

test('names and namespaces', () => {
  assert.deepEqual(
    found(report => validateObjectMeta(namespaced, {}, report)),
    [
      'FieldValueRequired metadata.name: Required value: name or generateName is required',
      'FieldValueRequired metadata.namespace: Required value',
    ],
  );
  assert.deepEqual(
    found(report => validateObjectMeta({ namespaced: false }, { name: 'a', namespace: 'b' }, report)),
    ['FieldValueForbidden metadata.namespace: Forbidden: not allowed on this type'],
  );
  assert.deepEqual(
    found(report => validateObjectMeta(namespaced, { name: 'a', namespace: 'b', generateName: 'ab-' }, report)),
    [],
  );
});

test('labels, annotations, owners and finalizers', () => {
  const meta = {
    name: 'a',
    namespace: 'b',
    labels: { a: '!' },
    annotations: { k: 'x'.repeat(256 * 1024) },
    ownerReferences: [
      { apiVersion: 'v1', kind: 'Pod', name: 'p', uid: 'u', controller: true },
      { apiVersion: '', kind: '', name: '', uid: '', controller: true },
    ],
    finalizers: ['orphan', 'foregroundDeletion', '!'],
  };
  const errors = found(report => validateObjectMeta(namespaced, meta, report)).map(each => each.split(': ')[0]);
  assert.deepEqual(errors, [
    'FieldValueInvalid metadata.labels',
    'FieldValueTooLong metadata.annotations',
    'FieldValueInvalid metadata.ownerReferences.apiVersion',
    'FieldValueInvalid metadata.ownerReferences.kind',
    'FieldValueInvalid metadata.ownerReferences.name',
    'FieldValueInvalid metadata.ownerReferences.uid',
    'FieldValueInvalid metadata.ownerReferences',
    'FieldValueInvalid metadata.finalizers',
    'FieldValueInvalid metadata.finalizers',
    'FieldValueInvalid metadata.finalizers[2]',
  ]);
  const lenient = { ...namespaced, metadataChecks: { standardFinalizers: false } } as const;
  const plain = { name: 'a', namespace: 'b', finalizers: ['mine'] };
  assert.equal(found(report => validateObjectMeta(namespaced, plain, report)).length, 1);
  assert.equal(found(report => validateObjectMeta(lenient, plain, report)).length, 0);
});

test('what an update may not change', () => {
  const old = { name: 'a', namespace: 'b', uid: 'u', resourceVersion: '1', generation: 2, creationTimestamp: 't' };
  assert.deepEqual(
    found(report => validateObjectMetaUpdate(namespaced, old, old, report)),
    [],
  );
  const changed = { ...old, name: 'x', uid: 'v', generation: 1, resourceVersion: '' };
  assert.deepEqual(
    found(report => validateObjectMetaUpdate({ ...namespaced, metadataChecks: { update: [] } }, changed, old, report)),
    [
      'FieldValueInvalid metadata.resourceVersion: Invalid value: "": must be specified for an update',
      'FieldValueInvalid metadata.generation: Invalid value: 1: must not be decremented',
      'FieldValueInvalid metadata.name: Invalid value: "x": field is immutable',
      'FieldValueInvalid metadata.uid: Invalid value: "v": field is immutable',
    ],
  );
  const deleted = { ...old, deletionTimestamp: 'd', finalizers: ['a/b'] };
  assert.deepEqual(
    found(report =>
      validateObjectMetaUpdate(
        { ...namespaced, metadataChecks: { update: [] } },
        { ...deleted, finalizers: ['a/b', 'c/d'] },
        deleted,
        report,
      ),
    ),
    [
      'FieldValueForbidden metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers []string{"c/d"}',
    ],
  );
});

test('what the rules of a kind say again is said again', () => {
  const old = { name: 'a', namespace: 'b', resourceVersion: '1' };
  const changed = { ...old, labels: { a: '!' }, finalizers: ['mine'], deletionGracePeriodSeconds: 1 };
  const times = (update: readonly ('new' | 'changed')[]) =>
    ['deletionGracePeriodSeconds', 'labels', 'finalizers[0]'].map(field => {
      const kind = { ...namespaced, metadataChecks: { update } };
      const errors = found(report => validateObjectMetaUpdate(kind, changed, old, report));
      return errors.filter(each => each.includes(`metadata.${field}: `)).length;
    });
  assert.deepEqual(times([]), [1, 2, 0]);
  assert.deepEqual(times(['changed']), [2, 3, 1]);
  assert.deepEqual(times(['new', 'changed']), [2, 4, 2]);
});

test('label selectors', () => {
  const selector = {
    matchLabels: { a: 'b' },
    matchExpressions: [
      { key: 'a', operator: 'In' },
      { key: '', operator: 'x' },
      { key: 'a', operator: 'Exists', values: ['1'] },
    ],
  };
  assert.deepEqual(
    found(report => validateLabelSelector(selector as never, report)).map(each => each.split(': ')[0]),
    [
      'FieldValueRequired metadata.matchExpressions[0].values',
      'FieldValueInvalid metadata.matchExpressions[1].operator',
      'FieldValueInvalid metadata.matchExpressions[1].key',
      'FieldValueInvalid metadata.matchExpressions[1].key',
      'FieldValueForbidden metadata.matchExpressions[2].values',
    ],
  );
});
