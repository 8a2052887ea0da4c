import assert from 'node:assert/strict';
import { kinds } from '#api/kinds.ts';
import { conformance, type Trial } from '../conformance.ts';
import { define } from '../custom.ts';

interface Discovered {
  readonly kind: string;
  readonly apiVersion: string;
  readonly items: readonly {
    readonly metadata?: { readonly name?: string };
    readonly versions: readonly {
      readonly version: string;
      readonly resources: readonly { readonly resource: string; readonly responseKind: { readonly kind: string } }[];
    }[];
  }[];
}

conformance(it => {
  it('[sig-api-machinery] AggregatedDiscovery should support aggregated discovery interface [Conformance]', async t =>
    assertBuiltIn([...(await resources(t, '/api')), ...(await resources(t, '/apis'))]));

  it('[sig-api-machinery] AggregatedDiscovery should support raw aggregated discovery endpoint Accept headers [Conformance]', async t => {
    for (const path of ['/api', '/apis']) {
      const accept = 'application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList';
      const answer = await t.request('GET', path, { headers: { accept } });
      assert.equal(answer.code, 200);
      assert.equal(answer.headers['content-type'], accept);
      const { kind, apiVersion } = answer.json<Discovered>();
      assert.deepEqual([kind, apiVersion], ['APIGroupDiscoveryList', 'apidiscovery.k8s.io/v2']);
      const plain = await t.request('GET', path, { headers: { accept: 'application/json' } });
      assert.equal(plain.json<Discovered>().kind, path === '/api' ? 'APIVersions' : 'APIGroupList');
    }
  });

  it(
    '[sig-api-machinery] AggregatedDiscovery should support aggregated discovery interface for CRDs [Conformance]',
    finds,
  );
  it(
    '[sig-api-machinery] AggregatedDiscovery should support raw aggregated discovery request for CRDs [Conformance]',
    finds,
  );
});

async function finds(t: Trial): Promise<void> {
  const kind = (await define(t)).kind();
  const wanted = `${kind.group}/${kind.version} ${kind.plural} ${kind.kind}`;
  await t.eventually(`${wanted} is discovered`, async () => (await resources(t, '/apis')).includes(wanted));
}

function assertBuiltIn(found: readonly string[]): void {
  for (const { group, version, plural, kind } of kinds.filter(
    each => each.served && each.plural !== '' && each.verbs.includes('list'),
  ))
    assert.ok(found.includes(`${group}/${version} ${plural} ${kind}`), `${group}/${version} ${plural} is discovered`);
}

async function resources(t: Trial, path: string): Promise<readonly string[]> {
  const accept = 'application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList';
  const { items } = (await t.request('GET', path, { headers: { accept } })).json<Discovered>();
  return items.flatMap(({ metadata, versions }) =>
    versions.flatMap(each =>
      each.resources.map(
        ({ resource, responseKind }) => `${metadata?.name ?? ''}/${each.version} ${resource} ${responseKind.kind}`,
      ),
    ),
  );
}
