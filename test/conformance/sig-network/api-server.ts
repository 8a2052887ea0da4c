import assert from 'node:assert/strict';
import { Endpoints } from '#api/core/v1/endpoints.ts';
import { Service } from '#api/core/v1/service.ts';
import { EndpointSlice } from '#api/discovery/v1/endpoint-slice.ts';
import { conformance } from '../conformance.ts';

conformance(it => {
  it('[sig-network] API Server should provide secure master service [Conformance]', async t => {
    const { spec } = await t.client.get(Service, 'kubernetes', { namespace: 'default' });
    assert.deepEqual(
      spec?.ports?.map(({ name, port }) => [name, port]),
      [['https', 443]],
    );
  });

  it('[sig-network] API Server should have Endpoints and EndpointSlices pointing to API Server [Conformance]', async t => {
    const namespace = 'default';
    const endpoints = await t.client.get(Endpoints, 'kubernetes', { namespace });
    const [subset] = endpoints.subsets ?? [];
    const addresses = subset?.addresses?.map(({ ip }) => ip) ?? [];
    assert.ok(addresses.length > 0);
    const { items } = await t.client.list(EndpointSlice, {
      namespace,
      labelSelector: 'kubernetes.io/service-name=kubernetes',
    });
    assert.deepEqual(
      items.flatMap(slice => (slice.endpoints ?? []).flatMap(each => each.addresses)),
      addresses,
    );
    assert.deepEqual(
      items[0]?.ports?.map(({ port }) => port),
      subset?.ports?.map(({ port }) => port),
    );
  });

  it('[sig-network] Services should find a service from listing all namespaces [Conformance]', async t => {
    const { items } = await t.client.list(Service);
    assert.ok(items.some(({ metadata }) => metadata.name === 'kubernetes' && metadata.namespace === 'default'));
  });
});
