import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { AdmissionPlugin } from '#admission/admission.ts';
import { openTestServer } from '../test-server.ts';

const maps = '/api/v1/namespaces/default/configmaps';

/** A webhook of an old kind, which writes into what it does not understand. */
const careless = (entries: object[]): AdmissionPlugin => ({
  name: 'Careless',
  handles: ({ operation }) => operation === 'CREATE',
  admit({ object }) {
    if (object) object.metadata.managedFields = entries as never;
    return undefined;
  },
});

test('owners of fields that admission has spoilt are those of before, with a warning', async () => {
  const entry = {
    manager: 'x',
    operation: 'Update',
    apiVersion: 'v1',
    fieldsType: 'FieldsV1',
    fieldsV1: { 'f:data': {} },
  };
  const cases: [object, string][] = [
    [{ ...entry, operation: 'Patch' }, 'operation must be `Apply` or `Update`'],
    [{ ...entry, apiVersion: '' }, 'apiVersion must not be empty'],
    [{ ...entry, fieldsType: '' }, 'missing fieldsType in managed fields entry 0'],
    [{ ...entry, fieldsType: 'FieldsV0' }, 'invalid fieldsType "FieldsV0" in managed fields entry 0'],
  ];
  for (const [wrong, why] of cases) {
    await using server = await openTestServer({ admission: [careless([wrong])] });
    const { code, body, headers } = await server.call('POST', maps, { metadata: { name: 'a' }, data: { k: 'v' } });
    assert.equal(code, 201);
    assert.deepEqual(
      body.metadata.managedFields.map((each: { manager: string }) => each.manager),
      ['test'],
    );
    assert.deepEqual(headers['warning'], [
      `299 - ".metadata.managedFields was in an invalid state after admission; this could be caused by an outdated mutating admission controller; please fix your requests: ${why.replaceAll('"', '\\"')}"`,
    ]);
  }
  await using server = await openTestServer({ admission: [careless([entry])] });
  const { body, headers } = await server.call('POST', maps, { metadata: { name: 'a' }, data: { k: 'v' } });
  assert.equal(body.metadata.managedFields[0].manager, 'x');
  assert.equal(headers['warning'], undefined);
});
