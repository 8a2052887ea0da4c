import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ManualClock } from '#base/clock.ts';
import { Service } from '#api/core/v1/service.ts';
import { isReason } from '#api/machinery/errors.ts';
import { IPAddress } from '#api/networking/v1/ip-address.ts';
import { ServiceCIDR } from '#api/networking/v1/service-cidr.ts';
import { startControlPlane } from './control-plane.ts';

test('a ServiceCIDR stays as long as Services have its addresses, and ten seconds', { timeout: 30_000 }, async () => {
  const clock = new ManualClock();
  await using plane = await startControlPlane({ only: ['service-cidrs-controller'], nodes: false, clock });
  const { client } = plane;
  const extra = (ranges: ReadonlyMap<string, ServiceCIDR>) => ranges.get('extra');
  await client.create(ServiceCIDR, { metadata: { name: 'extra' }, spec: { cidrs: ['10.200.0.0/24'] } });
  await plane.until(ServiceCIDR, ranges => extra(ranges)?.status?.conditions?.[0]?.status === 'True');
  const service = { metadata: { name: 'x' }, spec: { clusterIP: '10.200.0.5', ports: [{ port: 80 }] } };
  const where = { namespace: 'default' };
  await client.create(Service, service, where);
  assert.equal((await client.get(IPAddress, '10.200.0.5')).spec.parentRef.name, 'x');
  await client.delete(ServiceCIDR, 'extra');
  const waiting = await plane.until(ServiceCIDR, ranges => {
    const range = extra(ranges);
    return range?.status?.conditions?.[0]?.status === 'False' && range;
  });
  assert.equal(waiting.status?.conditions?.[0]?.reason, 'Terminating');
  // It gives out no more, though it is still there.
  const more = { ...service, metadata: { name: 'y' }, spec: { ...service.spec, clusterIP: '10.200.0.6' } };
  await assert.rejects(client.create(Service, more, where), /does not match the current range/);
  await client.delete(Service, 'x', where);
  await clock.advance(9_000);
  assert.ok(await client.get(ServiceCIDR, 'extra'));
  await clock.advance(2_000);
  await plane.until(ServiceCIDR, ranges => !ranges.has('extra'));
  await assert.rejects(client.get(ServiceCIDR, 'extra'), error => isReason(error, 'NotFound'));
  assert.ok(await client.get(ServiceCIDR, 'kubernetes'));
});
