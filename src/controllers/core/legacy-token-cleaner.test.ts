import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Secret } from '#api/core/v1/secret.ts';
import { seededRandom } from '#base/random.ts';
import { defaultSettings } from '../controllers.ts';
import { legacyTokenCleaner } from './legacy-token-cleaner.ts';

const nowMs = Date.UTC(2026, 0, 10);

function decide(
  labels: Record<string, string>,
  more: { since?: string; created?: string; listed?: boolean; mounted?: boolean } = {},
): string {
  const { since = '2024-01-01', created = '2024-01-01T00:00:00Z', listed = true, mounted = false } = more;
  const secret = {
    metadata: {
      name: 'robot-token-x',
      namespace: 'ns',
      uid: 'u',
      creationTimestamp: created,
      labels,
      annotations: { 'kubernetes.io/service-account.name': 'robot' },
    },
    type: 'kubernetes.io/service-account-token',
  } as unknown as Secret;
  const of = (object: unknown) => ({ get: () => object }) as never;
  const pod = { spec: { volumes: [{ secret: { secretName: 'robot-token-x' } }] } };
  const actions = legacyTokenCleaner.decide(secret, {
    accounts: of({ secrets: listed ? [{ name: 'robot-token-x' }] : [] }),
    pods: { inNamespace: () => new Map(mounted ? [['ns/p', pod]] : []) } as never,
    maps: of({ data: { since } }),
    nowMs,
    random: seededRandom(1),
    settings: defaultSettings,
  });
  return actions
    .map(each => (each.do === 'patch' && 'patch' in each.patch ? `patch ${JSON.stringify(each.patch.patch)}` : each.do))
    .join(', ');
}

test('a token that an account lists and nobody has used for a year is marked, and a year later removed', () => {
  const marked = 'patch {"metadata":{"labels":{"kubernetes.io/legacy-token-invalid-since":"2026-01-10"}}}, wake';
  const used = 'kubernetes.io/legacy-token-last-used';
  const invalid = 'kubernetes.io/legacy-token-invalid-since';
  assert.equal(decide({}), marked);
  assert.equal(decide({ [used]: '2025-01-09' }), marked);
  assert.equal(decide({ [used]: '2025-01-10' }), 'wake', 'used within the year');
  assert.equal(decide({ [used]: 'nonsense' }), 'wake');
  assert.equal(decide({ [invalid]: 'nonsense' }), marked);
  assert.equal(decide({ [invalid]: '2025-06-01' }), 'wake');
  assert.equal(decide({ [invalid]: '2025-01-09' }), 'delete');
});

test('what somebody made, mounts or uses stays, and so does everything while uses were not noted for a year', () => {
  assert.equal(decide({}, { listed: false }), 'wake');
  assert.equal(decide({}, { mounted: true }), 'wake');
  assert.equal(decide({}, { created: '2025-06-01T00:00:00Z' }), 'wake');
  assert.equal(decide({}, { since: '2025-01-10' }), 'wake');
  assert.equal(decide({}, { since: '' }), 'wake');
});
