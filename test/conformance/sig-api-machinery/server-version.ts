import assert from 'node:assert/strict';
import { conformance } from '../conformance.ts';

conformance(it => {
  it('[sig-api-machinery] server version should find the server version [Conformance]', async t => {
    const { major, minor } = (await t.request('GET', '/version')).json<{ major: string; minor: string }>();
    assert.match(major, /^\d+$/);
    assert.match(minor, /^\d+$/);
  });
});
